//! Axes: a range and the values worth a label in it.

/// The most labels on an axis.
const MOST_TICKS: usize = 7;

/// A range of values, with the places and labels of its ticks. On a logarithmic axis all are
/// decimal logarithms.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis from `low` to `high` with at most about six round ticks that are multiples of
    /// `unit`, and at least `unit` long.
    pub fn linear(low: f64, high: f64, unit: f64) -> Self {
        let (low, high) = widened(low, high, unit);
        let step = round_step((high - low) / (MOST_TICKS - 1) as f64).max(unit);
        let first = (low / step - 1e-9).ceil();
        let count = ((high / step + 1e-9).floor() - first).max(-1.0) as usize;
        let ticks = (0..=count.min(2 * MOST_TICKS)).map(|i| (first + i as f64) * step);
        let ticks = ticks.map(|v| (v, label(v, step))).collect();
        Axis { low, high, ticks }
    }

    /// An axis from `low` to `high`, both above zero, by decades.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        let (low, high) = widened(low.log10(), high.log10(), 0.1);
        let decades = high - low;
        let mantissas: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = (decades / (MOST_TICKS - 1) as f64).ceil().max(1.0) as i32;
        let first = low.floor() as i32;
        let mut ticks = Vec::new();
        for power in (first..=high.ceil() as i32).filter(|power| power % stride == 0) {
            for mantissa in mantissas {
                let at = mantissa.log10() + f64::from(power);
                if (low..=high).contains(&at) {
                    ticks.push((at, decade_label(*mantissa, power)));
                }
            }
        }
        Axis { low, high, ticks }
    }

    /// Where `value` lies between the ends, 0 to 1; values outside lie on the nearer end.
    pub fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// A range of at least `least`, around the same middle.
fn widened(low: f64, high: f64, least: f64) -> (f64, f64) {
    // Closer than this the labels would need more digits than anyone reads.
    let least = least.max(low.abs().max(high.abs()) * 1e-6).max(1e-30);
    if high - low >= least {
        return (low, high);
    }
    let middle = low + (high - low) / 2.0;
    (middle - least / 2.0, middle + least / 2.0)
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// `value`, a multiple of `step`, with the digits that tell it from its neighbours.
fn label(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.abs() >= 1e10 {
        return format!("{value:.1e}");
    }
    for (unit, suffix) in [(1e6, "M"), (1e3, "k")] {
        // Four digits are short enough as they are.
        if step >= unit / 2.0 && value.abs() >= 10.0 * unit.min(1e3) {
            let decimals = if step % unit == 0.0 { 0 } else { 1 };
            return format!("{:.decimals$}{suffix}", value / unit);
        }
    }
    if step < 1e-5 {
        return format!("{value:.1e}");
    }
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    format!("{value:.decimals$}")
}

fn decade_label(mantissa: f64, power: i32) -> String {
    if (-4..5).contains(&power) {
        let decimals = (-power).max(0) as usize;
        return format!("{:.decimals$}", mantissa * 10f64.powi(power));
    }
    format!("{mantissa}e{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&Axis::linear(0.0, 1570.0, 1.0)), ["0", "500", "1000", "1500"]);
        assert_eq!(labels(&Axis::linear(1.0, 5.0, 1.0)), ["1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::linear(0.0, 2.4, 0.0)), ["0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(&Axis::linear(96.1, 98.7, 0.0))[..2], ["96.5", "97.0"]);
        assert_eq!(labels(&Axis::linear(0.0, 120_000.0, 1.0))[..3], ["0", "20k", "40k"]);
        assert_eq!(labels(&Axis::linear(0.0, 3e6, 1.0))[..3], ["0", "0.5M", "1.0M"]);
    }

    #[test]
    fn logarithmic_ticks_are_decades() {
        assert_eq!(labels(&Axis::logarithmic(0.0008, 3.0)), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&Axis::logarithmic(0.04, 1.1)), ["0.05", "0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(&Axis::logarithmic(1e-12, 1.0))[0], "1e-12");
    }

    #[test]
    fn every_range_has_room_ticks_inside_and_few_of_them() {
        let ends = [0.0, 1e-30, 3e-7, 0.02, 1.0, 7.3, 1234.5, 1e9, 1e20, -5.0, -1e6];
        for low in ends {
            for high in ends.into_iter().filter(|&high| high >= low) {
                for unit in [0.0, 1.0] {
                    let axis = Axis::linear(low, high, unit);
                    check(&axis);
                }
                if low > 0.0 {
                    check(&Axis::logarithmic(low, high));
                }
            }
        }
    }

    fn check(axis: &Axis) {
        assert!(axis.ticks.len() <= 2 * MOST_TICKS + 1, "{axis:?}");
        assert!((0.0..=1.0).contains(&axis.place(axis.low)), "{axis:?}");
        let slack = (axis.high - axis.low) * 1e-6;
        for (at, label) in &axis.ticks {
            assert!(*at >= axis.low - slack && *at <= axis.high + slack, "{axis:?}");
            assert!(!label.is_empty() && label.len() < 14, "{axis:?}");
        }
    }
}
