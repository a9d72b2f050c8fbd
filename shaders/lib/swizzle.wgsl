// In which order the workgroups of a matrix product take its tiles: in bands of up to 8 rows of tiles, down the
// columns of a band. Those that run at the same time then read few rows and few columns of the factors, which
// the second-level cache holds, and each column of tiles is read once a band.
// Source: Tillet et al. 2019, "Triton: an intermediate language and compiler for tiled neural network
// computations" (grouped ordering).

const BAND = 8u;

// The row and the column of a tile.
fn tile_at(index: u32, tiles_m: u32, tiles_n: u32) -> vec2<u32> {
    let band = index / (BAND * tiles_n);
    let within = index - band * BAND * tiles_n;
    let rows = min(BAND, tiles_m - band * BAND);
    return vec2(band * BAND + within % rows, within / rows);
}
