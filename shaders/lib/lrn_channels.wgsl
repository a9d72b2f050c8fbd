// Windows along channels, c - BELOW to c + ABOVE, of tensors [samples, CHANNELS, PLANE].
//
// An invocation computes RUN channels of one position: what their windows share is read once. Neighbouring
// invocations read neighbouring positions of the same channels, so the reads are coalesced.
//
// Whoever imports this declares what is summed and what becomes of a sum:
//     fn term(at: u32) -> f32
//     fn finish(at: u32, sum: f32)

// Constants, since dividing by what is known is cheap, and loops of known length are unrolled by drivers.
const CHANNELS: u32 = 1u;
const PLANE: u32 = 1u;
const BELOW: u32 = 0u;
const ABOVE: u32 = 0u;
const RUN: u32 = 1u;
const BLOCKS: u32 = (CHANNELS + RUN - 1u) / RUN;
const TERMS: u32 = RUN + BELOW + ABOVE;
// A single channel needs no terms of others, however wide its window is.
const KEPT: u32 = 1u + (TERMS - 1u) * min(RUN - 1u, 1u);

struct Params {
    // Invocations.
    items: u32,
    alpha: f32,
    k: f32,
}

// The sums of invocation `i`.
fn sum_windows(i: u32) {
    let block = i / PLANE;
    let sample = block / BLOCKS;
    let first = (block - sample * BLOCKS) * RUN;
    // The element of the first channel.
    let here = (sample * CHANNELS + first) * PLANE + (i - block * PLANE);
    if RUN == 1u {
        var sum = 0.0;
        for (var j = 0u; j < TERMS; j++) {
            sum += term_or_zero(first, here, j);
        }
        finish(here, sum);
        return;
    }
    var terms: array<f32, KEPT>;
    for (var j = 0u; j < KEPT; j++) {
        terms[j] = term_or_zero(first, here, j);
    }
    for (var r = 0u; r < RUN; r++) {
        if first + r >= CHANNELS {
            break;
        }
        var sum = 0.0;
        for (var j = 0u; j <= BELOW + ABOVE; j++) {
            sum += terms[r + j];
        }
        finish(here + r * PLANE, sum);
    }
}

// The term of channel first + j - BELOW, 0 where there is none.
fn term_or_zero(first: u32, here: u32, j: u32) -> f32 {
    let is_inside = first + j >= BELOW && first + j < CHANNELS + BELOW;
    return select(0.0, term(select(here, here + j * PLANE - BELOW * PLANE, is_inside)), is_inside);
}
