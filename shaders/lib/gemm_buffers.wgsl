// How lib/gemm.wgsl reads operands that are buffers of vectors, `a` and `b`.

fn vector_a(index: u32) -> vec4<f32> {
    return a[index];
}

fn vector_b(index: u32) -> vec4<f32> {
    return b[index];
}

fn last_a() -> u32 {
    return arrayLength(&a) - 1u;
}

fn last_b() -> u32 {
    return arrayLength(&b) - 1u;
}
