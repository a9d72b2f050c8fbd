//! Images through a convolution, a wave at a time: as many as a fixed amount of memory holds are laid
//! out on all threads, then computed a few channels at a time, each by the thread that is free. Cores are
//! not equally fast, nor all the time (others use them too); of two whole images the slower core's
//! would be waited for.

use rayon::prelude::*;

use super::product::{SLACK, strip_rows};

/// Elements that a wave may take, where more than one image fits.
const WAVE: usize = 1 << 18;

/// How the channels that are summed over lie in memory: those of one group of one image.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) channels: usize,
    /// Elements of a channel.
    pub(super) plane: usize,
}

impl Slot {
    fn elements(&self) -> usize {
        self.channels * self.plane + SLACK
    }

    /// The scratch memory for so many items, groups of images.
    pub(super) fn scratch(&self, items: usize) -> usize {
        let fit = (WAVE / self.elements()).max(rayon::current_num_threads());
        fit.min(items) * self.elements()
    }

    /// `lay_out(item, channel, plane)` for all channels of an item, then `compute(item, planes, row,
    /// output)` for parts of its output, from an output channel on as many as `output` holds.
    /// A channel of the output has `pixels` elements, an item `item_len`.
    pub(super) fn run(
        &self,
        scratch: &mut [f32],
        output: &mut [f32],
        item_len: usize,
        pixels: usize,
        lay_out: impl Fn(usize, usize, &mut [f32]) + Sync,
        compute: impl Fn(usize, &[f32], usize, &mut [f32]) + Sync,
    ) {
        let slots = scratch.len() / self.elements();
        // Two strips: the second finds in the cache what the first has read.
        let rows = 2 * strip_rows();
        for (wave, output) in output.chunks_mut(slots * item_len).enumerate() {
            let (first, items) = (wave * slots, output.len() / item_len);
            let used = scratch.par_chunks_exact_mut(self.elements()).take(items).enumerate();
            used.for_each(|(i, slot)| {
                let planes = slot.par_chunks_mut(self.plane).take(self.channels).enumerate();
                planes.for_each(|(channel, plane)| lay_out(first + i, channel, plane));
            });
            let used = scratch.par_chunks_exact(self.elements());
            let parts = output.par_chunks_mut(item_len).zip(used).enumerate();
            let parts = parts.flat_map(|(i, (output, slot))| {
                // So few at a time: rayon would give a thread a quarter of all.
                let parts = output.par_chunks_mut(rows * pixels).with_max_len(1).enumerate();
                parts.map(move |(part, output)| (i, slot, part * rows, output))
            });
            parts.for_each(|(i, slot, row, output)| compute(first + i, slot, row, output));
        }
    }
}
