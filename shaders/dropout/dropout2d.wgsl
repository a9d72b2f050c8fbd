// data[n, c] = keep(n, c) ? data[n, c] * scale : 0 for whole channels, in place.
//
// data     [batch, channels, inner], rounded up to whole vectors; the padding is written but never
//          read back
// counter  [4]: low and high word of the seed, step, samples before the first of this batch
//
// Channel c of sample n is plane e = (counter[3] + n) * channels + c of the step. It is kept where the
// top 24 bits of word e % 4 of philox(counter (e / 4, layer, step, 0), key seed) reach `threshold`,
// which is p * 2^24 rounded up. The first bound element is element `first` of the tensor. One
// invocation takes one vector of four elements, which may belong to several planes.

// import lib/index.wgsl
// import lib/philox.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    first: u32,
    inner: u32,
    channels: u32,
    layer: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> counter: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// Whether a plane of this batch is kept.
fn is_kept(plane: u32) -> bool {
    let before = multiply_wide(counter[3], params.channels);
    let low = before.x + plane;
    let high = before.y + select(0u, 1u, low < plane);
    let block = (high << 30u) | (low >> 2u);
    let key = vec2(counter[0], counter[1]);
    let words = philox4x32(vec4(block, params.layer, counter[2], 0u), key);
    return (words[low & 3u] >> 8u) >= params.threshold;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    let first = params.first + 4u * i;
    var plane = first / params.inner;
    var keep = is_kept(plane);
    var factors = vec4(0.0);
    for (var j = 0u; j < 4u; j += 1u) {
        let own = (first + j) / params.inner;
        if own != plane {
            plane = own;
            keep = is_kept(plane);
        }
        factors[j] = select(0.0, params.scale, keep);
    }
    // A dropped element becomes 0 whatever it was.
    data[i] = select(vec4(0.0), data[i] * factors, factors > vec4(0.0));
}
