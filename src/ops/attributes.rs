//! Shorter ways to write attributes: `2` for `[2, 2]`, `1` or `[1, 2]` for the padding of four sides.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// One number for each axis, `[height, width]`, or a single one for both.
pub fn pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(both) => Ok([both; 2]),
        OneOrMany::Many(many) => many
            .try_into()
            .map_err(|m: Vec<_>| D::Error::custom(format!("{m:?} is not [height, width]"))),
    }
}

/// Padding: `[top, bottom, left, right]`, `[vertical, horizontal]`, or one number for all sides.
pub fn sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 4], D::Error> {
    match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(all) => Ok([all; 4]),
        OneOrMany::Many(many) => match many[..] {
            [vertical, horizontal] => Ok([vertical, vertical, horizontal, horizontal]),
            [top, bottom, left, right] => Ok([top, bottom, left, right]),
            _ => Err(D::Error::custom(format!("{many:?} is not [top, bottom, left, right]"))),
        },
    }
}

/// A number for each axis of an image, `[height, width]`; from one number for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Axes(#[serde(deserialize_with = "pair")] pub [usize; 2]);

impl From<usize> for Axes {
    fn from(both: usize) -> Self {
        Axes([both; 2])
    }
}

impl From<[usize; 2]> for Axes {
    fn from(axes: [usize; 2]) -> Self {
        Axes(axes)
    }
}

/// A number for each side of an image, `[top, bottom, left, right]`; from one number for all, or from
/// `[vertical, horizontal]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sides(#[serde(deserialize_with = "sides")] pub [usize; 4]);

impl From<usize> for Sides {
    fn from(all: usize) -> Self {
        Sides([all; 4])
    }
}

impl From<[usize; 2]> for Sides {
    fn from([vertical, horizontal]: [usize; 2]) -> Self {
        Sides([vertical, vertical, horizontal, horizontal])
    }
}

impl From<[usize; 4]> for Sides {
    fn from(sides: [usize; 4]) -> Self {
        Sides(sides)
    }
}

/// Any number of numbers: a list, or a single one.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => Ok(vec![one]),
        OneOrMany::Many(many) => Ok(many),
    }
}
