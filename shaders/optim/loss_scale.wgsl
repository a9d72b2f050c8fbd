// What a step does about the scale of its loss.
//
// scale          [1], in place: times backoff where there was an overflow, times growth after `interval` steps
//                without one, kept in least .. most
// steps          [1], in place: steps since the scale last changed
// overflows      [1], how many gradients were too large for half precision
// learning_rate  [1]
// rate           [1], written: the learning rate, or -1 where the step must not count
//
// One invocation. Source: Micikevicius et al. 2018, section 3.2; PyTorch's GradScaler.

struct Params {
    growth: f32,
    backoff: f32,
    interval: f32,
    least: f32,
    most: f32,
}

@group(0) @binding(0) var<storage, read_write> scale: array<f32>;
@group(0) @binding(1) var<storage, read_write> steps: array<f32>;
@group(0) @binding(2) var<storage, read> overflows: array<f32>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<storage, read_write> rate: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
    var factor = 1.0;
    var counted = steps[0] + 1.0;
    var allowed = learning_rate[0];
    if overflows[0] > 0.0 {
        factor = params.backoff;
        counted = 0.0;
        allowed = -1.0;
    } else if counted >= params.interval {
        factor = params.growth;
        counted = 0.0;
    }
    scale[0] = clamp(scale[0] * factor, params.least, params.most);
    steps[0] = counted;
    rate[0] = allowed;
}
