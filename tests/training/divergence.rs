//! A run that goes wrong says where.

use super::*;

/// The error of a run that must diverge, whose message must be one line.
fn diverge(trainer: &mut Trainer, source: &Source) -> (u64, Option<String>, String) {
    let outcome = trainer.fit(source, 3, |_| ControlFlow::Continue(()));
    let error = outcome.map(|_| ()).expect_err("it must diverge");
    let message = error.to_string();
    println!("{message}");
    assert!(!message.contains('\n') && message.contains("learning rate"), "{message}");
    let Error::Diverged { step, layer, .. } = error else { panic!("{message}") };
    (step, layer, message)
}

fn trainer(device: &Device, learning_rate: f32, options: Options) -> Trainer {
    let options = Options { batch: 4, seed: 3, ..options };
    Trainer::new(device, small(0.0), sgd(learning_rate), options).unwrap()
}

/// Writes `value` into an element of a parameter.
fn poison(trainer: &mut Trainer, parameter: &str, value: f32) {
    let network = trainer.network_mut();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poisoned.safetensors");
    let mut tensors = network.parameters().unwrap();
    let (_, tensor) = tensors.iter_mut().find(|(name, _)| name == parameter).unwrap();
    let mut values = tensor.as_f32().unwrap().to_vec();
    let middle = values.len() / 2;
    values[middle] = value;
    *tensor = Tensor::f32(tensor.shape().clone(), values).unwrap();
    gabor::io::safetensors::save(&path, tensors, &Default::default()).unwrap();
    network.load(&path).unwrap();
}

#[test]
fn a_learning_rate_of_a_million_names_a_layer_and_leaves_what_was_before() {
    let source = small_source(24, 7);
    let mut told = vec![];
    for device in devices() {
        let mut trainer = trainer(&device, 1e6, Options::default());
        let (step, layer, message) = diverge(&mut trainer, &source);
        let layer = layer.unwrap_or_else(|| panic!("{message}"));
        assert!(message.contains(&format!("`{layer}`")) && message.contains("norm"), "{message}");
        // The first step is taken from good weights.
        assert!((2..6).contains(&step), "{message}");
        assert_eq!(trainer.steps(), step - 1, "{message}");
        for (name, tensor) in parameters(&trainer) {
            let values = tensor.as_f32().unwrap();
            assert!(values.iter().all(|v| v.is_finite()), "{name} was bad before step {step}");
        }
        told.push((step, layer));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[test]
fn a_poisoned_weight_names_its_layer() {
    let source = small_source(24, 7);
    for device in devices() {
        for (parameter, value) in
            [("conv2.weight", f32::NAN), ("conv1.bias", f32::INFINITY), ("fc1.weight", f32::NAN)]
        {
            let mut trainer = trainer(&device, 0.01, Options::default());
            poison(&mut trainer, parameter, value);
            let (_, layer, message) = diverge(&mut trainer, &source);
            assert_eq!(layer.as_deref(), parameter.split('.').next(), "{message}");
            assert!(message.contains(parameter), "{message}");
        }
    }
}

#[test]
fn finite_weights_whose_products_overflow_name_the_layer_that_overflows() {
    let source = small_source(24, 7);
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let options = Options { micro_batch, ..Options::default() };
            let mut trainer = trainer(&device, 0.01, options);
            // The bias is a large number, and the weight multiplies it beyond all numbers.
            poison(&mut trainer, "fc1.bias", 1e30);
            let middle = trainer.network().state("fc1.bias").unwrap().shape().elements() / 2;
            let mut weight = trainer.network().state("fc2.weight").unwrap();
            let mut values = weight.as_f32().unwrap().to_vec();
            values[middle] = 1e30;
            weight = Tensor::f32(weight.shape().clone(), values).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("large.safetensors");
            let mut tensors = parameters(&trainer);
            tensors.iter_mut().find(|(name, _)| name == "fc2.weight").unwrap().1 = weight;
            gabor::io::safetensors::save(&path, tensors, &Default::default()).unwrap();
            trainer.network_mut().load(&path).unwrap();
            let (step, layer, message) = diverge(&mut trainer, &source);
            assert_eq!((step, layer.as_deref()), (1, Some("fc2")), "{message}");
            assert!(message.contains("its output"), "{message}");
        }
    }
}
