// The terms of one dispatch's sums: it sees its share of a tensor as [outer, count, inner] and sums over
// outer and inner. Sum k has the terms t = o * inner + i, cut into parts of `part`; the results of part
// p are the row p of [parts, count].

struct Params {
    outer: u32,
    count: u32,
    inner: u32,
    part: u32,
    // Where the share starts in its binding, and in the tensor.
    start: u32,
    first: u32,
    // See lib/norm.wgsl.
    block: u32,
    sets: u32,
    plane: u32,
    parameters: u32,
    eps: f32,
}

// The share's element that is term t of sum k.
fn element_of(k: u32, t: u32) -> u32 {
    return (t / params.inner * params.count + k) * params.inner + t % params.inner;
}
