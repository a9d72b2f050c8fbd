//! Samples for the preparation of images.

use super::{ImageDraws, PrepareImages, Turn, Window};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Tensor, TensorType};

/// A window of `output` that shows some part of `input` `[height, width]`, and perhaps what is outside.
fn window(draw: &mut Draw, input: [usize; 2], output: [usize; 2]) -> Window {
    let step = if draw.flip() { 1.0 } else { -1.0 };
    let mut span = |input: usize, output: usize, step: f32| {
        let reach = draw.size(0, input + output) as f32 - output as f32;
        let first = if step > 0.0 { reach } else { input as f32 - 1.0 - reach };
        // The outputs whose inputs exist: 0 <= first + step o < input.
        let inside = (0..output).filter(|&o| {
            let at = first + step * o as f32;
            0.0 <= at && at < input as f32
        });
        let (least, most) = (inside.clone().min(), inside.max());
        (first, [least.unwrap_or(0) as f32, most.map_or(0, |most| most + 1) as f32])
    };
    let (top, rows) = span(input[0], output[0], 1.0);
    let (left, columns) = span(input[1], output[1], step);
    Window { step, left, top, columns, rows }
}

/// Random draws of all kinds for an op.
fn image_draws(draw: &mut Draw, op: &PrepareImages) -> ImageDraws {
    let [_, height, width] = op.image;
    // Without turning nothing says how large the image is between the windows.
    let middle = op.turned.unwrap_or([height + 2, width + 1]);
    let mut uniform =
        |low: f32, high: f32| low + (high - low) * draw.size(0, 1 << 20) as f32 / 1048576.0;
    let (angle, scale) = (uniform(-3.0, 3.0), uniform(0.7, 1.4));
    let turn = Turn {
        cos: angle.cos() / scale,
        sin: angle.sin() / scale,
        shear: uniform(-0.4, 0.4),
        mirror: uniform(-1.0, 1.0).signum(),
        shift: [uniform(-3.0, 3.0).round(), uniform(-3.0, 3.0).round()],
    };
    let mut draws = ImageDraws {
        turn,
        contrast: uniform(0.5, 1.5),
        offset: uniform(-90.0, 90.0),
        saturation: uniform(0.0, 1.9),
        colour: [0; 3].map(|_| uniform(-30.0, 30.0)),
        ..ImageDraws::none(op.size)
    };
    draws.first = window(draw, [height, width], middle);
    draws.last = window(draw, middle, op.size);
    if draw.flip() {
        // As many draws leave colours alone: then nothing is clamped.
        (draws.contrast, draws.offset, draws.saturation) = (1.0, 0.0, 1.0);
    }
    let mut hidden = |side: usize| {
        let first = draw.size(0, side);
        [first as f32, draw.size(first, side) as f32]
    };
    (draws.hidden_rows, draws.hidden_columns) = (hidden(op.size[0]), hidden(op.size[1]));
    draws
}

fn case(op: PrepareImages, batch: usize, draw: &mut Draw) -> Case {
    let words = (0..batch * op.words()).map(|_| draw.size(0, u32::MAX as usize - 1) as u32);
    let words = words.collect();
    let mut rows = vec![];
    for _ in 0..batch {
        rows.extend_from_slice(image_draws(draw, &op).as_row());
        let lines = draw.uniform([op.image[0], 2], -0.02, 0.02);
        rows.extend(lines.into_f32());
    }
    let scalar = |_| Tensor::scalar(0.0);
    let pixels = Tensor::u32([batch, op.words()], words).unwrap_or_else(scalar);
    let draws = Tensor::f32([batch, op.draws()], rows).unwrap_or_else(scalar);
    let mut inputs = vec![pixels, draws];
    if op.has_mean {
        inputs.push(draw.uniform(op.image, 60.0, 180.0));
    }
    Case::new(format!("{op:?}, batch {batch}"), op, inputs)
}

/// Images whose bytes fill their words or do not, one to five channels, what is cut out smaller and
/// larger than what it is cut from, several workgroups, a batch that small bindings cut in two.
pub(super) fn cases(draw: &mut Draw) -> Vec<Case> {
    let op = |image, size, turned, has_mean| PrepareImages { image, size, turned, has_mean };
    vec![
        case(op([3, 8, 8], [8, 8], None, false), 4, draw),
        case(op([3, 9, 7], [5, 6], None, true), 5, draw),
        case(op([3, 9, 7], [5, 6], Some([11, 10]), true), 7, draw),
        case(op([1, 13, 11], [13, 11], Some([13, 11]), false), 6, draw),
        case(op([4, 5, 3], [12, 9], None, false), 3, draw),
        case(op([2, 1, 1], [1, 1], Some([1, 1]), false), 2, draw),
        case(op([5, 3, 17], [4, 4], Some([6, 20]), true), 3, draw),
        case(op([3, 32, 32], [32, 32], Some([32, 32]), false), 1, draw),
        case(op([3, 30, 34], [24, 28], None, true), 2, draw),
        case(op([1, 9, 8], [8, 8], Some([8, 8]), false), 80, draw),
    ]
}

pub(super) fn random(draw: &mut Draw) -> Case {
    let mut side = || draw.size(1, 12);
    let (image, size, middle) = ([side(), side()], [side(), side()], [side(), side()]);
    let channels = draw.pick(&[1, 2, 3, 3, 4]);
    let turned = draw.flip().then_some(middle);
    let image = [channels, image[0], image[1]];
    let (has_mean, batch) = (draw.flip(), draw.size(1, 6));
    case(PrepareImages { image, size, turned, has_mean }, batch, draw)
}

pub(super) fn errors() -> Vec<ErrorCase> {
    let good = PrepareImages { image: [3, 4, 5], size: [4, 4], turned: None, has_mean: false };
    let (pixels, draws) = (TensorType::u32([2, 15]), TensorType::f32([2, 36]));
    let inputs = || vec![pixels.clone(), draws.clone()];
    let zero = |image, size, turned| PrepareImages { image, size, turned, ..good };
    vec![
        ErrorCase::new(zero([3, 0, 5], [4, 4], None), inputs(), "extents"),
        ErrorCase::new(zero([3, 4, 5], [4, 1 << 24], None), inputs(), "extents"),
        ErrorCase::new(zero([3, 4, 5], [4, 4], Some([0, 4])), inputs(), "extents"),
        ErrorCase::new(zero([1 << 20, 1 << 20, 5], [4, 4], None), inputs(), "counted"),
        ErrorCase::new(good, inputs()[..1].to_vec(), "takes 2 inputs"),
        ErrorCase::new(PrepareImages { has_mean: true, ..good }, inputs(), "takes 3 inputs"),
        ErrorCase::new(good, vec![TensorType::u32([2, 16]), draws.clone()], "input 0 must be"),
        ErrorCase::new(good, vec![TensorType::f32([2, 15]), draws.clone()], "input 0 must be"),
        ErrorCase::new(good, vec![pixels.clone(), TensorType::f32([3, 36])], "input 1 must be"),
        ErrorCase::new(good, vec![TensorType::u32([0, 15]), TensorType::f32([0, 36])], "empty"),
    ]
}
