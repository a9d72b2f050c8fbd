// Pooling windows on planes, for all pooling kernels, which declare `params`.
//
// A window has WINDOW taps along an axis, DILATION apart; windows start STRIDE apart, the first at the
// start of the padding, and are cut to the input. ADAPTIVE: the axis is divided into as many windows as
// the output is long, which may overlap by one position: window o covers floor(o size / outputs) to
// ceil((o + 1) size / outputs), as in PyTorch. All extents are constants, because divisions by unknown
// ones would take longest here.

const ADAPTIVE: bool = false;
const WINDOW_HEIGHT: u32 = 3u;
const WINDOW_WIDTH: u32 = 3u;
const STRIDE_HEIGHT: u32 = 2u;
const STRIDE_WIDTH: u32 = 2u;
const DILATION_HEIGHT: u32 = 1u;
const DILATION_WIDTH: u32 = 1u;
const INPUT_HEIGHT: u32 = 55u;
const INPUT_WIDTH: u32 = 55u;
const OUTPUT_HEIGHT: u32 = 27u;
const OUTPUT_WIDTH: u32 = 27u;
// The padding.
const TOP: u32 = 0u;
const LEFT: u32 = 0u;
const BOTTOM: u32 = 0u;
const RIGHT: u32 = 0u;

struct Params {
    items: u32,
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
        o, WINDOW_HEIGHT, STRIDE_HEIGHT, DILATION_HEIGHT, TOP, INPUT_HEIGHT, OUTPUT_HEIGHT,
    );
}

fn columns_of(o: u32) -> vec2<u32> {
    return span(
        o, WINDOW_WIDTH, STRIDE_WIDTH, DILATION_WIDTH, LEFT, INPUT_WIDTH, OUTPUT_WIDTH,
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
        y, WINDOW_HEIGHT, STRIDE_HEIGHT, DILATION_HEIGHT, TOP, INPUT_HEIGHT, OUTPUT_HEIGHT,
    );
}

fn windows_over_column(x: u32) -> vec2<u32> {
    return covering(
        x, WINDOW_WIDTH, STRIDE_WIDTH, DILATION_WIDTH, LEFT, INPUT_WIDTH, OUTPUT_WIDTH,
    );
}

// The positions of window `o` in the input and in the padding: windows may reach beyond both.
fn padded_rows(o: u32) -> u32 {
    return min(WINDOW_HEIGHT, TOP + INPUT_HEIGHT + BOTTOM - o * STRIDE_HEIGHT);
}

fn padded_columns(o: u32) -> u32 {
    return min(WINDOW_WIDTH, LEFT + INPUT_WIDTH + RIGHT - o * STRIDE_WIDTH);
}
