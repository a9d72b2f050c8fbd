// Loads of four elements that do not start at a whole vector.

// The four elements that start `shift` elements into the eight of `low`, `high`.
fn window(low: vec4<f32>, high: vec4<f32>, shift: u32) -> vec4<f32> {
    let by_two = select(low, vec4(low.zw, high.xy), shift >= 2u);
    let next = select(high.x, high.z, shift >= 2u);
    return select(by_two, vec4(by_two.yzw, next), (shift & 1u) == 1u);
}
