// The number of this step, in place: step[0] + 1, or step[0] where the learning rate is negative.
//
// step           [1]
// learning_rate  [1]
//
// One invocation.

@group(0) @binding(0) var<storage, read_write> step: array<f32>;
@group(0) @binding(1) var<storage, read> learning_rate: array<f32>;

@compute @workgroup_size(1)
fn main() {
    if learning_rate[0] >= 0.0 {
        step[0] = step[0] + 1.0;
    }
}
