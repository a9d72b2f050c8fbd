//! Pooling by name, with PyTorch's attributes.

use serde::{Deserialize, Deserializer, Serialize};

use super::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
use crate::error::Result;
use crate::ops::Value;
use crate::ops::attributes;
use crate::ops::call::{Arguments, Call, NoAttributes};

pub(super) const CALLS: &[Call] = &[
    Call::new::<Max>("max_pool2d", &["input"], &["output", "indices"], max),
    Call::new::<Average>("avg_pool2d", &["input"], &["output"], average),
    Call::op::<AdaptiveAvgPool2d>("adaptive_avg_pool2d", &["input"], &["output"]),
    Call::op::<AdaptiveMaxPool2d>("adaptive_max_pool2d", &["input"], &["output", "indices"]),
    Call::new::<NoAttributes>("global_avg_pool2d", &["input"], &["output"], global_average),
    Call::new::<NoAttributes>("global_max_pool2d", &["input"], &["output", "indices"], global_max),
];

/// `stride` without a value is the window's size.
fn stride<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[usize; 2]>, D::Error> {
    #[derive(Deserialize)]
    struct Pair(#[serde(deserialize_with = "attributes::pair")] [usize; 2]);
    Ok(Option::<Pair>::deserialize(deserializer)?.map(|Pair(stride)| stride))
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Max {
    #[serde(alias = "kernel_size", deserialize_with = "attributes::pair")]
    window: [usize; 2],
    #[serde(deserialize_with = "stride")]
    stride: Option<[usize; 2]>,
    #[serde(deserialize_with = "attributes::sides")]
    padding: [usize; 4],
    #[serde(deserialize_with = "attributes::pair")]
    dilation: [usize; 2],
    ceil_mode: bool,
}

impl Default for Max {
    fn default() -> Self {
        Max { window: [2; 2], stride: None, padding: [0; 4], dilation: [1; 2], ceil_mode: false }
    }
}

fn max(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Max { window, stride, padding, dilation, ceil_mode } = arguments.attributes()?;
    let stride = stride.unwrap_or(window);
    let input = arguments.input("input")?;
    arguments.add_all(MaxPool2d { window, stride, padding, dilation, ceil_mode }, &[input])
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Average {
    #[serde(alias = "kernel_size", deserialize_with = "attributes::pair")]
    window: [usize; 2],
    #[serde(deserialize_with = "stride")]
    stride: Option<[usize; 2]>,
    #[serde(deserialize_with = "attributes::sides")]
    padding: [usize; 4],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<u32>,
}

impl Default for Average {
    fn default() -> Self {
        Average {
            window: [2; 2],
            stride: None,
            padding: [0; 4],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

fn average(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Average { window, stride, padding, ceil_mode, count_include_pad, divisor_override } =
        arguments.attributes()?;
    let stride = stride.unwrap_or(window);
    let input = arguments.input("input")?;
    let pool =
        AvgPool2d { window, stride, padding, ceil_mode, count_include_pad, divisor_override };
    arguments.add_all(pool, &[input])
}

fn global_average(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let NoAttributes {} = arguments.attributes()?;
    let input = arguments.input("input")?;
    arguments.add_all(AdaptiveAvgPool2d::default(), &[input])
}

fn global_max(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let NoAttributes {} = arguments.attributes()?;
    let input = arguments.input("input")?;
    arguments.add_all(AdaptiveMaxPool2d::default(), &[input])
}
