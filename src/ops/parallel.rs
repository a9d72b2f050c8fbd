//! Loops over slices on all cores, for ops that do little to each element.

use rayon::prelude::*;

/// Below this many elements a loop is over before the threads are awake.
const SERIAL: usize = 16 * 1024;
const CHUNK: usize = 8 * 1024;

/// Calls `f` compiled for the widest vectors that the processor has, rather than for the least that
/// all processors of its kind have. What `f` calls must be inlined to gain by it.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Calls `f` on parts of `output`.
pub fn each(output: &mut [f32], f: impl Fn(&mut [f32]) + Send + Sync) {
    if output.len() <= SERIAL {
        return vectorised(|| f(output));
    }
    output.par_chunks_mut(CHUNK).for_each(|part| vectorised(|| f(part)));
}

/// Calls `f` on the same parts of `output` and `input`, which have the same length.
pub fn zip(output: &mut [f32], input: &[f32], f: impl Fn(&mut [f32], &[f32]) + Send + Sync) {
    if output.len() <= SERIAL {
        return vectorised(|| f(output, input));
    }
    output
        .par_chunks_mut(CHUNK)
        .zip(input.par_chunks(CHUNK))
        .for_each(|(o, i)| vectorised(|| f(o, i)));
}
