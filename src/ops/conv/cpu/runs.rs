//! Runs of results, as a tile hands them on, to the rows of an image.

/// Cuts a run of positions into the rows of `width` elements that lie `step` apart, and calls
/// `f(row, column, values)` for each.
#[inline(always)]
pub(super) fn rows_of(
    step: usize,
    width: usize,
    position: usize,
    values: &[f32],
    mut f: impl FnMut(usize, usize, &[f32]),
) {
    let (mut i, mut j) = (position / step, position % step);
    let mut rest = values;
    while !rest.is_empty() {
        let (run, after) = rest.split_at((step - j).min(rest.len()));
        let inside = width.saturating_sub(j).min(run.len());
        if inside > 0 {
            f(i, j, &run[..inside]);
        }
        (i, j, rest) = (i + 1, 0, after);
    }
}

/// `to = f(from)`, in as few moves as the run of a tile takes: a call of `memcpy` for each takes longer.
#[inline(always)]
pub(super) fn transfer(mut from: &[f32], mut to: &mut [f32], f: impl Fn(f32) -> f32) {
    /// Both ends, which may overlap.
    #[inline(always)]
    fn ends<const N: usize>(from: &[f32], to: &mut [f32], f: &impl Fn(f32) -> f32) {
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            to[..N].copy_from_slice(&first.map(f));
            to[from.len() - N..from.len()].copy_from_slice(&last.map(f));
        }
    }
    while from.len() > 32 {
        ends::<16>(&from[..16], to, &f);
        (from, to) = (&from[16..], &mut to[16..]);
    }
    match from.len() {
        16.. => ends::<16>(from, to, &f),
        8.. => ends::<8>(from, to, &f),
        4.. => ends::<4>(from, to, &f),
        _ => to.iter_mut().zip(from).for_each(|(y, &x)| *y = f(x)),
    }
}
