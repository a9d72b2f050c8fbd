//! Local response normalisation by name.

use serde::{Deserialize, Serialize};

use super::{AlphaConvention, LocalCentre, Lrn, LrnWithinChannel};
use crate::error::Result;
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};

pub(super) const CALLS: &[Call] = &[
    Call::op::<Lrn>("local_response_norm", &["input"], &["output"]),
    Call::op::<LrnWithinChannel>("local_response_norm_within_channel", &["input"], &["output"]),
    Call::new::<ContrastNorm>("local_contrast_norm", &["input"], &["output"], ContrastNorm::build),
];

/// Attributes of `local_contrast_norm`: `output = x / (k + alpha * sum of d^2)^beta` within each channel,
/// with `d` the deviation from the mean of the window, which is also the numerator where `subtract_mean`.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ContrastNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
    convention: AlphaConvention,
    subtract_mean: bool,
}

impl Default for ContrastNorm {
    fn default() -> Self {
        let Lrn { size, alpha, beta, k, convention } = Lrn::default();
        ContrastNorm { size, alpha, beta, k, convention, subtract_mean: false }
    }
}

impl ContrastNorm {
    fn build(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
        let attributes: ContrastNorm = arguments.attributes()?;
        let ContrastNorm { size, alpha, beta, k, convention, subtract_mean } = attributes;
        let response = LrnWithinChannel(Lrn { size, alpha, beta, k, convention });
        let input = arguments.input("input")?;
        let deviation = arguments.add(LocalCentre { size }, &[input])?;
        let inputs = if subtract_mean { vec![deviation] } else { vec![input, deviation] };
        arguments.add_all(response, &inputs)
    }
}
