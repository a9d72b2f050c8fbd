// The core of the tiled convolution kernels: a TILE x TILE block of a matrix product whose factors are
// read straight out of the images. The kernel declares
//     fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32>: rows row .. row + 4 of the left factor at k
//     fn fetch_b(k: u32, k_end: u32) -> vec4<f32>: the thread's own four columns of the right one at k
// both 0 outside of the factor and from k_end on. Workgroups are (256, 1, 1); thread t owns rows
// 4 * (t / 16) .. and columns 4 * (t % 16) .. of the block.
//
// Memory: 8 KiB a workgroup.

const TILE = 64u;
const TILE_K = 16u;

// Vectors of four rows (columns), for each k.
var<workgroup> tile_a: array<vec4<f32>, 256>;
var<workgroup> tile_b: array<vec4<f32>, 256>;

// Neighbouring threads store different k of the same rows: the exclusive-or spreads them over the banks.
fn slot_a(k: u32, rows: u32) -> u32 {
    return k * 16u + (rows ^ k);
}

// The thread's rows times its columns, summed over k_start .. k_end: one column of the result per row.
fn multiply(thread: u32, first_row: u32, k_start: u32, k_end: u32) -> mat4x4<f32> {
    let high = thread / 16u;
    let low = thread % 16u;
    var sum = mat4x4<f32>();
    var next_a = fetch_a(first_row + 4u * high, k_start + low, k_end);
    var next_b = fetch_b(k_start + high, k_end);
    for (var l = k_start; l < k_end; l += TILE_K) {
        tile_a[slot_a(low, high)] = next_a;
        tile_b[high * 16u + low] = next_b;
        workgroupBarrier();
        // The next slices arrive while these are multiplied.
        next_a = fetch_a(first_row + 4u * high, l + TILE_K + low, k_end);
        next_b = fetch_b(l + TILE_K + high, k_end);
        for (var k = 0u; k < TILE_K; k += 1u) {
            let rows = tile_a[slot_a(k, high)];
            let columns = tile_b[k * 16u + low];
            sum[0] += rows.x * columns;
            sum[1] += rows.y * columns;
            sum[2] += rows.z * columns;
            sum[3] += rows.w * columns;
        }
        workgroupBarrier();
    }
    return sum;
}

fn tiles(extent: u32) -> u32 {
    return (extent + TILE - 1u) / TILE;
}
