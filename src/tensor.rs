//! Shapes, element types and host tensors.

use std::fmt;

use half::f16;

use crate::error::{Error, Result};

/// The extents of a tensor, outermost first. Images are `[batch, channels, height, width]`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape from its extents. `[]` is a single value.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Shape(dims.into())
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements; 1 for a single value.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The number of elements, or `None` where it does not fit a `usize`.
    pub fn checked_elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, &d| product.checked_mul(d))
    }

    /// The elements of one sample: the product of all extents but the first.
    pub fn per_sample(&self) -> usize {
        self.0.iter().skip(1).product()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type of one element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision, for values between ops: arithmetic is in single precision, and what is too
    /// large is stored as the largest finite number, 65504. A host tensor of it is an `f32` one.
    F16,
    /// Labels, indices, random-number counters.
    U32,
}

impl DType {
    /// Bytes of one element in a GPU's memory. The CPU engine has four for each.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 => 2,
        }
    }

    /// The type that a host tensor has for it.
    pub const fn on_host(self) -> DType {
        match self {
            DType::F32 | DType::F16 => DType::F32,
            DType::U32 => DType::U32,
        }
    }
}

/// The largest number in half precision, which stands for all that are larger.
pub(crate) const LARGEST_HALF: f32 = 65504.0;

/// The half-precision number nearest to `x`; for one that is too large, the largest that is finite.
pub(crate) fn to_half(x: f32) -> f16 {
    f16::from_f32(x.clamp(-LARGEST_HALF, LARGEST_HALF))
}

/// The shape and element type of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TensorType {
    /// The extents.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// An `f32` tensor of this shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        TensorType { shape: shape.into(), dtype: DType::F32 }
    }

    /// A `u32` tensor of this shape.
    pub fn u32(shape: impl Into<Shape>) -> Self {
        TensorType { shape: shape.into(), dtype: DType::U32 }
    }

    /// An `f16` tensor of this shape.
    pub fn f16(shape: impl Into<Shape>) -> Self {
        TensorType { shape: shape.into(), dtype: DType::F16 }
    }

    /// This shape with elements of another type.
    pub fn with_dtype(&self, dtype: DType) -> Self {
        TensorType { shape: self.shape.clone(), dtype }
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// The size in bytes, in whole words of four.
    pub fn bytes(&self) -> u64 {
        (self.elements() as u64 * self.dtype.size() as u64).next_multiple_of(4)
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = match self.dtype {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
        };
        write!(f, "{dtype}{}", self.shape)
    }
}

/// The elements of a host tensor, row-major.
#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    /// Single-precision elements.
    F32(Vec<f32>),
    /// Unsigned elements.
    U32(Vec<u32>),
}

/// A tensor in host memory, row-major.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// An `f32` tensor. Errors where `data` does not fill `shape` exactly.
    pub fn f32(shape: impl Into<Shape>, data: Vec<f32>) -> Result<Self> {
        Tensor::checked(shape.into(), Data::F32(data))
    }

    /// A `u32` tensor. Errors where `data` does not fill `shape` exactly.
    pub fn u32(shape: impl Into<Shape>, data: Vec<u32>) -> Result<Self> {
        Tensor::checked(shape.into(), Data::U32(data))
    }

    /// A single `f32` value of shape `[1]`.
    pub fn scalar(value: f32) -> Self {
        Tensor { shape: [1].into(), data: Data::F32(vec![value]) }
    }

    /// A tensor of zeros.
    pub fn zeros(ty: &TensorType) -> Self {
        let n = ty.elements();
        let data = match ty.dtype {
            DType::F32 | DType::F16 => Data::F32(vec![0.0; n]),
            DType::U32 => Data::U32(vec![0; n]),
        };
        Tensor { shape: ty.shape.clone(), data }
    }

    fn checked(shape: Shape, data: Data) -> Result<Self> {
        let given = match &data {
            Data::F32(v) => v.len(),
            Data::U32(v) => v.len(),
        };
        if shape.checked_elements() != Some(given) {
            return Err(Error::Usage(format!(
                "a tensor of shape {shape} needs as many elements as its extents multiply to, {given} were given"
            )));
        }
        Ok(Tensor { shape, data })
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::U32(_) => DType::U32,
        }
    }

    /// Shape and element type.
    pub fn ty(&self) -> TensorType {
        TensorType { shape: self.shape.clone(), dtype: self.dtype() }
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements of an `f32` tensor; an error for any other type.
    pub fn as_f32(&self) -> Result<&[f32]> {
        match &self.data {
            Data::F32(v) => Ok(v),
            Data::U32(_) => Err(Error::Usage(format!("{} is not an f32 tensor", self.ty()))),
        }
    }

    /// The elements of a `u32` tensor; an error for any other type.
    pub fn as_u32(&self) -> Result<&[u32]> {
        match &self.data {
            Data::U32(v) => Ok(v),
            Data::F32(_) => Err(Error::Usage(format!("{} is not a u32 tensor", self.ty()))),
        }
    }

    /// The elements of an `f32` tensor, without copying; empty for any other type.
    pub fn into_f32(self) -> Vec<f32> {
        match self.data {
            Data::F32(v) => v,
            Data::U32(_) => vec![],
        }
    }

    /// The elements of a `u32` tensor, without copying; empty for any other type.
    pub fn into_u32(self) -> Vec<u32> {
        match self.data {
            Data::U32(v) => v,
            Data::F32(_) => vec![],
        }
    }

    /// The elements as raw little-endian words, for upload.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::F32(v) => bytemuck::cast_slice(v),
            Data::U32(v) => bytemuck::cast_slice(v),
        }
    }
}
