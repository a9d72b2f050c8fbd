//! Filters written by hand, run over pictures by the convolution of the engine.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::conv::Conv2d;
use crate::session::Session;
use crate::tensor::Tensor;

/// The widest kernel that is taken.
const MOST_SIDE: usize = 99;
const FORM: &str = "write rows with `;` between them, as \"1 0 -1; 2 0 -2; 1 0 -1\"";

/// A square filter of odd size for one channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Kernel {
    name: String,
    text: String,
    side: usize,
    weights: Vec<f32>,
}

/// The lecture's filters, from left to right.
const LECTURE: [(&str, &str); 7] = [
    ("identity", "0 0 0; 0 1 0; 0 0 0"),
    ("edges, diagonal", "1 0 -1; 0 0 0; -1 0 1"),
    ("edges, four neighbours", "0 1 0; 1 -4 1; 0 1 0"),
    ("edges, eight neighbours", "-1 -1 -1; -1 8 -1; -1 -1 -1"),
    ("sharpen", "0 -1 0; -1 5 -1; 0 -1 0"),
    ("box blur", "1/9 * 1 1 1; 1 1 1; 1 1 1"),
    ("Gaussian blur", "1/16 * 1 2 1; 2 4 2; 1 2 1"),
];

impl Kernel {
    /// The lecture's seven filters: identity, three that find edges, sharpen, box and Gaussian blur.
    ///
    /// Errors never, unless the list in this file is wrong.
    pub fn lecture() -> Result<Vec<Self>> {
        LECTURE.iter().map(|(name, text)| Kernel::parse(name, text)).collect()
    }

    /// Reads a kernel such as `1 0 -1; 2 0 -2; 1 0 -1`: rows divided by `;`, numbers by spaces or
    /// commas. Numbers may be fractions, `1/9`, and a factor may come first, `1/16 * 1 2 1; ...`.
    ///
    /// Errors where the rows differ in length, the kernel is not square or of an even size or larger than
    /// 99, or a word is not a number.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let fault = |problem: String| Error::setting("kernel", text, problem);
        let (factor, rows) = match text.split_once('*') {
            Some((factor, rows)) => (number(factor.trim()).map_err(fault)?, rows),
            None => (1.0, text),
        };
        let rows = rows.trim().trim_end_matches(';').split(';');
        let words = |row: &str| -> Result<Vec<f32>> {
            let words = row.split(|c: char| c.is_whitespace() || c == ',');
            let words = words.filter(|word| !word.is_empty());
            words.map(|word| number(word).map(|w| factor * w).map_err(fault)).collect()
        };
        let rows: Vec<_> = rows.map(words).collect::<Result<_>>()?;
        let side = rows.len();
        if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != side) {
            return Err(fault(format!(
                "row {} has {} numbers where there are {side} rows; it must be square: {FORM}",
                i + 1,
                row.len()
            )));
        }
        if side % 2 == 0 || side > MOST_SIDE {
            return Err(fault(format!(
                "it is {side}x{side}; the size must be odd, so that there is a middle, and at most \
                 {MOST_SIDE}"
            )));
        }
        let (name, text) = (name.to_owned(), text.trim().to_owned());
        Ok(Kernel { name, text, side, weights: rows.concat() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The numbers as they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The weights, row-major.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Whether the weights sum to 0: the filter answers to differences and not to brightness.
    pub fn finds_edges(&self) -> bool {
        let size: f32 = self.weights.iter().map(|w| w.abs()).sum();
        self.weights.iter().sum::<f32>().abs() <= 1e-6 * size
    }

    /// The filter at every pixel of every plane, on `device`: `[channels, height, width]` in and out.
    /// Beyond the edges the planes are taken to go on as they end.
    ///
    /// Errors where `planes` is not of three axes, or the device fails.
    pub fn apply(&self, device: &Device, planes: &Tensor) -> Result<Tensor> {
        let &[channels, height, width] = planes.shape().dims() else {
            let problem = "a picture to filter is f32[channels, height, width]";
            return Err(Error::Usage(format!("{problem}, {} was given", planes.ty())));
        };
        let padded = self.padded(planes.as_f32()?, [channels, height, width])?;
        // A channel is an image of its own to the convolution, as all have the same filter.
        let weight = Tensor::f32([1, 1, self.side, self.side], self.weights.clone())?;
        let mut graph = Graph::new();
        let x = graph.input("picture", padded.ty())?;
        let w = graph.input("kernel", weight.ty())?;
        let y = graph.add(Conv2d::new(1, 0), &[x, w])?;
        graph.output("filtered", y)?;
        let mut session = Session::new(device);
        let mut program = session.compile(&graph)?;
        let outputs = session.run(&mut program, &[("picture", &padded), ("kernel", &weight)])?;
        let filtered = outputs.get("filtered")?.as_f32()?.to_vec();
        Tensor::f32([channels, height, width], filtered)
    }

    /// The planes as images of one channel, with half a kernel of their border pixels around.
    fn padded(&self, planes: &[f32], [channels, height, width]: [usize; 3]) -> Result<Tensor> {
        let half = self.side / 2;
        let (rows, columns) = (height + 2 * half, width + 2 * half);
        let inside = |at: usize, extent: usize| at.saturating_sub(half).min(extent - 1);
        let mut padded = Vec::with_capacity(channels * rows * columns);
        for plane in planes.chunks_exact((height * width).max(1)) {
            for y in 0..rows {
                let row = &plane[inside(y, height) * width..][..width];
                padded.extend((0..columns).map(|x| row[inside(x, width)]));
            }
        }
        Tensor::f32([channels, 1, rows, columns], padded)
    }

    /// What is shown of a filtered value: cut to 0..255, as a screen does; the size of it where the
    /// filter finds edges, of which half would be black otherwise.
    pub fn shown(&self, value: f32) -> u8 {
        let value = if self.finds_edges() { value.abs() } else { value };
        value.round().clamp(0.0, 255.0) as u8
    }
}

/// A number, or a fraction of two.
fn number(word: &str) -> Result<f32, String> {
    let parse = |part: &str| part.trim().parse::<f32>().ok().filter(|v| v.is_finite());
    let value = match word.split_once('/') {
        Some((above, below)) => parse(above).zip(parse(below)).map(|(a, b)| a / b),
        None => parse(word),
    };
    value
        .filter(|v| v.is_finite())
        .ok_or_else(|| format!("`{}` is not a number; {FORM}", word.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::case::Draw;

    #[test]
    fn kernels_are_read_as_they_are_written() {
        let sobel = Kernel::parse("sobel", "1 0 -1; 2,0,-2; 1 0 -1;").unwrap();
        assert_eq!(sobel.weights(), [1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, 0.0, -1.0]);
        assert!(sobel.finds_edges());
        let lecture = Kernel::lecture().unwrap();
        assert_eq!(lecture[5].weights(), [1.0 / 9.0; 9]);
        assert_eq!(lecture[6].weights()[..2], [1.0 / 16.0, 2.0 / 16.0]);
        let edges: Vec<_> = lecture.iter().map(Kernel::finds_edges).collect();
        assert_eq!(edges, [false, true, true, true, false, false, false]);
        assert_eq!(Kernel::parse("", "7").unwrap().weights(), [7.0]);
        let large = Kernel::parse("", &["0.5 -1e-2 1/2 4 5"; 5].join(";")).unwrap();
        assert_eq!(large.weights()[..5], [0.5, -0.01, 0.5, 4.0, 5.0]);
    }

    #[test]
    fn faulty_kernels_are_refused_in_one_line() {
        for (text, says) in [
            ("", "row 1 has 0 numbers"),
            ("1 2 3; 4 5; 6 7 8", "row 2 has 2 numbers where there are 3 rows"),
            ("1 2 3", "row 1 has 3 numbers where there are 1 rows"),
            ("1 2; 3 4", "it is 2x2; the size must be odd"),
            ("1 0 x; 0 0 0; 0 0 0", "`x` is not a number"),
            ("1 0 1/0; 0 0 0; 0 0 0", "`1/0` is not a number"),
            ("inf", "`inf` is not a number"),
            ("two * 1", "`two` is not a number"),
            (&vec![vec!["1"; 101].join(" "); 101].join(";"), "at most 99"),
        ] {
            let message = Kernel::parse("own", text).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }

    /// By definition, a pixel at a time, with the border's pixels going on beyond it.
    #[test]
    fn the_engine_filters_as_the_definition_says() {
        let mut draw = Draw::new(3);
        let (shape, side) = ([3, 6, 9], 5);
        let planes = draw.normal(shape);
        let weights = draw.normal([side, side]).into_f32();
        let text: Vec<_> = weights
            .chunks(side)
            .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        let kernel = Kernel::parse("random", &text.join(";")).unwrap();
        assert_eq!(kernel.weights(), weights);
        let filtered = kernel.apply(&Device::cpu(), &planes).unwrap();
        assert_eq!(filtered.shape().dims(), shape);
        let input = planes.as_f32().unwrap();
        let mut expected = vec![];
        for (c, y, x) in (0..3 * 54).map(|i| (i / 54, i / 9 % 6, i % 9)) {
            let term = |i: usize| {
                let row = (y + i / side).saturating_sub(2).min(5);
                let column = (x + i % side).saturating_sub(2).min(8);
                f64::from(weights[i]) * f64::from(input[c * 54 + row * 9 + column])
            };
            expected.push((0..side * side).map(term).sum::<f64>());
        }
        let filtered = filtered.as_f32().unwrap().iter().map(|&v| f64::from(v));
        crate::tolerance::Tolerance::single(side * side).check(filtered, &expected).unwrap();
    }

    #[test]
    fn values_are_shown_as_a_screen_does() {
        let lecture = Kernel::lecture().unwrap();
        let (identity, edges) = (&lecture[0], &lecture[3]);
        assert_eq!([-9.0, 0.4, 77.6, 300.0].map(|v| identity.shown(v)), [0, 0, 78, 255]);
        assert_eq!([-9.0, -900.0, 12.0].map(|v| edges.shown(v)), [9, 255, 12]);
    }
}
