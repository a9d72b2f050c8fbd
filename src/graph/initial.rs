//! What states start from.

use std::fmt;
use std::sync::Arc;

use crate::tensor::{Tensor, TensorType};

/// The value that a state starts from, made when a device first needs it: a second program on the
/// same states, or a summary, costs nothing.
#[derive(Clone)]
pub struct Initial {
    ty: TensorType,
    make: Arc<dyn Fn() -> Tensor + Send + Sync>,
}

impl Initial {
    /// Zeros.
    pub fn zeros(ty: TensorType) -> Self {
        let zeros = ty.clone();
        Initial { ty, make: Arc::new(move || Tensor::zeros(&zeros)) }
    }

    /// What `make` returns; zeros should that be of another type than `ty`.
    pub fn lazy(ty: TensorType, make: impl Fn() -> Tensor + Send + Sync + 'static) -> Self {
        Initial { ty, make: Arc::new(make) }
    }

    /// The type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The value.
    pub fn tensor(&self) -> Tensor {
        let tensor = (self.make)();
        let on_host = self.ty.with_dtype(self.ty.dtype.on_host());
        if tensor.ty() == on_host { tensor } else { Tensor::zeros(&self.ty) }
    }
}

impl From<Tensor> for Initial {
    fn from(tensor: Tensor) -> Self {
        Initial { ty: tensor.ty(), make: Arc::new(move || tensor.clone()) }
    }
}

impl fmt::Debug for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initial({})", self.ty)
    }
}
