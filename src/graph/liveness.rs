//! Which values may share memory: intervals of life, assigned to as few and as small slots as a
//! greedy pass by size finds (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net
//! Inference", 2020, the `greedy by size` strategy for shared objects).

/// A piece of memory that is needed from step `first` to step `last`, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// The slot of each lifetime, and the size of each slot.
pub(super) fn assign(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<u64>) {
    let mut by_size: Vec<usize> = (0..lifetimes.len()).collect();
    by_size.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].bytes), lifetimes[i].first));
    let mut slot_of = vec![usize::MAX; lifetimes.len()];
    let mut slots: Vec<(u64, Vec<usize>)> = Vec::new();
    for i in by_size {
        let overlaps = |&j: &usize| {
            lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last
        };
        // Sizes come in falling order, so every slot is large enough: the smallest fits best.
        let free = (0..slots.len())
            .filter(|&s| !slots[s].1.iter().any(overlaps))
            .min_by_key(|&s| slots[s].0);
        let slot = free.unwrap_or_else(|| {
            slots.push((lifetimes[i].bytes, Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(i);
        slot_of[i] = slot;
    }
    (slot_of, slots.into_iter().map(|(bytes, _)| bytes).collect())
}

/// The most bytes alive at any one step: no assignment can do with less.
pub(super) fn lower_bound(lifetimes: &[Lifetime]) -> u64 {
    let steps = lifetimes.iter().map(|l| l.last + 1).max().unwrap_or(0);
    let alive = |step| {
        lifetimes.iter().filter(|l| l.first <= step && step <= l.last).map(|l| l.bytes).sum::<u64>()
    };
    (0..steps).map(alive).max().unwrap_or(0)
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
