// data[i] = keep(i) ? data[i] * scale : 0, in place.
//
// data     [n], rounded up to whole vectors; the padding is written but never read back
// counter  [4]: low and high word of the seed, step, samples before the first of this batch
//
// Element i is element e = counter[3] * per_sample + i of the step. It is kept where the top 24 bits
// of word e % 4 of philox(counter (e / 4, layer, step, 0), key seed) reach `threshold`, which is
// p * 2^24 rounded up. One invocation takes one vector of four elements; where samples do not start
// at a multiple of four, its elements belong to two Philox blocks.

// import lib/index.wgsl
// import lib/philox.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    first_vector: u32,
    per_sample: u32,
    layer: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> counter: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn words(block: u32) -> vec4<u32> {
    return philox4x32(vec4(block, params.layer, counter[2], 0u), vec2(counter[0], counter[1]));
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
    // The first element of this batch is number `before`, low and high word.
    let before = multiply_wide(counter[3], params.per_sample);
    let block = ((before.y << 30u) | (before.x >> 2u)) + params.first_vector + i;
    let shift = before.x & 3u;
    var random = words(block);
    if shift != 0u {
        let next = words(block + 1u);
        switch shift {
            case 1u: {
                random = vec4(random.yzw, next.x);
            }
            case 2u: {
                random = vec4(random.zw, next.xy);
            }
            default: {
                random = vec4(random.w, next.xyz);
            }
        }
    }
    let keep = (random >> vec4(8u)) >= vec4(params.threshold);
    data[i] = select(vec4(0.0), data[i] * params.scale, keep);
}
