//! What GPUs that are such run, on whatever adapter there is: their first kernels and their way of the data.

use gabor::graph::Target;
use gabor::kernel::AdapterKind;
use gabor::train::{ImageInput, Precision, TransformsOn};

use super::*;

/// The losses of a few steps with the default network, on digits with their augmentation, and that of
/// the test set.
fn losses(device: &Device, precision: Precision) -> Vec<f32> {
    let source = digits(40, 16);
    let transforms = source.augment.clone().into();
    let auto = TransformsOn::Auto;
    let input = auto.input(device, &*source.train, &transforms, &source.normalise).unwrap();
    // The GPU prepares images by itself.
    let is_cpu = matches!(device.target(), Target::Cpu);
    assert_eq!(input == ImageInput::Values, is_cpu);
    let options = Options { batch: 16, seed: 5, input, precision, ..Options::default() };
    let model = zoo::build("alexnet-small", [1, 28, 28], 10).unwrap();
    let mut trainer = Trainer::new(device, model, sgd(0.01), options).unwrap();
    let (steps, report) = fit(&mut trainer, &source, 1);
    steps.iter().map(|step| step.loss).chain([report.test.loss]).collect()
}

#[test]
fn the_default_network_learns_the_same_by_the_kernels_of_a_gpu() {
    let Some(gpu) = common::discrete_gpu() else { return };
    let cpu = losses(&Device::cpu(), Precision::F32);
    assert_eq!(cpu.len(), 4);
    let single = losses(&gpu, Precision::F32);
    for (a, b) in single.iter().zip(&cpu) {
        assert!((a - b).abs() < 1e-3, "{single:?} {cpu:?}");
    }
    assert_eq!(single, losses(&gpu, Precision::F32), "not the same from run to run");
    let has_half = matches!(gpu.target(), Target::Gpu(adapter) if adapter.f16);
    if has_half {
        let half = losses(&gpu, Precision::F16);
        for (a, b) in half.iter().zip(&cpu) {
            assert!((a - b).abs() < 2e-2, "{half:?} {cpu:?}");
        }
    }
}

#[test]
fn a_devices_name_may_say_what_it_is_taken_for() {
    let kind = |name: &str| match Device::named(name).map(|device| device.target()) {
        Ok(Target::Gpu(adapter)) => Some(adapter.kind),
        _ => None,
    };
    if kind("gpu").is_none() {
        return;
    }
    assert_eq!(kind("gpu as discrete"), Some(AdapterKind::Discrete));
    assert_eq!(kind("gpu:0 as integrated"), Some(AdapterKind::Integrated));
    for (name, says) in [("gpu as fast", "discrete"), ("cpu as discrete", "gpu:NUMBER")] {
        let error = Device::named(name).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}
