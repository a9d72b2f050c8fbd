// Maps between the positions of a line before and after resampling, for resample.wgsl and its
// gradient. What a mode computes for output position i of a line of n elements:
//   NEAREST    input position floor(x), x = max(i * p + q - r, 0) / d
//   LINEAR     positions floor(x) and the one after it, weighted by the distance to x
//   REFLECT    input position i - before, mirrored at the first and the last element
//   REPLICATE  input position i - before, held between the first and the last element
// x is a ratio of whole numbers, so that there is no rounding in it.

const NEAREST: u32 = 0u;
const LINEAR: u32 = 1u;
const REFLECT: u32 = 2u;
const REPLICATE: u32 = 3u;

struct Line {
    n: u32,
    outputs: u32,
    p: u32,
    q: u32,
    r: u32,
    d: u32,
    before: u32,
}

// Two input positions; the second has this weight and the first the rest.
struct Taps {
    first: u32,
    second: u32,
    weight: f32,
}

fn taps(line: Line, mode: u32, i: u32) -> Taps {
    let last = line.n - 1u;
    if mode == REPLICATE {
        let at = min(max(i, line.before) - line.before, last);
        return Taps(at, at, 0.0);
    }
    if mode == REFLECT {
        var at = max(i, line.before) - min(i, line.before);
        if at > last {
            at = 2u * last - at;
        }
        return Taps(at, at, 0.0);
    }
    let x = max(i * line.p + line.q, line.r) - line.r;
    let whole = x / line.d;
    let first = min(whole, last);
    if mode == NEAREST || whole >= last {
        return Taps(first, first, 0.0);
    }
    return Taps(first, first + 1u, f32(x - whole * line.d) / f32(line.d));
}

// How much output position i takes from input position k.
fn share(line: Line, mode: u32, i: u32, k: u32) -> f32 {
    if i >= line.outputs {
        return 0.0;
    }
    let t = taps(line, mode, i);
    return select(0.0, 1.0 - t.weight, t.first == k) + select(0.0, t.weight, t.second == k);
}

// The output positions that may take from input position k: the first, and how many. With REFLECT they
// are not neighbours: see candidate().
fn candidates(line: Line, mode: u32, k: u32) -> vec2<u32> {
    let last = line.n - 1u;
    if mode == REFLECT {
        return vec2(0u, 3u);
    }
    var first = 0u;
    var end = line.outputs;
    if mode == REPLICATE {
        if k > 0u {
            first = line.before + k;
        }
        if k < last {
            end = line.before + k + 1u;
        }
        return vec2(first, end - first);
    }
    if k > 0u && line.p > 0u {
        let least = (k - 1u) * line.d + line.r;
        first = min((max(least, line.q) - line.q) / line.p, line.outputs);
    }
    if k < last && line.p > 0u {
        end = min(((k + 1u) * line.d + line.r) / line.p + 1u, line.outputs);
    }
    return vec2(first, max(end, first) - first);
}

// The t-th of the candidates for input position k; past the end of the line where there is none.
fn candidate(line: Line, mode: u32, first: u32, t: u32, k: u32) -> u32 {
    if mode != REFLECT {
        return first + t;
    }
    if t == 0u {
        return line.before + k;
    }
    if t == 1u {
        return select(line.outputs, line.before - k, k > 0u && k <= line.before);
    }
    return select(line.outputs, line.before + 2u * (line.n - 1u) - k, k + 1u < line.n);
}
