//! Which values may share memory: intervals of life, assigned to slots one after another (Pisarchyk &
//! Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, the strategies for shared
//! objects). Which order is best depends on the network, so several are tried.

use std::cmp::Reverse;

/// A piece of memory that is needed from step `first` to step `last`, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Lifetime {
    fn overlaps(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The slot of each lifetime, and the size of each slot.
pub(super) fn assign(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<u64>) {
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
    let total = |(_, slots): &(_, Vec<u64>)| slots.iter().sum::<u64>();
    // The first of equals.
    let better = |best, other| if total(&other) < total(&best) { other } else { best };
    better(better(by_size, by_breadth), by_time)
}

/// Puts one lifetime after another into the slot that must grow least for it, and of those into the
/// smallest; or into a new one, if every free slot would have to grow by all of it.
fn in_order(lifetimes: &[Lifetime], order: &[usize]) -> (Vec<usize>, Vec<u64>) {
    let mut slot_of = vec![usize::MAX; lifetimes.len()];
    let mut slots: Vec<(u64, Vec<usize>)> = Vec::new();
    for &i in order {
        let lifetime = &lifetimes[i];
        let is_free = |taken: &[usize]| !taken.iter().any(|&j| lifetime.overlaps(&lifetimes[j]));
        let growth = |size: u64| lifetime.bytes.saturating_sub(size);
        let fitting = (0..slots.len())
            .filter(|&s| growth(slots[s].0) < lifetime.bytes && is_free(&slots[s].1))
            .min_by_key(|&s| (growth(slots[s].0), slots[s].0));
        let slot = fitting.unwrap_or_else(|| {
            slots.push((0, Vec::new()));
            slots.len() - 1
        });
        slots[slot].0 = slots[slot].0.max(lifetime.bytes);
        slots[slot].1.push(i);
        slot_of[i] = slot;
    }
    (slot_of, slots.into_iter().map(|(bytes, _)| bytes).collect())
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
    fn lifetimes_that_overlap_never_share_a_slot() {
        let mut stream = Stream::new(7, [0; 3]);
        let mut range = |from: u32, to: u32| (from + stream.below(to - from)) as usize;
        for _ in 0..200 {
            let lifetimes: Vec<_> = (0..range(1, 40))
                .map(|_| {
                    let first = range(0, 50);
                    let bytes = 4 * range(1, 1000) as u64;
                    Lifetime { bytes, first, last: first + range(0, 10) }
                })
                .collect();
            let (slot_of, slots) = assign(&lifetimes);
            for (i, a) in lifetimes.iter().enumerate() {
                assert!(a.bytes <= slots[slot_of[i]]);
                for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                    let apart = a.last < b.first || b.last < a.first;
                    assert!(apart || slot_of[i] != slot_of[j], "{a:?} and {b:?} share a slot");
                }
            }
            let total: u64 = slots.iter().sum();
            assert!(total >= lower_bound(&lifetimes));
            assert!(total <= lifetimes.iter().map(|l| l.bytes).sum());
        }
    }
}
