// A tile of TILE_M x 32 sums in the registers of 8 lanes that are one subgroup. Lane: TILE_M rows x 4
// columns. The kernel declares TILE_M: 8, 16 or 32, and `finish_row(row, value)` for `finish_rows`.

// TILE_M of these are used; indexed by constants only, they stay in registers.
var<private> sum: array<vec4<f32>, 32>;

// Adds four steps of the sums: `b` is the lane's own 4 columns, one column of the matrix a step; `a` is 4
// rows from 4 * lane on, one column of the matrix a row. A's rows reach the other lanes by broadcast.
fn multiply_add(a: mat4x4<f32>, b: mat4x4<f32>) {
    sum[0] += b * subgroupBroadcast(a[0], 0u);
    sum[1] += b * subgroupBroadcast(a[1], 0u);
    sum[2] += b * subgroupBroadcast(a[2], 0u);
    sum[3] += b * subgroupBroadcast(a[3], 0u);
    sum[4] += b * subgroupBroadcast(a[0], 1u);
    sum[5] += b * subgroupBroadcast(a[1], 1u);
    sum[6] += b * subgroupBroadcast(a[2], 1u);
    sum[7] += b * subgroupBroadcast(a[3], 1u);
    if TILE_M > 8u {
        sum[8] += b * subgroupBroadcast(a[0], 2u);
        sum[9] += b * subgroupBroadcast(a[1], 2u);
        sum[10] += b * subgroupBroadcast(a[2], 2u);
        sum[11] += b * subgroupBroadcast(a[3], 2u);
        sum[12] += b * subgroupBroadcast(a[0], 3u);
        sum[13] += b * subgroupBroadcast(a[1], 3u);
        sum[14] += b * subgroupBroadcast(a[2], 3u);
        sum[15] += b * subgroupBroadcast(a[3], 3u);
    }
    if TILE_M > 16u {
        sum[16] += b * subgroupBroadcast(a[0], 4u);
        sum[17] += b * subgroupBroadcast(a[1], 4u);
        sum[18] += b * subgroupBroadcast(a[2], 4u);
        sum[19] += b * subgroupBroadcast(a[3], 4u);
        sum[20] += b * subgroupBroadcast(a[0], 5u);
        sum[21] += b * subgroupBroadcast(a[1], 5u);
        sum[22] += b * subgroupBroadcast(a[2], 5u);
        sum[23] += b * subgroupBroadcast(a[3], 5u);
        sum[24] += b * subgroupBroadcast(a[0], 6u);
        sum[25] += b * subgroupBroadcast(a[1], 6u);
        sum[26] += b * subgroupBroadcast(a[2], 6u);
        sum[27] += b * subgroupBroadcast(a[3], 6u);
        sum[28] += b * subgroupBroadcast(a[0], 7u);
        sum[29] += b * subgroupBroadcast(a[1], 7u);
        sum[30] += b * subgroupBroadcast(a[2], 7u);
        sum[31] += b * subgroupBroadcast(a[3], 7u);
    }
}

// The lane's 4 columns of a row. A switch, not sum[row]: one variable index would push all of `sum` out
// of the registers.
fn sums_of(row: u32) -> vec4<f32> {
    switch row {
        case 1u: { return sum[1]; }
        case 2u: { return sum[2]; }
        case 3u: { return sum[3]; }
        case 4u: { return sum[4]; }
        case 5u: { return sum[5]; }
        case 6u: { return sum[6]; }
        case 7u: { return sum[7]; }
        case 8u: { return sum[8]; }
        case 9u: { return sum[9]; }
        case 10u: { return sum[10]; }
        case 11u: { return sum[11]; }
        case 12u: { return sum[12]; }
        case 13u: { return sum[13]; }
        case 14u: { return sum[14]; }
        case 15u: { return sum[15]; }
        case 16u: { return sum[16]; }
        case 17u: { return sum[17]; }
        case 18u: { return sum[18]; }
        case 19u: { return sum[19]; }
        case 20u: { return sum[20]; }
        case 21u: { return sum[21]; }
        case 22u: { return sum[22]; }
        case 23u: { return sum[23]; }
        case 24u: { return sum[24]; }
        case 25u: { return sum[25]; }
        case 26u: { return sum[26]; }
        case 27u: { return sum[27]; }
        case 28u: { return sum[28]; }
        case 29u: { return sum[29]; }
        case 30u: { return sum[30]; }
        case 31u: { return sum[31]; }
        default: { return sum[0]; }
    }
}

// Hands every row of the tile to the kernel. Rows that `sums_of` chooses cost twice the time, so this is for
// tiles that are whole.
fn finish_rows() {
    finish_row(0u, sum[0]);
    finish_row(1u, sum[1]);
    finish_row(2u, sum[2]);
    finish_row(3u, sum[3]);
    finish_row(4u, sum[4]);
    finish_row(5u, sum[5]);
    finish_row(6u, sum[6]);
    finish_row(7u, sum[7]);
    if TILE_M > 8u {
        finish_row(8u, sum[8]);
        finish_row(9u, sum[9]);
        finish_row(10u, sum[10]);
        finish_row(11u, sum[11]);
        finish_row(12u, sum[12]);
        finish_row(13u, sum[13]);
        finish_row(14u, sum[14]);
        finish_row(15u, sum[15]);
    }
    if TILE_M > 16u {
        finish_row(16u, sum[16]);
        finish_row(17u, sum[17]);
        finish_row(18u, sum[18]);
        finish_row(19u, sum[19]);
        finish_row(20u, sum[20]);
        finish_row(21u, sum[21]);
        finish_row(22u, sum[22]);
        finish_row(23u, sum[23]);
        finish_row(24u, sum[24]);
        finish_row(25u, sum[25]);
        finish_row(26u, sum[26]);
        finish_row(27u, sum[27]);
        finish_row(28u, sum[28]);
        finish_row(29u, sum[29]);
        finish_row(30u, sum[30]);
        finish_row(31u, sum[31]);
    }
}
