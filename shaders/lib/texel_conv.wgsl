// Images and weights with four channels a texel, for kernels that convolve texels.
//
// Pixels are grouped by `scale` x `scale` into one of scale^2 times as many channels: channel
// (c * scale + py) * scale + px of grouped pixel (y, x) is channel c of the pixel
// (y * scale + py, x * scale + px). A convolution of that stride becomes one of stride 1 with a kernel
// ceil(kernel / scale), and thin images fill their texels.

// The channel, and the row and the column within the group, of a grouped channel.
fn ungrouped(channel: u32, scale: u32) -> vec3<u32> {
    if scale == 1u {
        return vec3(channel, 0u, 0u);
    }
    return vec3(channel / (scale * scale), channel / scale % scale, channel % scale);
}
