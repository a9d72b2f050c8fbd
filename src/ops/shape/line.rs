//! How the positions of a line are mapped when it is resampled.

use std::ops::Range;

use super::strided::words;

/// What becomes of an axis of extent `n` when it is resampled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Line {
    /// It stays as it is.
    #[default]
    Keep,
    /// Elements are put before and after it as in a mirror whose plane is the first or last element.
    Reflect {
        /// Elements before it, fewer than n.
        before: usize,
        /// Elements after it, fewer than n.
        after: usize,
    },
    /// The first and last elements are repeated.
    Replicate {
        /// Elements before it.
        before: usize,
        /// Elements after it.
        after: usize,
    },
    /// Output i is element `floor(i * ratio)`.
    Nearest {
        /// The new extent.
        outputs: usize,
        /// Inputs an output, as numerator and denominator; `[n, outputs]` for all of the axis.
        ratio: [usize; 2],
    },
    /// Output i lies at `(i + 1/2) * ratio - 1/2`, or, with the corners aligned, at
    /// `i * (n - 1) / (outputs - 1)`, between two elements and is a mean of them.
    Linear {
        /// The new extent.
        outputs: usize,
        /// Inputs an output, as numerator and denominator; `[n, outputs]` for all of the axis.
        ratio: [usize; 2],
        /// Whether first and last outputs are the first and last inputs.
        align_corners: bool,
    },
}

/// The modes of `shaders/lib/resample.wgsl`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Nearest,
    Linear,
    Reflect,
    Replicate,
}

/// A line of known extent: output i lies at `max(i * p + q - r, 0) / d`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) mode: Mode,
    pub(super) n: usize,
    pub(super) outputs: usize,
    p: usize,
    q: usize,
    r: usize,
    d: usize,
    before: usize,
}

/// The input positions that an output takes from, and the weight of the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) weight: f32,
}

impl Line {
    /// All of an axis of extent `n`, to `outputs`.
    pub fn nearest(n: usize, outputs: usize) -> Self {
        Line::Nearest { outputs, ratio: [n, outputs] }
    }

    /// All of an axis of extent `n`, to `outputs`.
    pub fn linear(n: usize, outputs: usize, align_corners: bool) -> Self {
        Line::Linear { outputs, ratio: [n, outputs], align_corners }
    }

    /// The map of an axis of extent `n`, or what is wrong.
    pub(super) fn map(self, n: usize) -> Result<Map, String> {
        let still = Map { mode: Mode::Nearest, n, outputs: n, p: 1, q: 0, r: 0, d: 1, before: 0 };
        let padded = |mode, before: usize, after: usize| {
            let outputs = n.checked_add(before).and_then(|n| n.checked_add(after));
            Map { mode, outputs: outputs.unwrap_or(usize::MAX), before, ..still }
        };
        let map = match self {
            Line::Keep => still,
            Line::Reflect { before, after } if before.max(after) >= n => {
                return Err(format!(
                    "{} reflected elements need an extent larger than {n}",
                    before.max(after)
                ));
            }
            Line::Reflect { before, after } => padded(Mode::Reflect, before, after),
            Line::Replicate { before, after } => padded(Mode::Replicate, before, after),
            Line::Nearest { outputs, ratio: [a, b] } => Map { outputs, p: a, d: b, ..still },
            Line::Linear { outputs, align_corners: true, .. } => Map {
                mode: Mode::Linear,
                outputs,
                p: if outputs == 1 { 0 } else { n - 1 },
                d: outputs.saturating_sub(1).max(1),
                ..still
            },
            Line::Linear { outputs, ratio: [a, b], .. } => Map {
                mode: Mode::Linear,
                outputs,
                p: a.saturating_mul(2),
                q: a,
                r: b,
                d: b.saturating_mul(2),
                ..still
            },
        };
        if map.outputs == 0 || map.d == 0 {
            return Err(format!("{self:?} gives no output"));
        }
        // What the shaders multiply must fit 32 bits.
        let largest = [(map.outputs, map.p, map.q), (n + 1, map.d, map.r)]
            .map(|(a, b, c)| a.checked_mul(b).and_then(|ab| ab.checked_add(c)));
        if largest.iter().any(|l| l.is_none_or(|l| l > u32::MAX as usize)) {
            return Err(format!("an axis of {n} is too long for {self:?}"));
        }
        Ok(map)
    }
}

impl Map {
    /// Where output `i` takes from.
    pub(super) fn taps(&self, i: usize) -> Taps {
        let last = self.n - 1;
        let at = match self.mode {
            Mode::Replicate => i.saturating_sub(self.before).min(last),
            Mode::Reflect => {
                let at = i.abs_diff(self.before);
                if at > last { 2 * last - at } else { at }
            }
            Mode::Nearest | Mode::Linear => {
                let x = (i * self.p + self.q).saturating_sub(self.r);
                let whole = x / self.d;
                if self.mode == Mode::Linear && whole < last {
                    let weight = (x % self.d) as f32 / self.d as f32;
                    return Taps { first: whole, second: whole + 1, weight };
                }
                whole.min(last)
            }
        };
        Taps { first: at, second: at, weight: 0.0 }
    }

    /// The inputs between the first and the last that each output takes from.
    pub(super) fn spans(&self) -> Vec<Range<usize>> {
        (0..self.outputs).map(|i| self.taps(i)).map(|t| t.first..t.second + 1).collect()
    }

    /// The outputs between the first and the last that take from each input; none for one that
    /// nobody takes from.
    pub(super) fn spans_of_inputs(&self) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = vec![0..0; self.n];
        for i in 0..self.outputs {
            let taps = self.taps(i);
            for at in [taps.first, taps.second] {
                let start = if spans[at].is_empty() { i } else { spans[at].start };
                spans[at] = start..i + 1;
            }
        }
        spans
    }

    /// The most outputs that take from one input.
    pub(super) fn most_takers(&self) -> usize {
        match self.mode {
            Mode::Reflect => 3,
            Mode::Replicate => self.outputs,
            Mode::Nearest | Mode::Linear => (2 * self.outputs).div_ceil(self.n) + 2,
        }
    }

    /// For the shaders: the mode's number, and the fields in their order.
    pub(super) fn code(&self) -> (u32, [u32; 7]) {
        let fields = [self.n, self.outputs, self.p, self.q, self.r, self.d, self.before];
        (self.mode as u32, words(fields))
    }
}
