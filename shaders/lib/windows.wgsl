// Pooling windows on planes, for all pooling kernels, which declare `params`.
//
// A window has WINDOW taps along an axis, DILATION apart; windows start STRIDE apart, the first at the
// start of the padding, and are cut to the input. ADAPTIVE: the axis is divided into as many windows as
// the output is long, which may overlap by one position: window o covers floor(o size / outputs) to
// ceil((o + 1) size / outputs), as in PyTorch. The numbers are constants, because divisions by unknown
// ones would take longest here.

const ADAPTIVE: bool = false;
const WINDOW_HEIGHT: u32 = 3u;
const WINDOW_WIDTH: u32 = 3u;
const STRIDE_HEIGHT: u32 = 2u;
const STRIDE_WIDTH: u32 = 2u;
const DILATION_HEIGHT: u32 = 1u;
const DILATION_WIDTH: u32 = 1u;

struct Params {
    items: u32,
    height: u32,
    width: u32,
    output_height: u32,
    output_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
}

// The first tap of window `o` inside the input, and one past the last. Never empty.
fn span(
    o: u32, window: u32, stride: u32, dilation: u32, before: u32, size: u32, outputs: u32,
) -> vec2<u32> {
    if ADAPTIVE {
        return vec2(o * size / outputs, ((o + 1u) * size + outputs - 1u) / outputs);
    }
    // Counted from the start of the padding, where nothing is negative.
    let start = o * stride;
    let skipped = (max(start, before) - start + dilation - 1u) / dilation * dilation;
    let end = start + (window - 1u) * dilation + 1u - before;
    return vec2(start + skipped - before, min(end, size));
}

fn rows_of(o: u32) -> vec2<u32> {
    return span(
        o, WINDOW_HEIGHT, STRIDE_HEIGHT, DILATION_HEIGHT, params.top, params.height, params.output_height,
    );
}

fn columns_of(o: u32) -> vec2<u32> {
    return span(
        o, WINDOW_WIDTH, STRIDE_WIDTH, DILATION_WIDTH, params.left, params.width, params.output_width,
    );
}

// The first window that reaches over `position`, and one past the last.
fn covering(
    position: u32, window: u32, stride: u32, dilation: u32, before: u32, size: u32, outputs: u32,
) -> vec2<u32> {
    if ADAPTIVE {
        return vec2(position * outputs / size, ((position + 1u) * outputs + size - 1u) / size);
    }
    let padded = position + before;
    let reach = (window - 1u) * dilation + 1u;
    var first = 0u;
    if padded >= reach {
        first = (padded - reach) / stride + 1u;
    }
    return vec2(first, min(padded / stride + 1u, outputs));
}

fn windows_over_row(y: u32) -> vec2<u32> {
    return covering(
        y, WINDOW_HEIGHT, STRIDE_HEIGHT, DILATION_HEIGHT, params.top, params.height, params.output_height,
    );
}

fn windows_over_column(x: u32) -> vec2<u32> {
    return covering(
        x, WINDOW_WIDTH, STRIDE_WIDTH, DILATION_WIDTH, params.left, params.width, params.output_width,
    );
}

// The positions of window `o` in the input and in the padding: windows may reach beyond both.
fn padded_rows(o: u32) -> u32 {
    return min(WINDOW_HEIGHT, params.top + params.height + params.bottom - o * STRIDE_HEIGHT);
}

fn padded_columns(o: u32) -> u32 {
    return min(WINDOW_WIDTH, params.left + params.width + params.right - o * STRIDE_WIDTH);
}
