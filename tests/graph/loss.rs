//! The loss of a training step, with gradient and hits in one pass.

use gabor::bench::compute;
use gabor::ops::case::Case;
use gabor::ops::softmax::{SoftmaxCrossEntropyGrad, SoftmaxCrossEntropyStep, TopK};
use gabor::optim::Sgd;
use gabor::train::training_step;
use gabor::zoo;

use super::*;

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    let bits = |tensor: &Tensor| tensor.as_f32().unwrap().iter().map(|x| x.to_bits()).collect();
    tensors.iter().map(bits).collect()
}

/// On adapters that round each operation by itself. WGSL leaves it to the driver; what holds on all of
/// them is that the results agree with the oracle.
#[test]
fn the_loss_of_a_step_has_the_bits_of_the_ops_apart() {
    let devices = [Some(Device::cpu()), common::gpu(), common::tiny_gpu()];
    let mut draw = Draw::new(21);
    for device in devices.into_iter().flatten() {
        let is_gpu = !matches!(device, Device::Cpu);
        if matches!(device.target(), gabor::graph::Target::Gpu(adapter) if !adapter.is_software()) {
            continue;
        }
        for [batch, classes] in [[64, 10], [5, 37], [130, 17], [1, 3], [700, 12]] {
            let (weight, k) = (0.3, draw.size(1, 3));
            let inputs = vec![draw.normal([batch, classes]), draw.labels(batch, classes)];
            let run = |op: &dyn Fn() -> Case, kernel: Option<&str>| {
                compute(&device, &op(), kernel.filter(|_| is_gpu)).unwrap()
            };
            let step = || {
                let op = SoftmaxCrossEntropyStep { weight, k };
                Case::new("step", op, inputs.clone())
            };
            let kernels = common::variants(&step(), &device);
            assert!(!is_gpu || kernels.len() >= 2, "{kernels:?}");
            let kernels = kernels.iter().map(|name| Some(name.as_str()));
            for kernel in kernels.chain(std::iter::once(None).filter(|_| !is_gpu)) {
                // With as many invocations a row.
                let apart = kernel.map(|name| name.trim_start_matches("alone_"));
                let loss = run(&|| Case::new("loss", SoftmaxCrossEntropy, inputs.clone()), apart);
                let hits = run(&|| Case::new("hits", TopK { k }, inputs.clone()), apart);
                let grad_inputs = vec![loss[1].clone(), inputs[1].clone(), Tensor::scalar(weight)];
                let grad = || Case::new("grad", SoftmaxCrossEntropyGrad, grad_inputs.clone());
                let grad = run(&grad, None);
                let expected = [loss[0].clone(), hits[0].clone(), grad[0].clone()];
                let found = run(&step, kernel);
                let what = format!("{batch} x {classes}, {kernel:?} on {}", device.name());
                assert_eq!(bits(&found), bits(&expected), "{what}");
            }
        }
    }
}

#[test]
fn a_training_step_passes_over_its_logits_once() {
    let model = zoo::build("googlenet", [3, 96, 96], 10).unwrap();
    let graph = training_step(&model, &Sgd::new(0.01), 2, 1).unwrap();
    let steps: Vec<_> = graph
        .nodes()
        .iter()
        .map(|node| &node.op)
        .filter_map(|op| op.downcast_ref::<SoftmaxCrossEntropyStep>())
        .collect();
    // The classifier's and two auxiliary ones.
    assert_eq!(steps.iter().map(|step| step.weight).collect::<Vec<_>>(), [1.0, 0.3, 0.3]);
    let others = ["fill", "top_k", "softmax_cross_entropy", "softmax_cross_entropy_grad"];
    let other = graph.nodes().iter().find(|node| others.contains(&node.op.name()));
    assert!(other.is_none(), "{other:?}");
}
