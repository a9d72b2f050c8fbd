// output[n, c, v, u] = the bytes of image n as draws[n] says: cut out, turned, their colours changed,
// hidden in part, normalised. src/ops/images/mod.rs has the formulas.
//
// pixels  [batch, words], four bytes a word, the first in the lowest bits, in the order channel, row,
//         column
// draws   [batch, DRAWS + 2 CHANNELS], the fields of `ImageDraws` and the factor and the addend of each
//         channel
// mean    [CHANNELS, HEIGHT, WIDTH], subtracted from the bytes; unread without HAS_MEAN (bind `draws`
//         again)
// output  [batch, CHANNELS, OUTPUT_HEIGHT, OUTPUT_WIDTH]
//
// One invocation computes a pixel of the output in all its channels, which share the place that it comes
// from; `items` is the number of pixels. TURNS says whether images are turned, about CENTRE.

// import lib/index.wgsl

const THREADS: u32 = 64u;
const CHANNELS: u32 = 3u;
const HEIGHT: u32 = 1u;
const WIDTH: u32 = 1u;
const OUTPUT_HEIGHT: u32 = 1u;
const OUTPUT_WIDTH: u32 = 1u;
const TURNS: bool = false;
const CENTRE_Y: f32 = 0.0;
const CENTRE_X: f32 = 0.0;
const HAS_MEAN: bool = false;

// The places of the draws: a window is step, left, top, columns and rows.
const LAST: u32 = 0u;
const TURN: u32 = 7u;
const FIRST: u32 = 13u;
const CONTRAST: u32 = 20u;
const OFFSET: u32 = 21u;
const SATURATION: u32 = 22u;
const COLOUR: u32 = 23u;
const HIDDEN: u32 = 26u;
const DRAWS: u32 = 30u;

struct Params {
    items: u32,
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> draws: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// Whether (column, row) is in the columns and rows from draw `at` on.
fn is_in(at: u32, place: vec2<f32>) -> bool {
    return draws[at] <= place.x && place.x < draws[at + 1u]
        && draws[at + 2u] <= place.y && place.y < draws[at + 3u];
}

// Where (column, row) of what comes out of the window at draw `at` comes from.
fn through(at: u32, place: vec2<f32>) -> vec2<f32> {
    return vec2(draws[at + 1u] + draws[at] * place.x, draws[at + 2u] + place.y);
}

// The pixel at `place` of what comes out of the first window, in each channel.
fn source(image: u32, row: u32, place: vec2<f32>) -> array<f32, CHANNELS> {
    var values = array<f32, CHANNELS>();
    if !is_in(row + FIRST + 3u, place) {
        return values;
    }
    // Within the image whatever the draws say.
    let own = min(vec2<u32>(through(row + FIRST, place)), vec2(WIDTH - 1u, HEIGHT - 1u));
    let words = (CHANNELS * HEIGHT * WIDTH + 3u) / 4u;
    for (var c = 0u; c < CHANNELS; c += 1u) {
        let byte = (c * HEIGHT + own.y) * WIDTH + own.x;
        let word = pixels[image * words + byte / 4u];
        values[c] = f32((word >> (8u * (byte % 4u))) & 255u);
        if HAS_MEAN {
            values[c] -= mean[byte];
        }
    }
    return values;
}

// The pixel at `place` of the image that is turned.
fn turned(image: u32, row: u32, place: vec2<f32>) -> array<f32, CHANNELS> {
    let centre = vec2(CENTRE_X, CENTRE_Y);
    let at = row + TURN;
    let d = place - centre - vec2(draws[at + 4u], draws[at + 5u]);
    let across = draws[at] * d.x + draws[at + 1u] * d.y;
    let down = draws[at] * d.y - draws[at + 1u] * d.x;
    let own = vec2(draws[at + 3u] * (across - draws[at + 2u] * down), down) + centre;
    let corner = floor(own);
    let part = own - corner;
    var upper_left = source(image, row, corner);
    let upper_right = source(image, row, corner + vec2(1.0, 0.0));
    let lower_left = source(image, row, corner + vec2(0.0, 1.0));
    let lower_right = source(image, row, corner + vec2(1.0, 1.0));
    for (var c = 0u; c < CHANNELS; c += 1u) {
        let upper = upper_left[c] * (1.0 - part.x) + upper_right[c] * part.x;
        let lower = lower_left[c] * (1.0 - part.x) + lower_right[c] * part.x;
        upper_left[c] = upper * (1.0 - part.y) + lower * part.y;
    }
    return upper_left;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, THREADS);
    if i >= params.items {
        return;
    }
    let line = i / OUTPUT_WIDTH;
    let image = line / OUTPUT_HEIGHT;
    let place = vec2(f32(i - line * OUTPUT_WIDTH), f32(line - image * OUTPUT_HEIGHT));
    let row = image * (DRAWS + 2u * CHANNELS);

    var values = array<f32, CHANNELS>();
    if is_in(row + LAST + 3u, place) {
        let own = through(row + LAST, place);
        if TURNS {
            values = turned(image, row, own);
        } else {
            values = source(image, row, own);
        }
        let contrast = draws[row + CONTRAST];
        let offset = draws[row + OFFSET];
        if contrast != 1.0 || offset != 0.0 {
            for (var c = 0u; c < CHANNELS; c += 1u) {
                values[c] = clamp(values[c] * contrast + offset, 0.0, 255.0);
            }
        }
        let saturation = draws[row + SATURATION];
        if CHANNELS == 3u && saturation != 1.0 {
            // The last channel is 2, in a form that is in range for any number of channels.
            let grey = 0.299 * values[0] + 0.587 * values[1u % CHANNELS]
                + 0.114 * values[2u % CHANNELS];
            for (var c = 0u; c < CHANNELS; c += 1u) {
                values[c] = clamp(grey + (values[c] - grey) * saturation, 0.0, 255.0);
            }
        }
    }
    let is_hidden = is_in(row + HIDDEN, place);
    let plane = OUTPUT_HEIGHT * OUTPUT_WIDTH;
    let first = image * CHANNELS * plane + (i - image * plane);
    for (var c = 0u; c < CHANNELS; c += 1u) {
        var value = values[c];
        if CHANNELS == 3u {
            value += draws[row + COLOUR + c];
        }
        value = select(value, 0.0, is_hidden);
        let own = row + DRAWS + 2u * c;
        output[first + c * plane] = value * draws[own] + draws[own + 1u];
    }
}
