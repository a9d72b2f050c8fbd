// Philox 4x32-10: four random words for a counter under a key.
//
// Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011, section 3.3. The same words as src/philox.rs, which is tested on the published vectors.

// The 64-bit product of two words: (low, high). WGSL has no 64-bit integers, so it is put together
// from products of 16-bit halves, none of which overflows.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let carry = a_low * b_high + (middle & 0xffffu);
    return vec2(a * b, a_high * b_high + (middle >> 16u) + (carry >> 16u));
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let p0 = multiply_wide(0xD2511F53u, c.x);
        let p1 = multiply_wide(0xCD9E8D57u, c.z);
        c = vec4(p1.y ^ c.y ^ k.x, p1.x, p0.y ^ c.w ^ k.y, p0.x);
        k += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}
