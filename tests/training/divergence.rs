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

/// What is multiplied into the weights and the bias before a ReLU, and taken out of the weights behind
/// it, changes no output of the network, but the gradients of the former.
fn unbalance(trainer: &mut Trainer, factor: f32) {
    let scaled = parameters(trainer).into_iter().map(|(name, tensor)| {
        let factor = match name.as_str() {
            "fc1.weight" | "fc1.bias" => 1.0 / factor,
            "fc2.weight" => factor,
            _ => 1.0,
        };
        let values = tensor.as_f32().unwrap().iter().map(|x| x * factor).collect();
        (name, Tensor::f32(tensor.shape().clone(), values).unwrap())
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unbalanced.safetensors");
    gabor::io::safetensors::save(&path, scaled.collect::<Vec<_>>(), &Default::default()).unwrap();
    trainer.network_mut().load(&path).unwrap();
}

#[test]
fn gradients_that_explode_stop_a_run_whose_loss_is_as_ever() {
    let source = small_source(24, 7);
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let options = Options { micro_batch, ..Options::default() };
            let new = |options: &Options| trainer(&device, 1e-16, options.clone());
            let mut watched = new(&options);
            let (steps, _) = fit(&mut watched, &source, 2);
            unbalance(&mut watched, 1e5);
            let before = parameters(&watched);
            let (step, layer, message) = diverge(&mut watched, &source);
            assert_eq!((step, layer.as_deref()), (13, Some("fc1")), "{message}");
            for words in ["exploded", "1000 times", "--max-gradient-growth", "on the way back"] {
                assert!(message.contains(words), "{message}");
            }
            assert!(watched.steps() == 12 && before == parameters(&watched), "the step was taken");

            // Nobody looks: the loss tells nothing.
            let mut blind = new(&Options { max_gradient_growth: 0.0, ..options.clone() });
            let (unwatched, report) = fit(&mut blind, &source, 2);
            assert!(unwatched.iter().all(|step| step.gradient_norm.is_none()));
            let same = |a: &StepMetrics, b: &StepMetrics| {
                a.gradient_norm.is_some() && *b == StepMetrics { gradient_norm: None, ..*a }
            };
            assert!(steps.iter().zip(&unwatched).all(|(a, b)| same(a, b)), "{steps:?}");
            unbalance(&mut blind, 1e5);
            let (_, later) = fit(&mut blind, &source, 1);
            assert!((later.test.loss / report.test.loss - 1.0).abs() < 1e-3, "{later:?}");

            // Nor is there a look where the norm is limited, nor an explosion that is allowed for.
            let clipped = Clip::norm(1e9, sgd(1e-16));
            let clipped = Trainer::new(&device, small(0.0), clipped, options.clone()).unwrap();
            let patient = new(&Options { max_gradient_growth: 1e7, ..options.clone() });
            for mut trainer in [clipped, patient] {
                fit(&mut trainer, &source, 2);
                unbalance(&mut trainer, 1e5);
                fit(&mut trainer, &source, 1);
            }
        }
    }
}

#[test]
fn the_norm_of_the_gradients_is_that_of_the_first_velocities() {
    let (images, labels) = small_batch(1, 8);
    let mut norms = vec![];
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let options = Options { batch: 8, micro_batch, seed: 3, ..Options::default() };
            let optimizer = Sgd::new(0.1).momentum(0.9);
            let mut trainer = Trainer::new(&device, small(0.0), optimizer, options).unwrap();
            let norm = trainer.train_batch(&images, &labels, 0.1).unwrap().gradient_norm.unwrap();
            let names = trainer.network().model().trainable_names().unwrap();
            let velocity = |name| trainer.network().state(&format!("velocity.{name}")).unwrap();
            let square = |tensor: Tensor| {
                tensor.as_f32().unwrap().iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()
            };
            let expected = names.into_iter().map(velocity).map(square).sum::<f64>().sqrt();
            Tolerance::single(1 << 12).check([f64::from(norm)], &[expected]).unwrap();
            norms.push(f64::from(norm));
        }
    }
    Tolerance::single(8 * 12 * 11)
        .times(8.0)
        .check(norms.clone(), &vec![norms[0]; norms.len()])
        .unwrap();
}
