//! Training in stages, each with data of its own.

use gabor::data::OpenOptions;
use gabor::optim::{Metric, Plateau, Schedule};
use gabor::train::{EpochMetrics, Stage, TrainConfig};

use super::*;

fn fit_stages(trainer: &mut Trainer, stages: &[Stage]) -> (Vec<StepMetrics>, Report) {
    let mut steps = vec![];
    let report = trainer.fit_stages(stages, |event, _| {
        if let Event::Step(step) = event {
            steps.push(*step);
        }
        ControlFlow::Continue(())
    });
    (steps, report.unwrap())
}

fn trainer(learning_rate: f32, options: Options) -> Trainer {
    Trainer::new(&Device::cpu(), small(0.2), sgd(learning_rate), options).unwrap()
}

/// A fifth of 23 images held back for `epochs` epochs: 18 or 19 to train on, then all.
fn stages(epochs: [u64; 2]) -> [Stage; 2] {
    let whole = small_source(23, 7);
    let part = whole.clone().with_validation(0.2, 0).unwrap();
    [Stage { source: part, epochs: epochs[0] }, Stage { source: whole, epochs: epochs[1] }]
}

#[test]
fn stages_of_the_same_data_are_one_run() {
    let source = small_source(10, 7);
    for schedule in [Schedule::Cosine { warmup: 1.0 }, Schedule::Step { epochs: 2.0, gamma: 0.5 }] {
        let options = Options { batch: 4, seed: 5, schedule, ..Options::default() };
        let mut whole = trainer(0.05, options.clone());
        let expected = fit(&mut whole, &source, 3);
        let mut staged = trainer(0.05, options);
        let stage = |epochs| Stage { source: source.clone(), epochs };
        let (steps, report) = fit_stages(&mut staged, &[stage(1), stage(2)]);
        assert!(steps == expected.0, "{steps:?}\n{:?}", expected.0);
        assert!(report.test == expected.1.test && report.steps == expected.1.steps);
        assert!(parameters(&staged) == parameters(&whole));
    }
}

#[test]
fn an_epoch_is_as_long_as_its_stages_data_and_the_schedule_goes_on() {
    let stages = stages([2, 2]);
    let (part, whole) = (&stages[0].source, &stages[1].source);
    let (few, all) = (part.train.len(), whole.train.len());
    assert_eq!((few + part.test.len(), all), (23, 23));
    let schedule = Schedule::MultiStep { milestones: vec![1.0, 2.5, 3.0], gamma: 0.5 };
    let options = Options { batch: 4, seed: 2, schedule, ..Options::default() };
    // So slow that the parameters stay what they were, to the bit; without dropout.
    let optimizer = Sgd::new(1e-30);
    let mut trainer = Trainer::new(&Device::cpu(), small(0.0), optimizer, options).unwrap();
    let (steps, report) = fit_stages(&mut trainer, &stages);

    let per_epoch = [few, few, all, all].map(|images| images.div_ceil(4));
    let mut expected = vec![];
    for (epoch, steps) in (1u64..).zip(per_epoch) {
        for index in 0..steps {
            let is_late = 2 * index >= steps;
            let cuts = [0, 1, if is_late { 2 } else { 1 }, 3][epoch as usize - 1];
            expected.push((epoch, 1e-30 * 0.5f32.powi(cuts)));
        }
    }
    let found: Vec<_> = steps.iter().map(|s| (s.epoch, s.learning_rate)).collect();
    assert_eq!(found, expected);
    assert!(steps.iter().zip(1..).all(|(s, step)| s.step == step));

    let network = trainer.network_mut();
    for (epoch, source) in report.epochs.iter().zip([part, part, whole, whole]) {
        let train = network.evaluate(&source.train, &source.normalise, 23).unwrap();
        let test = network.evaluate(&source.test, &source.normalise, 4).unwrap();
        assert!((epoch.loss - train.loss).abs() < 1e-5 * train.loss, "{epoch:?} {train:?}");
        assert!((epoch.train_top1 - train.top1).abs() < 1e-6, "{epoch:?} {train:?}");
        assert_eq!((epoch.test_loss, epoch.test_top1), (test.loss, test.top1));
    }
    assert_eq!(report.epochs.iter().map(|e| e.epoch).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn stages_repeat_to_the_bit_and_are_judged_afresh() {
    let stages = stages([2, 3]);
    let schedule = Schedule::Plateau(Plateau {
        patience: 0,
        threshold: 0.99,
        metric: Metric::Top1,
        absolute: true,
        ..Plateau::default()
    });
    let options = |early_stop| {
        let schedule = schedule.clone();
        Options { batch: 4, seed: 9, schedule, early_stop, ..Options::default() }
    };
    let train = |early_stop| {
        let mut trainer = trainer(0.05, options(early_stop));
        let (steps, report) = fit_stages(&mut trainer, &stages);
        (steps, report.epochs.clone(), report.best, parameters(&trainer))
    };
    let once = train(None);
    // Times differ from run to run.
    let epochs = |epochs: &[EpochMetrics]| {
        epochs.iter().map(|e| (e.loss, e.test_loss, e.test_top1, e.is_best)).collect::<Vec<_>>()
    };
    let again = train(None);
    assert!(once.0 == again.0 && once.3 == again.3);
    assert_eq!(epochs(&once.1), epochs(&again.1));

    // The first epoch of a stage is its best so far, and no plateau; each later one is cut.
    let rates: Vec<_> = once.1.iter().map(|e| (e.learning_rate / 0.05).log10().round()).collect();
    assert_eq!(rates, [0.0, 0.0, -1.0, -1.0, -2.0]);
    assert!(once.1[0].is_best && once.1[2].is_best);
    assert!(once.2.unwrap().epoch > 2);
    // One epoch without a better one is never over with the first of a stage.
    let (_, stopped, ..) = train(Some(2));
    assert!(stopped.len() >= 4, "{stopped:?}");
}

#[test]
fn a_share_is_held_back_for_some_epochs() {
    let config = |epochs| TrainConfig {
        epochs,
        validation: Some(0.2),
        validation_epochs: Some(3),
        ..TrainConfig::default()
    };
    let staged = config(5);
    staged.check().unwrap();
    let source = staged.open_data().unwrap();
    let made = staged.stages(&source).unwrap();
    let sizes = |stage: &Stage| (stage.source.train.len(), stage.source.test.len(), stage.epochs);
    assert_eq!(made.iter().map(sizes).collect::<Vec<_>>(), [(3200, 800, 3), (4000, 1000, 2)]);
    assert_eq!(made[0].source.normalise, made[1].source.normalise);
    // The images are those that `validation` alone holds back.
    let plain = TrainConfig { validation_epochs: None, ..config(5) }.open_data().unwrap();
    let labels = |set: &Arc<dyn data::Dataset>| data::split::labels(&**set).unwrap();
    assert_eq!(labels(&made[0].source.test), labels(&plain.test));
    let again = source.with_validation(0.2, OpenOptions::default().seed).unwrap();
    assert_eq!(labels(&made[0].source.train), labels(&again.train));

    // A run that ends before is one stage.
    let short = config(3);
    let source = short.open_data().unwrap();
    assert_eq!((source.train.len(), source.test.len()), (3200, 800));
    assert_eq!(short.stages(&source).unwrap().len(), 1);

    for (faulty, said) in [
        (TrainConfig { validation_epochs: Some(0), ..config(5) }, "must be 1 or more"),
        (TrainConfig { validation: None, ..config(5) }, "needs a share to hold back"),
        (TrainConfig { balance: true, ..config(5) }, "leave one of the two out"),
    ] {
        let message = faulty.check().unwrap_err().to_string();
        assert!(message.contains("validation-epochs") && message.contains(said), "{message}");
    }
    let text = config(5).to_toml().unwrap();
    assert!(text.contains("validation-epochs = 3"), "{text}");

    let mut trainer = trainer(0.05, Options { batch: 4, ..Options::default() });
    let none = |trainer: &mut Trainer, stages: &[Stage]| {
        trainer.fit_stages(stages, |_, _| ControlFlow::Continue(())).is_err()
    };
    assert!(none(&mut trainer, &[]));
    assert!(none(&mut trainer, &stages([0, 2])));
}
