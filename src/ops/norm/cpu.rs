//! The loops of the CPU engine. Sums are in double precision, on all cores, in an order that depends on
//! the shape alone.

use rayon::prelude::*;

use super::layout::Layout;

/// The columns that one thread adds up at a time where neighbours belong to different sums.
const COLUMNS: usize = 64;
const LANES: usize = 16;
/// The elements below which a thread is not worth its waking.
const LEAST: usize = 8 * 1024;

/// How elements are shifted and scaled.
pub(super) struct Affine<'a> {
    pub weight: Option<&'a [f32]>,
    pub bias: Option<&'a [f32]>,
    /// 0 where it is not there.
    pub mean: Option<&'a [f32]>,
    pub variance: &'a [f32],
    pub eps: f32,
}

/// What a backward pass reads.
pub(super) struct Given<'a> {
    pub input: &'a [f32],
    pub mean: &'a [f32],
    pub variance: &'a [f32],
    pub grad: &'a [f32],
    pub eps: f32,
}

/// Two sums over elements, in lanes that vector units can hold.
struct Pair([[f64; LANES]; 2]);

impl Pair {
    fn new() -> Self {
        Pair([[0.0; LANES]; 2])
    }

    /// Adds the two terms that `f` makes of each element of `a`, `b` and `c`.
    #[inline(always)]
    fn add(&mut self, a: &[f32], b: &[f32], c: &[f32], f: impl Fn(f64, f64, f64) -> [f64; 2]) {
        let [first, second] = &mut self.0;
        let mut add = |a: &[f32], b: &[f32], c: &[f32]| {
            let lanes = first.iter_mut().zip(second.iter_mut());
            for ((first, second), ((&a, &b), &c)) in lanes.zip(a.iter().zip(b).zip(c)) {
                let [x, y] = f(a.into(), b.into(), c.into());
                *first += x;
                *second += y;
            }
        };
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let (c, c_rest) = c.as_chunks::<LANES>();
        a.iter().zip(b).zip(c).for_each(|((a, b), c)| add(a, b, c));
        add(a_rest, b_rest, c_rest);
    }

    fn sums(&self) -> [f64; 2] {
        self.0.map(|lanes| lanes.iter().sum())
    }
}

/// Mean and biased variance of each set, in one pass over deviations from the set's first element. Those
/// are exact in double precision, and there is room for the squares of deviations 10,000 times as large
/// as the standard deviation.
pub(super) fn moments(layout: &Layout, input: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let &Layout { samples, groups, depth, plane, across } = layout;
    let size = layout.set_size() as f64;
    let finish = |shift: f32, [sum, squares]: [f64; 2], mean: &mut f32, variance: &mut f32| {
        let deviation = sum / size;
        *mean = (f64::from(shift) + deviation) as f32;
        *variance = (squares / size - deviation * deviation).max(0.0) as f32;
    };
    let deviation = |shift: f32| {
        let shift = f64::from(shift);
        move |x: f64, _: f64, _: f64| [x - shift, (x - shift) * (x - shift)]
    };
    if across && plane == 1 {
        let parts = mean.par_chunks_mut(COLUMNS).zip(variance.par_chunks_mut(COLUMNS));
        parts.enumerate().for_each(|(part, (mean, variance))| {
            let row = |n: usize| &input[n * groups + part * COLUMNS..][..mean.len()];
            let mut sums = [[0.0; 2]; COLUMNS];
            for n in 0..samples {
                for ((sums, &x), &shift) in sums.iter_mut().zip(row(n)).zip(row(0)) {
                    let [first, second] = deviation(shift)(x.into(), 0.0, 0.0);
                    sums[0] += first;
                    sums[1] += second;
                }
            }
            let first = &input[part * COLUMNS..];
            let outputs = mean.iter_mut().zip(variance).zip(first).zip(sums);
            outputs.for_each(|(((m, v), &shift), sums)| finish(shift, sums, m, v));
        });
        return;
    }
    let block = depth * plane;
    let sets = mean.par_iter_mut().zip(variance.par_iter_mut()).enumerate();
    sets.with_min_len(LEAST.div_ceil(layout.set_size())).for_each(|(set, (mean, variance))| {
        let mut pair = Pair::new();
        let shift = input[set * block];
        // A set is one block, or one of each sample.
        for n in 0..if across { samples } else { 1 } {
            let values = &input[(n * groups + set) * block..][..block];
            pair.add(values, values, values, deviation(shift));
        }
        finish(shift, pair.sums(), mean, variance);
    });
}

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`.
pub(super) fn normalise(layout: &Layout, input: &[f32], affine: &Affine<'_>, output: &mut [f32]) {
    let mean = |set: usize| affine.mean.map_or(0.0, |mean| mean[set]);
    let weight = |parameter: usize| affine.weight.map_or(1.0, |weight| weight[parameter]);
    let bias = |parameter: usize| affine.bias.map_or(0.0, |bias| bias[parameter]);
    let inverse = |set: usize| 1.0 / (affine.variance[set] + affine.eps).sqrt();
    runs(layout, output, |run, output| {
        let input = &input[run.start..][..output.len()];
        let elements = output.iter_mut().zip(input);
        match run.kind {
            Kind::One { set, parameter } => {
                let (mean, scale) = (mean(set), inverse(set) * weight(parameter));
                let bias = bias(parameter);
                elements.for_each(|(y, x)| *y = (x - mean) * scale + bias);
            }
            Kind::Parameters { set, parameter } => {
                let (mean, inverse) = (mean(set), inverse(set));
                elements.enumerate().for_each(|(i, (y, x))| {
                    let i = parameter + i;
                    *y = (x - mean) * (inverse * weight(i)) + bias(i);
                });
            }
            Kind::Sets => elements.enumerate().for_each(|(i, (y, x))| {
                *y = (x - mean(i)) * (inverse(i) * weight(i)) + bias(i);
            }),
        }
    });
}

/// `grad_x = (w g - (S + xhat X) / m) / d`, or `w (g - (S + xhat X) / m) / d` across the batch, with
/// `d = sqrt(variance + eps)`, `xhat = (x - mean) / d` and `[S, X]` the `sums`.
pub(super) fn grad_input(
    layout: &Layout,
    given: &Given<'_>,
    sums: [&[f32]; 2],
    weight: Option<&[f32]>,
    output: &mut [f32],
) {
    let weight = |parameter: usize| weight.map_or(1.0, |weight| weight[parameter]);
    let size = layout.set_size() as f32;
    // The shares of a set's gradient, mean and deviation from it in `grad_x`, for a weight of 1.
    let shares = |set: usize| {
        let inverse = 1.0 / (given.variance[set] + given.eps).sqrt();
        let constant = inverse * sums[0][set] / size;
        (inverse, constant, inverse * inverse * sums[1][set] / size)
    };
    runs(layout, output, |run, output| {
        let input = &given.input[run.start..][..output.len()];
        let grad = &given.grad[run.start..][..output.len()];
        let elements = output.iter_mut().zip(input).zip(grad);
        match run.kind {
            Kind::One { set, parameter } => {
                let (inverse, constant, slope) = shares(set);
                let (mean, weight) = (given.mean[set], weight(parameter));
                let outer = if layout.across { weight } else { 1.0 };
                let (scale, constant, slope) = (inverse * weight, constant * outer, slope * outer);
                elements.for_each(|((y, x), g)| *y = scale * g - constant - slope * (x - mean));
            }
            Kind::Parameters { set, parameter } => {
                let (inverse, constant, slope) = shares(set);
                let mean = given.mean[set];
                elements.enumerate().for_each(|(i, ((y, x), g))| {
                    let scale = inverse * weight(parameter + i);
                    *y = scale * g - constant - slope * (x - mean);
                });
            }
            Kind::Sets => elements.enumerate().for_each(|(i, ((y, x), g))| {
                let (inverse, constant, slope) = shares(i);
                *y = weight(i) * (inverse * g - constant - slope * (x - given.mean[i]));
            }),
        }
    });
}

/// Elements in a row of which only some things differ.
struct Run {
    start: usize,
    kind: Kind,
}

enum Kind {
    /// One set and one parameter.
    One { set: usize, parameter: usize },
    /// One set, and parameters that follow one another from this one.
    Parameters { set: usize, parameter: usize },
    /// Sets and parameters that both follow one another from 0.
    Sets,
}

/// Calls `f` on every run of `output`, as long ones as there are.
fn runs(layout: &Layout, output: &mut [f32], f: impl Fn(Run, &mut [f32]) + Send + Sync) {
    let &Layout { groups, depth, plane, across, .. } = layout;
    let length = match (plane, across) {
        (1, true) => groups,
        (1, false) => depth,
        _ => plane,
    };
    let chunks = output.par_chunks_mut(length).enumerate();
    chunks.with_min_len(LEAST.div_ceil(length)).for_each(|(index, output)| {
        let kind = match (plane, across) {
            (1, true) => Kind::Sets,
            (1, false) => Kind::Parameters { set: index, parameter: index % groups * depth },
            _ => {
                let parameter = index % (groups * depth);
                let set = if across { parameter } else { index / depth };
                Kind::One { set, parameter }
            }
        };
        f(Run { start: index * length, kind }, output);
    });
}

/// For each set, the sums of `w g` and of `w g xhat`. Not across the batch.
pub(super) fn sums_by_set(
    layout: &Layout,
    given: &Given<'_>,
    weight: Option<&[f32]>,
    sum: &mut [f32],
    sum_xhat: &mut [f32],
) {
    let &Layout { groups, depth, plane, .. } = layout;
    let block = depth * plane;
    let sets = sum.par_iter_mut().zip(sum_xhat).enumerate();
    sets.with_min_len(LEAST.div_ceil(block)).for_each(|(set, (sum, sum_xhat))| {
        let mean = f64::from(given.mean[set]);
        let input = &given.input[set * block..][..block];
        let grad = &given.grad[set * block..][..block];
        let terms = |x: f64, g: f64, _: f64| [g, g * (x - mean)];
        let mut pair = Pair::new();
        let [first, second] = match weight.map(|w| &w[set % groups * depth..][..depth]) {
            None => {
                pair.add(input, grad, grad, terms);
                pair.sums()
            }
            Some(weight) if plane == 1 => {
                pair.add(input, grad, weight, |x, g, w| [w * g, w * g * (x - mean)]);
                pair.sums()
            }
            Some(weight) => {
                let planes = input.chunks(plane).zip(grad.chunks(plane)).zip(weight);
                planes.fold([0.0; 2], |[first, second], ((x, g), &w)| {
                    let mut pair = Pair::new();
                    pair.add(x, g, g, terms);
                    let [a, b] = pair.sums();
                    [first + f64::from(w) * a, second + f64::from(w) * b]
                })
            }
        };
        *sum = first as f32;
        *sum_xhat =
            (second / (f64::from(given.variance[set]) + f64::from(given.eps)).sqrt()) as f32;
    });
}

/// For each parameter, the sums of `g` and of `g xhat`.
pub(super) fn sums_by_parameter(
    layout: &Layout,
    given: &Given<'_>,
    sum: &mut [f32],
    sum_xhat: &mut [f32],
) {
    let &Layout { samples, groups, depth, plane, across } = layout;
    let parameters = groups * depth;
    let set_of = |n: usize, p: usize| if across { p } else { n * groups + p / depth };
    let inverse = |set: usize| 1.0 / (f64::from(given.variance[set]) + f64::from(given.eps)).sqrt();
    if plane > 1 {
        let both = sum.par_iter_mut().zip(sum_xhat).enumerate();
        both.with_min_len(LEAST.div_ceil(samples * plane)).for_each(|(p, (sum, sum_xhat))| {
            let (mut first, mut second) = (0.0, 0.0);
            for n in 0..samples {
                let set = set_of(n, p);
                let mean = f64::from(given.mean[set]);
                let start = (n * parameters + p) * plane;
                let [x, g] = [given.input, given.grad].map(|v| &v[start..][..plane]);
                let mut pair = Pair::new();
                pair.add(x, g, g, |x, g, _| [g, g * (x - mean)]);
                let [a, b] = pair.sums();
                first += a;
                second += b * inverse(set);
            }
            (*sum, *sum_xhat) = (first as f32, second as f32);
        });
        return;
    }
    let parts = sum.par_chunks_mut(COLUMNS).zip(sum_xhat.par_chunks_mut(COLUMNS));
    parts.enumerate().for_each(|(part, (sum, sum_xhat))| {
        let columns = part * COLUMNS..part * COLUMNS + sum.len();
        let mut sums = [[0.0; 2]; COLUMNS];
        let mut add = |n: usize, columns: std::ops::Range<usize>, mean: &[f32], inverse: f64| {
            let elements = n * parameters + columns.start..n * parameters + columns.end;
            let values = given.input[elements.clone()].iter().zip(&given.grad[elements]);
            let sums = &mut sums[columns.start - part * COLUMNS..];
            // One mean for all, or one for each.
            for (i, ((&x, &g), sums)) in values.zip(sums).enumerate() {
                let mean = f64::from(mean[if mean.len() == 1 { 0 } else { i }]);
                sums[0] += f64::from(g);
                sums[1] += f64::from(g) * (f64::from(x) - mean) * inverse;
            }
        };
        for n in 0..samples {
            if across {
                add(n, columns.clone(), &given.mean[columns.clone()], 1.0);
                continue;
            }
            let mut first = columns.start;
            while first < columns.end {
                let set = set_of(n, first);
                let end = columns.end.min((first / depth + 1) * depth);
                add(n, first..end, &given.mean[set..=set], inverse(set));
                first = end;
            }
        }
        let outputs = sum.iter_mut().zip(sum_xhat).zip(sums).zip(columns);
        outputs.for_each(|(((sum, sum_xhat), [first, second]), p)| {
            *sum = first as f32;
            *sum_xhat = (if across { second * inverse(p) } else { second }) as f32;
        });
    });
}
