//! The optimizers' rules.

mod adam;
mod adaptive;
mod lars;
mod lion;
mod sgd;

pub use adam::{Adam, AdamW};
pub use adaptive::{Adadelta, Adagrad, RmsProp};
pub use lars::Lars;
pub use lion::Lion;
pub use sgd::{Sgd, SgdForm};
