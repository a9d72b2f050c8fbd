// Images and weights with four channels a texel, for kernels that convolve texels.
//
// Pixels are grouped by scale.x rows and scale.y columns into one of as many times as many channels: channel
// (c * scale.x + py) * scale.y + px of grouped pixel (y, x) is channel c of the pixel
// (y * scale.x + py, x * scale.y + px). A convolution of that stride becomes one of stride 1 with a kernel
// ceil(kernel / scale), and thin images fill their texels.

// The channel, and the row and the column within the group, of a grouped channel.
fn ungrouped(channel: u32, scale: vec2<u32>) -> vec3<u32> {
    if scale.y == 1u && scale.x == 1u {
        return vec3(channel, 0u, 0u);
    }
    return vec3(channel / (scale.x * scale.y), channel / scale.y % scale.x, channel % scale.y);
}

// The row and the column of a group's pixel.
fn ungrouped_place(at: vec2<u32>, part: vec3<u32>, scale: vec2<u32>) -> vec2<u32> {
    return at * scale + part.yz;
}
