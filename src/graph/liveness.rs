//! Which values may share memory: each is put at an offset in one of a few buffers, one after another
//! (after Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). Which
//! order is best depends on the network, so several are tried.
//!
//! One buffer for all would be simpler, but a GPU binds a buffer either to be read or to be written:
//! values that a step uses at the same time lie in different buffers. No buffer is larger than the
//! largest value.

use std::cmp::Reverse;

/// Offsets are multiples of this many bytes, as WebGPU's bindings want it.
const ALIGNMENT: u64 = 256;

/// A piece of memory that is needed from step `first` to step `last`, both included.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
    /// The steps that read or write it, in order.
    pub(super) used: Vec<usize>,
}

impl Lifetime {
    fn overlaps(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether a step uses both.
    fn meets(&self, other: &Lifetime) -> bool {
        self.used.iter().any(|step| other.used.binary_search(step).is_ok())
    }

    fn size(&self) -> u64 {
        self.bytes.next_multiple_of(ALIGNMENT)
    }
}

/// Where a lifetime is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) buffer: usize,
    pub(super) offset: u64,
}

/// The place of each lifetime, and the size of each buffer.
pub(super) fn assign(lifetimes: &[Lifetime]) -> (Vec<Place>, Vec<u64>) {
    let alive = alive(lifetimes);
    let breadth = |l: &Lifetime| alive[l.first..=l.last].iter().copied().max();
    let by = |key: &dyn Fn(&Lifetime) -> [u64; 3]| {
        let mut order: Vec<usize> = (0..lifetimes.len()).collect();
        order.sort_by_key(|&i| Reverse(key(&lifetimes[i])));
        in_order(lifetimes, &order)
    };
    let early = |l: &Lifetime| u64::MAX - l.first as u64;
    let by_size = by(&|l| [l.bytes, early(l), 0]);
    let by_breadth = by(&|l| [breadth(l).unwrap_or(0), l.bytes, early(l)]);
    let by_time = by(&|l| [early(l), l.bytes, 0]);
    let total = |(_, buffers): &(_, Vec<u64>)| buffers.iter().sum::<u64>();
    // The first of equals.
    let better = |best, other| if total(&other) < total(&best) { other } else { best };
    better(better(by_size, by_breadth), by_time)
}

/// Puts one lifetime after another where the buffers must grow least for it, and of such places into
/// the smallest gap.
fn in_order(lifetimes: &[Lifetime], order: &[usize]) -> (Vec<Place>, Vec<u64>) {
    let most = lifetimes.iter().map(Lifetime::size).max().unwrap_or(0);
    let mut places = vec![Place { buffer: usize::MAX, offset: 0 }; lifetimes.len()];
    let mut buffers: Vec<(u64, Vec<usize>)> = Vec::new();
    for &i in order {
        let lifetime = &lifetimes[i];
        let mut best = (lifetime.size(), u64::MAX, Place { buffer: buffers.len(), offset: 0 });
        for (buffer, (size, inside)) in buffers.iter().enumerate() {
            let there = || inside.iter().filter(|&&j| lifetimes[j].overlaps(lifetime));
            if there().any(|&j| lifetimes[j].meets(lifetime)) {
                continue;
            }
            let mut taken: Vec<_> = there()
                .map(|&j| (places[j].offset, places[j].offset + lifetimes[j].size()))
                .collect();
            taken.sort_unstable();
            let mut offset = 0;
            for (start, end) in taken.into_iter().chain([(most, most)]) {
                let gap = start.saturating_sub(offset);
                if gap >= lifetime.size() {
                    let growth = (offset + lifetime.size()).saturating_sub(*size);
                    let (growth_so_far, gap_so_far, _) = best;
                    if (growth, gap) < (growth_so_far, gap_so_far) {
                        best = (growth, gap, Place { buffer, offset });
                    }
                }
                offset = offset.max(end);
            }
        }
        let place = best.2;
        if place.buffer == buffers.len() {
            buffers.push((0, Vec::new()));
        }
        let (size, inside) = &mut buffers[place.buffer];
        *size = (*size).max(place.offset + lifetime.size());
        inside.push(i);
        places[i] = place;
    }
    (places, buffers.into_iter().map(|(bytes, _)| bytes).collect())
}

/// The bytes alive at each step.
fn alive(lifetimes: &[Lifetime]) -> Vec<u64> {
    let steps = lifetimes.iter().map(|l| l.last + 1).max().unwrap_or(0);
    let mut alive = vec![0; steps];
    for lifetime in lifetimes {
        alive[lifetime.first..=lifetime.last].iter_mut().for_each(|bytes| *bytes += lifetime.bytes);
    }
    alive
}

/// The most bytes alive at any one step: no assignment can do with less.
pub(super) fn lower_bound(lifetimes: &[Lifetime]) -> u64 {
    alive(lifetimes).into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;

    #[test]
    fn lifetimes_that_overlap_never_share_memory() {
        let mut stream = Stream::new(7, [0; 3]);
        let mut range = |from: u32, to: u32| (from + stream.below(to - from)) as usize;
        let (mut shared, mut parted) = (0, 0);
        for _ in 0..200 {
            let lifetimes: Vec<_> = (0..range(1, 40))
                .map(|_| {
                    let first = range(0, 50);
                    let (bytes, last) = (4 * range(1, 1000) as u64, first + range(0, 10));
                    let used = (first..=last).filter(|&s| s == first || range(0, 3) == 0).collect();
                    Lifetime { bytes, first, last, used }
                })
                .collect();
            let (places, buffers) = assign(&lifetimes);
            for (i, a) in lifetimes.iter().enumerate() {
                let end = |i: usize| places[i].offset + lifetimes[i].bytes;
                assert!(end(i) <= buffers[places[i].buffer]);
                assert_eq!(places[i].offset % ALIGNMENT, 0);
                for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                    if places[i].buffer != places[j].buffer {
                        continue;
                    }
                    let at_other_times = a.last < b.first || b.last < a.first;
                    let apart = end(i) <= places[j].offset || end(j) <= places[i].offset;
                    assert!(at_other_times || apart, "{a:?} and {b:?} share memory");
                    assert!(at_other_times || !a.meets(b), "{a:?} and {b:?} share a buffer");
                    shared += usize::from(!apart);
                    parted += usize::from(!at_other_times);
                }
            }
            let total: u64 = buffers.iter().sum();
            assert!(total >= lower_bound(&lifetimes));
            assert!(total <= lifetimes.iter().map(Lifetime::size).sum());
            assert!(buffers.iter().max() <= lifetimes.iter().map(Lifetime::size).max().as_ref());
        }
        assert!(shared > 1000 && parted > 300, "{shared} in the same place, {parted} beside");
    }
}
