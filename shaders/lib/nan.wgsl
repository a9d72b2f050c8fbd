// WGSL lets a driver assume that there are no NaNs; their bits it must keep.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
