//! Networks that start from others, and layers that stay as they are.

use super::*;
use gabor::nn::BatchNorm2d;
use gabor::optim::Ema;

fn with_norms(classes: usize) -> Model {
    Model::new("norms", [2, 12, 11])
        .with(Conv2d::new(4, 3))
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Conv2d::new(4, 3))
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Linear::new(classes))
}

#[test]
fn frozen_layers_keep_parameters_and_statistics_to_the_bit() {
    let source = small_source(24, 7);
    let frozen = ["conv1", "bn1"];
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let options = Options { batch: 4, micro_batch, ..Options::default() };
            let model = with_norms(5).freeze(frozen);
            let mut trainer = Trainer::new(&device, model, sgd(0.05), options).unwrap();
            // No state of the optimizer, no gradient.
            let mut states =
                trainer.plan().unwrap().states.iter().map(|(state, _)| state.name.clone());
            let stray = |name: &String| {
                let own = ["conv1.weight", "conv1.bias"].contains(&name.as_str());
                name.contains("conv1") && !own
            };
            assert!(!states.any(|name| stray(&name)));
            let read = |trainer: &Trainer| {
                let names = trainer.network().model().parameter_types().unwrap();
                let state = |name: String| (trainer.network().state(&name).unwrap(), name);
                names.into_iter().map(|(name, _)| state(name)).collect::<Vec<_>>()
            };
            let before = read(&trainer);
            fit(&mut trainer, &source, 1);
            for ((old, name), (new, _)) in before.iter().zip(read(&trainer)) {
                if name == "conv2.bias" {
                    // The normalisation takes it out again: its gradient is nothing but rounding.
                    continue;
                }
                let is_frozen = frozen.iter().any(|layer| name.starts_with(&format!("{layer}.")));
                assert_eq!(old.bytes() == new.bytes(), is_frozen, "{name} on {}", device.name());
            }
        }
    }
}

#[test]
fn nothing_left_to_train_is_an_error() {
    let model = with_norms(5).freeze(["conv1", "bn1", "conv2", "bn2", "fc1"]);
    let made = Trainer::new(&Device::cpu(), model, sgd(0.1), Options::default());
    let message = made.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("norms") && message.contains("freeze fewer"), "{message}");
    let all_but = |layer: &str| with_norms(5).freeze_all_but(&[layer]);
    assert_eq!(all_but("fc1").unwrap().trainable_names().unwrap(), ["fc1.weight", "fc1.bias"]);
    assert!(all_but("fc2").is_err());
}

/// All parameters and running statistics, as the step has them and as evaluation has them.
fn all(trainer: &Trainer) -> Vec<(String, Tensor)> {
    let network = trainer.network();
    let types = network.model().parameter_types().unwrap().into_iter();
    let own = types.map(|(name, _)| (network.state(&name).unwrap(), name));
    let own = own.map(|(tensor, name)| (format!("own {name}"), tensor));
    own.chain(network.parameters().unwrap()).collect()
}

#[test]
fn a_network_starts_from_a_run_with_another_head_or_the_same() {
    let source = small_source(24, 7);
    let folder = tempfile::tempdir().unwrap();
    for device in devices() {
        let new = |classes, seed| {
            let options = Options { batch: 4, seed, ..Options::default() };
            let optimizer = Ema::new(0.9, sgd(0.05));
            Trainer::new(&device, with_norms(classes), optimizer, options).unwrap()
        };
        // The folder of a run that stopped early: its result is its best epoch.
        let mut trained = new(5, 3);
        fit(&mut trained, &source, 1);
        let best = folder.path().join("best.safetensors");
        trained.network().save(&best, &[]).unwrap();
        let expected: Vec<_> = parameters(&trained);
        fit(&mut trained, &source, 1);
        let last = folder.path().join("weights.safetensors");
        trained.network().save(&last, &[("result", "best")]).unwrap();
        assert!(parameters(&trained) != expected);

        for (classes, replace_head) in [(5, false), (5, true), (3, false), (3, true)] {
            let is_replaced = replace_head || classes != 5;
            let fresh = all(&new(classes, 8));
            let mut trainer = new(classes, 8);
            let network = trainer.network_mut();
            let transfer = network.init_from(folder.path(), replace_head).unwrap();
            for ((name, tensor), (_, fresh)) in all(&trainer).iter().zip(&fresh) {
                let parameter = name.trim_start_matches("own ");
                let taken = &expected.iter().find(|(known, _)| known == parameter).unwrap().1;
                let is_fresh = is_replaced && parameter.starts_with("fc1.");
                let wanted = if is_fresh { fresh } else { taken };
                assert!(tensor.bytes() == wanted.bytes(), "{name} of {classes}, {replace_head}");
                let is_weight = parameter.ends_with(".weight") && !parameter.starts_with("bn");
                assert!(!is_weight || fresh.bytes() != taken.bytes(), "{name} starts the same");
            }
            let head = ["fc1.weight", "fc1.bias"];
            let names = expected.iter().map(|(name, _)| name.as_str());
            let (replaced, loaded): (Vec<_>, Vec<_>) =
                names.partition(|name| is_replaced && head.contains(name));
            assert_eq!((transfer.replaced, transfer.loaded), (owned(replaced), owned(loaded)));
            assert!(transfer.missing.is_empty() && transfer.unused.is_empty());
        }
    }
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}
