//! What single ops promise beyond agreeing with their oracle.

mod common;

use gabor::device::Device;
use gabor::graph::Graph;
use gabor::ops::case::{Case, Draw};
use gabor::ops::dropout::Dropout;
use gabor::ops::optim::{Sgd, SgdForm, Update};
use gabor::ops::pool::MaxPool2d;
use gabor::ops::softmax::{SoftmaxCrossEntropy, TopK};
use gabor::tensor::{Tensor, TensorType};

/// The CPU engine, and the GPU where there is one.
fn devices() -> Vec<Device> {
    std::iter::once(Device::cpu()).chain(common::full_gpu()).collect()
}

fn run(device: &Device, op: impl gabor::ops::Op + 'static, inputs: Vec<Tensor>) -> Vec<Tensor> {
    gabor::check::run(&Case::new("", op, inputs), device, None).unwrap()
}

fn counter(step: u32, sample_offset: u32) -> Tensor {
    Tensor::u32([4], vec![0x0123_4567, 0x89ab_cdef, step, sample_offset]).unwrap()
}

fn ones(samples: usize, per_sample: usize) -> Tensor {
    Tensor::f32([samples, per_sample], vec![1.0; samples * per_sample]).unwrap()
}

#[test]
fn dropout_does_not_depend_on_how_a_batch_is_cut_or_on_the_device() {
    let (samples, per_sample) = (7, 1031);
    let op = Dropout { p: 0.5, layer: 3 };
    let whole = run(&Device::cpu(), op, vec![ones(samples, per_sample), counter(5, 0)]).remove(0);
    let whole = whole.as_f32().unwrap();
    for device in devices() {
        let mut parts = vec![];
        for (first, count) in [(0, 3), (3, 1), (4, 3)] {
            let inputs = vec![ones(count, per_sample), counter(5, first)];
            parts.extend_from_slice(run(&device, op, inputs)[0].as_f32().unwrap());
        }
        assert!(whole == parts, "{} draws otherwise", device.name());
    }
}

#[test]
fn dropout_keeps_the_share_and_the_mean_and_draws_anew_each_step_and_layer() {
    let draw = |layer, step| {
        let inputs = vec![ones(4, 25_000), counter(step, 0)];
        run(&Device::cpu(), Dropout { p: 0.25, layer }, inputs)[0].as_f32().unwrap().to_vec()
    };
    let first = draw(0, 0);
    let kept = first.iter().filter(|&&x| x != 0.0).count() as f64;
    // Five standard deviations of a binomial distribution.
    assert!((kept - 75_000.0).abs() < 5.0 * (1e5f64 * 0.25 * 0.75).sqrt(), "{kept} kept");
    assert!(first.iter().all(|&x| x == 0.0 || x == 4.0 / 3.0));
    for other in [draw(1, 0), draw(0, 1)] {
        let equal = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
        let expected = 1e5 * (0.25f64.powi(2) + 0.75f64.powi(2));
        assert!((equal - expected).abs() < 800.0, "{equal} of 100,000 equal");
    }
}

#[test]
fn both_forms_of_momentum_agree_while_the_learning_rate_is_constant() {
    let mut draw = Draw::new(3);
    let weight = draw.normal([1000]);
    let grads: Vec<_> = (0..6).map(|_| draw.normal([1000])).collect();
    for device in devices() {
        let train = |form| {
            let op = Update(Sgd {
                momentum: 0.9,
                weight_decay: 0.01,
                learning_rate_scale: 2.0,
                form,
                ..Sgd::default()
            });
            let mut state = vec![weight.clone(), Tensor::zeros(&TensorType::f32([1000]))];
            for grad in &grads {
                state.extend([grad.clone(), Tensor::scalar(0.05)]);
                state = run(&device, op, state);
            }
            state.remove(0)
        };
        let (torch, cuda_convnet) = (train(SgdForm::Torch), train(SgdForm::CudaConvnet));
        let pairs = torch.as_f32().unwrap().iter().zip(cuda_convnet.as_f32().unwrap());
        for (a, b) in pairs {
            assert!((a - b).abs() < 1e-5 * (1.0 + a.abs()), "{a} and {b}");
        }
    }
}

#[test]
fn a_label_that_is_no_class_makes_the_loss_nan_and_is_no_hit() {
    let mut draw = Draw::new(4);
    for device in devices() {
        let labels = Tensor::u32([3], vec![1, 5, 0]).unwrap();
        let inputs = vec![draw.normal([3, 5]), labels];
        assert!(run(&device, SoftmaxCrossEntropy, inputs.clone())[0].as_f32().unwrap()[0].is_nan());
        let hits = run(&device, TopK { k: 5 }, inputs)[0].as_f32().unwrap()[0];
        assert_eq!(hits, 2.0, "on {}", device.name());
    }
}

#[test]
fn a_nan_logit_is_no_hit() {
    let logits = Tensor::f32([2, 3], vec![0.0, f32::NAN, 1.0, 0.0, 2.0, 1.0]).unwrap();
    let labels = Tensor::u32([2], vec![1, 1]).unwrap();
    let hits = run(&Device::cpu(), TopK { k: 1 }, vec![logits, labels]);
    assert_eq!(hits[0].as_f32().unwrap(), [1.0]);
}

#[test]
fn a_nan_passes_through_max_pooling_on_the_cpu() {
    let mut input = vec![1.0; 16];
    input[5] = f32::NAN;
    let pool = MaxPool2d::new(2, 2);
    let outputs = run(&Device::cpu(), pool, vec![Tensor::f32([1, 1, 4, 4], input).unwrap()]);
    assert!(outputs[0].as_f32().unwrap()[0].is_nan());
    assert_eq!(outputs[0].as_f32().unwrap()[1..], [1.0; 3]);
    assert_eq!(outputs[1].as_u32().unwrap()[0], 5);
}

#[test]
fn a_gradient_at_the_probabilities_is_refused_not_lost() {
    let mut graph = Graph::new();
    let logits = graph.input("logits", TensorType::f32([3, 5])).unwrap();
    let labels = graph.input("labels", TensorType::u32([3])).unwrap();
    let outputs = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap();
    let seed = graph.input("seed", TensorType::f32([3, 5])).unwrap();
    let refused = graph.gradients_from(&[(outputs[1], seed)], &[logits]).unwrap_err();
    assert!(refused.to_string().contains("probabilities"), "{refused}");
}
