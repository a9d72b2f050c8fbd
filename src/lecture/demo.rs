//! The arithmetic of convolution and pooling, a step at a time. Every result is the engine's, and is
//! compared with the sums that are written beside it: all numbers are whole, so the two are equal.

use super::layout::{Mark, Style, texts};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::conv::Conv2d;
use crate::ops::gemm::MatMul;
use crate::ops::pool::MaxPool2d;
use crate::ops::{Op, Value};
use crate::philox::Stream;
use crate::session::Session;
use crate::tensor::Tensor;

/// The numbers of the convolution without a seed.
const SEED: u64 = 231;
/// Names the streams of random numbers.
const STREAM: u32 = 0x1ec7_0001;

/// What an op gives on `device`.
fn compute(device: &Device, op: impl Op, inputs: &[&Tensor]) -> Result<Vec<f32>> {
    let mut graph = Graph::new();
    let names: Vec<_> = (0..inputs.len()).map(|i| format!("input{i}")).collect();
    let values = names.iter().zip(inputs).map(|(name, t)| graph.input(name.as_str(), t.ty()));
    let values: Vec<Value> = values.collect::<Result<_>>()?;
    let outputs = graph.add_all(op, &values)?;
    graph.output("output", outputs[0])?;
    let mut session = Session::new(device);
    let mut program = session.compile(&graph)?;
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(inputs.iter().copied()).collect();
    let outputs = session.run(&mut program, &inputs)?;
    // A sum of zeros may come out as -0.
    Ok(outputs.get("output")?.as_f32()?.iter().map(|v| v + 0.0).collect())
}

/// Errors where the device computed something else than the sum on the screen.
fn agree(what: &str, shown: f32, computed: f32) -> Result<()> {
    if shown == computed {
        return Ok(());
    }
    let problem = format!("{what}: the device computed {computed}, the sum is {shown}");
    Err(Error::Usage(problem))
}

/// The convolution of cs231n's animation: a 5x5 picture of three channels, padded by a pixel, and
/// two 3x3x3 filters at stride 2, which give 3x3x2.
struct Example {
    /// `[3, 7, 7]`, with the zeros around.
    padded: Vec<f32>,
    /// `[2, 3, 3, 3]`
    filters: Vec<f32>,
    bias: [f32; 2],
    /// `[2, 3, 3]`, computed by the device.
    output: Vec<f32>,
}

/// The side of the padded picture.
const PADDED: usize = 7;

impl Example {
    fn new(device: &Device, seed: Option<u64>) -> Result<Self> {
        let mut stream = Stream::new(seed.unwrap_or(SEED), [STREAM, 0, 0]);
        let input: Vec<f32> = (0..3 * 25).map(|_| stream.below(3) as f32).collect();
        let filters: Vec<f32> = (0..2 * 27).map(|_| stream.below(3) as f32 - 1.0).collect();
        let bias = [1.0, 0.0];
        let (x, w) = (
            Tensor::f32([1, 3, 5, 5], input.clone())?,
            Tensor::f32([2, 3, 3, 3], filters.clone())?,
        );
        let b = Tensor::f32([2], bias.to_vec())?;
        let output = compute(device, Conv2d::new(2, 1), &[&x, &w, &b])?;
        let mut padded = vec![0.0; 3 * PADDED * PADDED];
        for (i, value) in input.into_iter().enumerate() {
            padded[(i / 25 * PADDED + i / 5 % 5 + 1) * PADDED + i % 5 + 1] = value;
        }
        Ok(Example { padded, filters, bias, output })
    }

    /// The picture's values under the window of output (row, column), in the order channel, row, column.
    fn window(&self, row: usize, column: usize) -> Vec<f32> {
        let at =
            |c: usize, v: usize, u: usize| (c * PADDED + 2 * row + v) * PADDED + 2 * column + u;
        (0..27).map(|i| self.padded[at(i / 9, i / 3 % 3, i % 3)]).collect()
    }

    /// The padded picture with a window marked, channels side by side.
    fn picture(&self, style: Style, window: Option<(usize, usize)>) -> String {
        let mark = |y: usize, x: usize| match window {
            Some((row, column))
                if (2 * row..2 * row + 3).contains(&y)
                    && (2 * column..2 * column + 3).contains(&x) =>
            {
                Mark::Window
            }
            _ if [y, x].iter().any(|at| [0, PADDED - 1].contains(at)) => Mark::Faint,
            _ => Mark::Plain,
        };
        let channels = self.padded.chunks(PADDED * PADDED).enumerate();
        let blocks: Vec<_> = channels
            .map(|(c, plane)| style.grid(&format!("x[{c}]"), &texts(plane), PADDED, mark))
            .collect();
        style.beside(&blocks)
    }

    /// A filter, its channels side by side.
    fn filter(&self, style: Style, filter: usize) -> String {
        let channels = self.filters[filter * 27..][..27].chunks(9).enumerate();
        let blocks: Vec<_> = channels
            .map(|(c, plane)| {
                style.grid(&format!("w{filter}[{c}]"), &texts(plane), 3, |_, _| Mark::Plain)
            })
            .collect();
        style.beside(&blocks)
    }

    /// The outputs, the first `known` of them; `last` marks the newest.
    fn results(&self, style: Style, known: usize, last: bool) -> String {
        let shown = |filter: usize| -> Vec<String> {
            let values = (0..9).map(|i| match filter * 9 + i < known {
                true => self.output[filter * 9 + i].to_string(),
                false => ".".to_owned(),
            });
            values.collect()
        };
        let blocks = [0, 1].map(|filter| {
            style.grid(&format!("o[{filter}]"), &shown(filter), 3, |y, x| {
                match filter * 9 + y * 3 + x + 1 {
                    i if i > known => Mark::Faint,
                    i if i == known && last => Mark::Result,
                    _ => Mark::Plain,
                }
            })
        });
        style.beside(&blocks)
    }

    /// The sum behind output (filter, row, column), written out, and its value.
    fn sum(&self, style: Style, filter: usize, row: usize, column: usize) -> (String, f32) {
        let window = self.window(row, column);
        let weights = &self.filters[filter * 27..][..27];
        let mut lines = vec![];
        let mut sums = vec![];
        for (c, (x, w)) in window.chunks(9).zip(weights.chunks(9)).enumerate() {
            let terms: Vec<_> = x.iter().zip(w).map(|(x, w)| format!("{x}\u{b7}{w}")).collect();
            let sum = x.iter().zip(w).fold(0.0, |sum, (x, w)| sum + x * w);
            lines.push(style.wrap(&format!("channel {c}: {} = {sum}", terms.join(" + "))));
            sums.push(sum);
        }
        let bias = self.bias[filter];
        let total = sums.iter().sum::<f32>() + bias;
        let parts: Vec<_> = sums.iter().map(f32::to_string).collect();
        lines.push(style.wrap(&format!(
            "o[{filter}][{row}][{column}] = {} + bias {bias} = {total}",
            parts.join(" + ")
        )));
        (lines.join("\n"), total)
    }
}

/// Convolution, an output at a time: the window on the padded picture, the products, their sum. The
/// numbers come from `seed`. The text comes in steps, to be shown one after another.
///
/// Errors where the width is below 50, the device fails, or it computes something else.
pub fn conv(device: &Device, seed: Option<u64>, style: Style) -> Result<Vec<String>> {
    style.check()?;
    let example = Example::new(device, seed)?;
    let mut steps = vec![format!(
        "{}\n{}\n\n{}\n\n{}\n\n{}",
        style.heading("Convolution: 7x7x3 in, two filters of 3x3x3, stride 2: 3x3x2 out"),
        style.wrap(
            "The picture is 5x5 with three channels; a ring of zeros around it makes it 7x7. The \
             output's side is (7 - 3) / 2 + 1 = 3."
        ),
        example.picture(style, None),
        example.filter(style, 0),
        example.filter(style, 1),
    )];
    for (filter, row, column) in (0..18).map(|i| (i / 9, i / 3 % 3, i % 3)) {
        let index = filter * 9 + row * 3 + column;
        let (sum, total) = example.sum(style, filter, row, column);
        agree(&format!("o[{filter}][{row}][{column}]"), total, example.output[index])?;
        steps.push(format!(
            "{}\n{}\n\n{}\n\n{sum}\n\n{}",
            style.heading(&format!(
                "Step {} of 18: filter {filter}, rows {} to {}, columns {} to {}",
                index + 1,
                2 * row,
                2 * row + 2,
                2 * column,
                2 * column + 2
            )),
            example.picture(style, Some((row, column))),
            example.filter(style, filter),
            example.results(style, index + 1, true),
        ));
    }
    steps.push(style.wrap(&format!(
        "All 18 outputs are what {} computed for the whole convolution at once.",
        device.name()
    )));
    Ok(steps)
}

/// Max pooling of 2x2 windows at stride 2, a window at a time: on the lecture's 4x4 numbers, or on
/// random ones where there is a seed.
///
/// Errors as [`conv`].
pub fn pool(device: &Device, seed: Option<u64>, style: Style) -> Result<Vec<String>> {
    style.check()?;
    #[rustfmt::skip]
    let lecture = vec![
        1.0, 1.0, 2.0, 4.0,
        5.0, 6.0, 7.0, 8.0,
        3.0, 2.0, 1.0, 0.0,
        1.0, 2.0, 3.0, 4.0,
    ];
    let input = match seed {
        None => lecture,
        Some(seed) => {
            let mut stream = Stream::new(seed, [STREAM, 1, 0]);
            (0..16).map(|_| stream.below(10) as f32).collect()
        }
    };
    let x = Tensor::f32([1, 1, 4, 4], input.clone())?;
    let output = compute(device, MaxPool2d::new(2, 2), &[&x])?;
    let mut steps = vec![format!(
        "{}\n{}",
        style.heading("Max pooling: windows of 2x2, stride 2"),
        style.wrap("Of each window only the largest number goes on: 4x4 becomes 2x2."),
    )];
    for (index, &result) in output.iter().enumerate() {
        let (row, column) = (index / 2, index % 2);
        let window: Vec<f32> =
            (0..4).map(|i| input[(2 * row + i / 2) * 4 + 2 * column + i % 2]).collect();
        let largest = window.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        agree(&format!("o[{row}][{column}]"), largest, result)?;
        let known: Vec<String> = (0..4)
            .map(|i| if i <= index { output[i].to_string() } else { ".".to_owned() })
            .collect();
        let blocks = [
            style.grid("x", &texts(&input), 4, |y, x| {
                if (y / 2, x / 2) == (row, column) { Mark::Window } else { Mark::Plain }
            }),
            style.grid("o", &known, 2, |y, x| match y * 2 + x {
                i if i == index => Mark::Result,
                i if i > index => Mark::Faint,
                _ => Mark::Plain,
            }),
        ];
        steps.push(format!(
            "{}\n{}\n\nmax({}) = {result}",
            style.heading(&format!("Step {} of 4", index + 1)),
            style.beside(&blocks),
            texts(&window).join(", "),
        ));
    }
    Ok(steps)
}

/// The convolution of [`conv`] as one matrix product: every window becomes a column, every filter a row.
///
/// Errors as [`conv`].
pub fn im2col(device: &Device, seed: Option<u64>, style: Style) -> Result<Vec<String>> {
    style.check()?;
    let example = Example::new(device, seed)?;
    let windows: Vec<Vec<f32>> = (0..9).map(|i| example.window(i / 3, i % 3)).collect();
    let columns: Vec<f32> = (0..27).flat_map(|k| windows.iter().map(move |w| w[k])).collect();
    let weight = Tensor::f32([2, 27], example.filters.clone())?;
    let unfolded = Tensor::f32([27, 9], columns.clone())?;
    let product = compute(device, MatMul::default(), &[&weight, &unfolded])?;
    let mut steps = vec![format!(
        "{}\n{}\n\n{}\n\n{}\n\n{}",
        style.heading("im2col: a convolution as one matrix product"),
        style.wrap(
            "Each of the nine windows is written as a column of 27 numbers, each of the two filters \
             as a row of 27. The first window:"
        ),
        example.picture(style, Some((0, 0))),
        example.filter(style, 0),
        example.filter(style, 1),
    )];
    steps.push(matrices(&example, &columns, style));
    for (i, &dot) in product.iter().enumerate() {
        let (filter, row, column) = (i / 9, i / 3 % 3, i % 3);
        let total = dot + example.bias[filter];
        agree(&format!("o[{filter}][{row}][{column}]"), total, example.output[i])?;
    }
    let bias: Vec<_> = example.bias.iter().map(|&b| b.to_string()).collect();
    steps.push(format!(
        "{}\n{}\n\n{}\n\n{}\n{}",
        style.heading("The product W X, 2x27 times 27x9"),
        style.beside(&[style.grid("W X", &texts(&product), 9, |_, column| match column {
            0 => Mark::Result,
            _ => Mark::Plain,
        })]),
        style.wrap(&format!(
            "With the filters' biases, {}, and each row folded to 3x3, it is the direct convolution:",
            bias.join(" and ")
        )),
        example.results(style, 18, false),
        style.wrap(&format!("All 18 numbers are equal. Computed on {}.", device.name())),
    ));
    Ok(steps)
}

/// The filters' rows, turned upright, beside the columns of the windows; the first window is marked.
fn matrices(example: &Example, columns: &[f32], style: Style) -> String {
    let names: Vec<String> =
        (0..27).map(|k| format!("{},{},{}", k / 9, k / 3 % 3, k % 3)).collect();
    let upright: Vec<f32> =
        (0..27).flat_map(|k| [example.filters[k], example.filters[27 + k]]).collect();
    let first = |_: usize, column: usize| if column == 0 { Mark::Window } else { Mark::Plain };
    let blocks = [
        style.grid("c,row,col", &names, 1, |_, _| Mark::Faint),
        style.grid("W, upright", &texts(&upright), 2, first),
        style.grid("X: a column a window", &texts(columns), 9, first),
    ];
    format!(
        "{}\n{}\n\n{}",
        style.heading("The matrices"),
        style.wrap(
            "On the left the place in the window (channel, row, column), then the filters, written \
             downwards here, then the windows. The first filter and the first window are marked: \
             multiplied pair by pair and added up they are the first number of the product."
        ),
        style.beside(&blocks)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: false, width: 80 };

    /// Without the codes that colour the text.
    fn bare(text: &str) -> String {
        let parts = text.split('\x1b').enumerate();
        parts.map(|(i, p)| if i == 0 { p } else { p.split_once('m').unwrap().1 }).collect()
    }

    #[test]
    fn lines_stay_within_the_width_and_colours_change_no_column() {
        for demo in [conv, pool, im2col] {
            for width in [50, 63, 80, 120] {
                for seed in [None, Some(7)] {
                    let style = Style { colour: true, width };
                    let steps = demo(&Device::cpu(), seed, style).unwrap();
                    let plain =
                        demo(&Device::cpu(), seed, Style { colour: false, ..style }).unwrap();
                    for (step, plain) in steps.iter().zip(&plain) {
                        assert!(!plain.contains('\x1b'));
                        for (step, plain) in bare(step).lines().zip(plain.lines()) {
                            let blank = |line: &str| line.replace(['[', '<', ']', '>'], " ");
                            assert_eq!(blank(step).trim_end(), blank(plain).trim_end());
                        }
                        for line in plain.lines() {
                            assert!(line.chars().count() <= width, "{width}: {line}");
                        }
                    }
                }
            }
            assert!(demo(&Device::cpu(), None, Style { colour: false, width: 49 }).is_err());
        }
    }

    #[test]
    fn pooling_is_the_lectures() {
        let steps = pool(&Device::cpu(), None, PLAIN).unwrap();
        assert_eq!(steps.len(), 5);
        assert!(steps[1].contains("[1][1] 2  4 ") && steps[1].contains("max(1, 1, 5, 6) = 6"));
        assert!(steps[4].ends_with("max(1, 0, 3, 4) = 4"), "{}", steps[4]);
        for result in ["max(2, 4, 7, 8) = 8", "max(3, 2, 1, 2) = 3"] {
            assert!(steps.iter().any(|step| step.ends_with(result)), "{result}");
        }
        assert!(steps[4].contains(" 6  8") && steps[4].contains(" 3 <4>"), "{}", steps[4]);
    }

    /// The sums on the screen are the convolution by its definition, read back from the text.
    #[test]
    fn every_step_of_the_convolution_adds_up() {
        let steps = conv(&Device::cpu(), Some(5), PLAIN).unwrap();
        assert_eq!(steps.len(), 20);
        for step in &steps[1..19] {
            let text = step.replace("\n  ", " ");
            let mut total = 0.0;
            for line in text.lines().filter(|line| line.starts_with("channel ")) {
                let (terms, sum) = line.split_once(": ").unwrap().1.split_once(" = ").unwrap();
                let products = terms.split(" + ").map(|term| {
                    let (x, w) = term.split_once('\u{b7}').unwrap();
                    x.parse::<f32>().unwrap() * w.parse::<f32>().unwrap()
                });
                let products: Vec<f32> = products.collect();
                assert_eq!(
                    (products.len(), products.iter().sum::<f32>()),
                    (9, sum.parse().unwrap())
                );
                total += sum.parse::<f32>().unwrap();
            }
            let bias = if text.contains("filter 0") { 1.0 } else { 0.0 };
            let line =
                text.lines().find(|line| line.starts_with("o[") && line.contains('=')).unwrap();
            assert!(line.ends_with(&format!("bias {bias} = {}", total + bias)), "{line}");
        }
        let other = conv(&Device::cpu(), Some(6), PLAIN).unwrap();
        assert_ne!(steps[0], other[0], "the seed decides the numbers");
    }
}
