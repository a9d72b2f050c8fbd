//! A parameter as it changes in training, for a film of it.

use crate::error::Result;
use crate::session::Session;
use crate::tensor::Tensor;

/// Copies of a state, taken every so many steps.
#[derive(Debug)]
pub(super) struct Recording {
    state: String,
    every: u64,
    frames: Vec<Tensor>,
}

impl Recording {
    /// Starts with the present value.
    ///
    /// Errors where there is no such state.
    pub fn new(state: &str, every: u64, session: &Session) -> Result<Self> {
        let frames = vec![session.state(state)?];
        Ok(Recording { state: state.to_owned(), every: every.max(1), frames })
    }

    /// Takes a copy after `step`, if it is time.
    pub fn after_step(&mut self, step: u64, session: &Session) -> Result<()> {
        if step.is_multiple_of(self.every) {
            self.frames.push(session.state(&self.state)?);
        }
        Ok(())
    }

    /// The copies so far.
    pub fn frames(&self) -> &[Tensor] {
        &self.frames
    }
}
