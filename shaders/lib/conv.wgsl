// What the convolution kernels share: the geometry of one dispatch.
//
// A dispatch takes some images and some output channels: `group_count` groups from `first_group`, and
// of each of these `outputs` channels from `first_output`. Its output channels are counted from 0 to
// group_count * outputs; more than one group is taken only with all of its outputs.

struct Params {
    // Images of this dispatch.
    batch: u32,
    first_group: u32,
    group_count: u32,
    first_output: u32,
    outputs: u32,
    // Channels of one group, and of all.
    group_inputs: u32,
    group_outputs: u32,
    inputs: u32,
    height: u32,
    width: u32,
    kernel_height: u32,
    kernel_width: u32,
    // The output's extents.
    rows: u32,
    columns: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    dilation_height: u32,
    dilation_width: u32,
    // Where the dispatch's first image, first weight and first output channel start in their bindings.
    input_start: u32,
    weight_start: u32,
    output_start: u32,
    // Elements from one image to the next on the output's side.
    output_image: u32,
    // Whether the result is added to what is there.
    accumulate: u32,
    // The length of a part of the sum, in the kernel's own unit.
    part: u32,
    // In unfolded images, elements from one image, group and row to the next.
    column_image: u32,
    column_group: u32,
    column_row: u32,
    // Where a bias that differs from place to place starts in its binding.
    bias_start: u32,
}

// Tiles of a matrix product along an extent, for the kernels that are made of such.
fn tiles_of(extent: u32, tile: u32) -> u32 {
    return (extent + tile - 1u) / tile;
}

// The elements of one input image.
fn input_image() -> u32 {
    return params.inputs * params.height * params.width;
}

// The weights behind one output element.
fn depth() -> u32 {
    return params.group_inputs * params.kernel_height * params.kernel_width;
}

// The group of the dispatch's output channel.
fn group_of(output: u32) -> u32 {
    return params.first_group + output / params.outputs;
}
