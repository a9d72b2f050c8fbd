//! Which tiles compute the rows of a product.

use std::ops::Range;

/// Rows of a tile, and how fast it is relative to the others.
const TILES: [(usize, f64); 3] = [(32, 30.0), (16, 22.0), (8, 13.0)];

/// The time for so many rows in tiles of one size, relative to others.
fn time(rows: usize, &(tile, speed): &(usize, f64)) -> f64 {
    (rows.div_ceil(tile) * tile) as f64 / speed
}

/// Rows cut into one or two bands with a size of tiles each, so that little reaches past the end.
pub(super) fn bands(rows: usize) -> Vec<(Range<usize>, usize)> {
    let (largest, _) = TILES[0];
    let whole = rows / largest * largest;
    let rest = tile(rows - whole);
    let time = |rows, size| time(rows, TILES.iter().find(|t| t.0 == size).unwrap_or(&TILES[0]));
    if whole == 0 || time(whole, largest) + time(rows - whole, rest) >= time(rows, tile(rows)) {
        return vec![(0..rows, tile(rows))];
    }
    vec![(0..whole, largest), (whole..rows, rest)]
}

/// The rows of the tile that computes `rows` rows in the least time.
pub(super) fn tile(rows: usize) -> usize {
    let best = TILES.iter().min_by(|a, b| time(rows, a).total_cmp(&time(rows, b)));
    best.map_or(TILES[0].0, |&(tile, _)| tile)
}
