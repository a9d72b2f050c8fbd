//! `gabor train`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::progress::Progress;
use super::{print_json, print_line};
use crate::error::{Error, Result};
use crate::graph::Recompute;
use crate::optim::Method;
use crate::train::{Event, Precision, Run, TrainConfig, TransformsOn};
use crate::tuning::Tuning;

/// Train a network.
///
/// Without arguments: AlexNet's layers on 4,000 handwritten digits that the program contains.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor train
  gabor train --data photos --epochs 20 --seed 7
  gabor train --optimizer adamw --weight-decay 0.01 --clip-norm 5 --ema 0.999
  gabor train --data idx:fashion-mnist --device gpu --out runs/fashion
  gabor train --data photos --film appearing.png
  gabor train --data folder:birds --init runs/photos --freeze conv1,conv2 --early-stop 5
  gabor train --config cifar-18pct --data cifar10:data/cifar10
  gabor train --config runs/digits-alexnet-small-001/config.toml")]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The run's folder, new or empty; without it the next free one under runs/.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also write a film of the first layer's filters as they are learned: an animated PNG file,
    /// which browsers play.
    #[arg(long, value_name = "FILE.png")]
    film: Option<PathBuf>,
    /// Also write event files for TensorBoard, into the folder tensorboard of the run's: scalars of
    /// each step and epoch; filters, and histograms of weights and gradients, each epoch.
    #[arg(long)]
    tensorboard: bool,
    /// Write no report.html, which takes another evaluation of the test set and some steps.
    #[arg(long)]
    no_report: bool,
    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,
    /// Print a JSON object an epoch, and one for the result.
    #[arg(long)]
    json: bool,
}

/// What decides a run: a configuration and what overrides it.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// A configuration to start from, a file or the name of a recipe; other arguments override it.
    #[arg(long, value_name = "FILE|RECIPE")]
    config: Option<PathBuf>,
    /// digits, photos, idx:DIR for a folder of MNIST-format files, cifar10:DIR, cifar100:DIR, or
    /// folder:DIR for a folder of pictures for each class.
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// The network: alexnet-small, alexnet, alexnet-2014, lenet ...; `gabor summary` knows them too.
    #[arg(long)]
    model: Option<String>,
    /// Epochs to train.
    #[arg(long, allow_negative_numbers = true)]
    epochs: Option<u64>,
    /// End the run after this many steps.
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
    max_steps: Option<u64>,
    /// End the run when this many epochs have gone by without a better one; its result is then the
    /// best epoch.
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    early_stop: Option<u64>,
    /// Start from these weights: a .safetensors file, or the folder of a run. The last layer starts afresh
    /// where there are other classes.
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// With --init: let the last layer start afresh even where it fits.
    #[arg(long)]
    replace_head: bool,
    /// Leave these layers as they are, as conv1,conv2.
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    freeze: Vec<String>,
    /// Train only these layers.
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', conflicts_with = "freeze")]
    freeze_all_but: Vec<String>,
    /// Images a step.
    #[arg(long, allow_negative_numbers = true)]
    batch: Option<usize>,
    /// Images at a time on the device, where a whole batch does not fit.
    #[arg(long, value_name = "IMAGES", allow_negative_numbers = true)]
    micro_batch: Option<usize>,
    /// Compute activations again in the backward pass, for less memory: none, cheap (where it takes
    /// little time) or full (one more forward pass at most).
    #[arg(long, value_name = "WHICH")]
    recompute: Option<String>,
    /// How the values of a step are stored: f32, or f16 (half of the memory and of the traffic; parameters
    /// and sums stay in single precision, and the loss is scaled by what suits the gradients).
    #[arg(long, value_name = "TYPE")]
    precision: Option<String>,
    /// Where training images are cut, turned and coloured: threads, device, or auto (on a GPU that is one,
    /// where it can do them).
    #[arg(long, value_name = "WHERE")]
    transforms_on: Option<String>,
    /// sgd, adam, adamw, rmsprop, adagrad, adadelta, lion or lars.
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// The learning rate before the schedule; without it what is usual for the optimizer.
    #[arg(long, visible_alias = "lr", allow_negative_numbers = true)]
    learning_rate: Option<f32>,
    /// The share of the last step that each step keeps, with sgd, rmsprop and lars.
    #[arg(long, allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Pulls the weights towards zero.
    #[arg(long, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Limit the norm of all gradients taken together.
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// Limit each element of a gradient.
    #[arg(long, value_name = "LIMIT", allow_negative_numbers = true)]
    clip_value: Option<f64>,
    /// End the run where the norm of all gradients is more than this many times the usual one; 0 never
    /// does. As the configuration says, without one 1000.
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true)]
    max_gradient_growth: Option<f64>,
    /// Keep running averages of the weights, and evaluate and save those; each step keeps this share.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    ema: Option<f64>,
    /// Spread this share of each label over all classes.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    label_smoothing: Option<f64>,
    /// Weigh the losses of images so that all classes count the same, however rare.
    #[arg(long)]
    class_weights: bool,
    /// Decides initial weights, order, augmentation and dropout.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Train on the images as they are.
    #[arg(long)]
    no_augment: bool,
    /// Broken files of a folder that may be left out.
    #[arg(long, value_name = "N")]
    max_bad: Option<usize>,
    /// Hold back this share of the training set and evaluate it in place of the test set.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    validation: Option<f64>,
    /// Hold that share back for this many epochs only, then train on all and evaluate the test set.
    #[arg(long, value_name = "EPOCHS")]
    validation_epochs: Option<u64>,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long)]
    device: Option<String>,
    /// How a GPU's kernels are chosen: off, cached, quick, full, or a file of `gabor tune --export`;
    /// as the configuration says, without one cached.
    #[arg(long, value_name = "TUNING")]
    tune: Option<Tuning>,
}

impl Settings {
    pub(super) fn config(&self) -> Result<TrainConfig> {
        let mut config = match &self.config {
            Some(path) => TrainConfig::open(path)?,
            None => TrainConfig { tune: Tuning::Cached, ..TrainConfig::default() },
        };
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        set(&mut config.data, &self.data);
        if let Some(model) = &self.model {
            (config.model, config.network) = (model.clone(), None);
        }
        set(&mut config.epochs, &self.epochs);
        set(&mut config.batch, &self.batch);
        if let Some(name) = &self.optimizer {
            let method = Method::named(name)?;
            // What suits one optimizer suits no other.
            if method.name() != config.optimizer.name() {
                config.optimizer = method;
                config.learning_rate = method.usual_learning_rate();
            }
        }
        set(&mut config.learning_rate, &self.learning_rate);
        set(&mut config.momentum, &self.momentum);
        set(&mut config.weight_decay, &self.weight_decay);
        set(&mut config.seed, &self.seed);
        set(&mut config.device, &self.device);
        set(&mut config.tune, &self.tune);
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        config.clip_value = self.clip_value.or(config.clip_value);
        config.ema = self.ema.or(config.ema);
        set(&mut config.max_gradient_growth, &self.max_gradient_growth);
        set(&mut config.label_smoothing, &self.label_smoothing);
        config.class_weights |= self.class_weights;
        set(&mut config.max_bad, &self.max_bad);
        config.validation = self.validation.or(config.validation);
        config.validation_epochs = self.validation_epochs.or(config.validation_epochs);
        config.max_steps = self.max_steps.or(config.max_steps);
        config.early_stop = self.early_stop.or(config.early_stop);
        config.init = self.init.clone().or(config.init);
        config.replace_head |= self.replace_head;
        if !(self.freeze.is_empty() && self.freeze_all_but.is_empty()) {
            (config.freeze, config.freeze_all_but) =
                (self.freeze.clone(), self.freeze_all_but.clone());
        }
        if let Some(which) = &self.recompute {
            config.recompute = Recompute::named(which)?;
        }
        if let Some(name) = &self.transforms_on {
            config.transforms_on = TransformsOn::named(name)?;
        }
        if let Some(name) = &self.precision {
            config.precision = Precision::named(name)?;
        }
        config.micro_batch = self.micro_batch.or(config.micro_batch);
        config.augment &= !self.no_augment;
        Ok(config)
    }
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.quiet {
        super::log::silence();
    }
    if let Some(path) = &arguments.film {
        crate::viz::film::check_name(path)?;
    }
    let mut config = arguments.settings.config()?;
    config.tensorboard |= arguments.tensorboard;
    let mut run = Run::new(config, arguments.out.clone())?;
    if let Some(path) = &arguments.film {
        run = run.film(path)?;
    }
    let stop = interruptible()?;
    let is_talking = !arguments.quiet && !arguments.json;
    let mut progress = Progress::new(&run, is_talking);
    let train = run.source().train.clone();
    let summary = run.execute(|event| {
        progress.show(event);
        if let (Event::Epoch(epoch), true) = (event, arguments.json) {
            // An epoch is a few plain numbers, which always become JSON.
            let _ = print_json(epoch);
        }
        match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    progress.end();
    if !arguments.no_report {
        super::report::after_training(&summary.run);
    }
    super::data::report(&train.skipped());
    if arguments.json {
        print_json(&summary)?;
    } else if !arguments.quiet {
        let ended = match (summary.interrupted, summary.stopped_early) {
            (true, _) => "interrupted; ",
            (_, true) => "no better epoch came, stopped early; ",
            _ => "",
        };
        print_line(&format!(
            "{ended}test accuracy {:.2} % after {} steps and {:.1} s of training on {}",
            100.0 * summary.test_top1,
            summary.steps,
            summary.train_seconds,
            summary.device
        ));
        print_line(&format!("saved to {}", summary.run.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A flag that the first Ctrl-C raises; the second ends the process.
fn interruptible() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let installed = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nending after this step; press Ctrl-C again to end at once");
    });
    installed.map_err(|e| Error::Usage(format!("Ctrl-C cannot be caught: {e}")))?;
    Ok(flag)
}
