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

// A group's pixels as phases of the stride: the kernel's taps for the phase (py, px) are every scale-th from there
// on, so phases from `whole` on have a tap less that way. Their order is that of the taps that they have: by rows, those with
// all first, then those with a column less, with a row less, with both less.
fn phase_at(index: u32, scale: vec2<u32>, whole: vec2<u32>) -> vec2<u32> {
    let is_low = index >= whole.x * scale.y;
    let y = select(0u, whole.x, is_low);
    let i = index - y * scale.y;
    let left = select(whole.x, scale.x - whole.x, is_low) * whole.y;
    if i < left {
        return vec2(y + i / whole.y, i % whole.y);
    }
    let width = max(scale.y - whole.y, 1u);
    return vec2(y + (i - left) / width, whole.y + (i - left) % width);
}

// The channel, and the row and the column within the group, of a row of the input's gradient: phase by phase.
fn phased(row: u32, channels: u32, scale: vec2<u32>, whole: vec2<u32>) -> vec3<u32> {
    if scale.y == 1u && scale.x == 1u {
        return vec3(row, 0u, 0u);
    }
    return vec3(row % channels, phase_at(row / channels, scale, whole));
}

// The row and the column of a group's pixel.
fn ungrouped_place(at: vec2<u32>, part: vec3<u32>, scale: vec2<u32>) -> vec2<u32> {
    return at * scale + part.yz;
}
