//! What a training run shows while it goes on: two live bars on a terminal, a line an epoch elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::print_line;
use crate::train::{EpochMetrics, Event, Run, StepMetrics, Transfer};

/// A bar for the epoch above one for the run.
struct Bars {
    both: MultiProgress,
    epoch: ProgressBar,
    run: ProgressBar,
}

impl Bars {
    fn new(total: u64) -> Self {
        let both = MultiProgress::new();
        let bar = |template: &str, length| {
            let style = ProgressStyle::with_template(template)
                .map(|style| style.progress_chars("=> "))
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            both.add(ProgressBar::new(length).with_style(style))
        };
        let epoch = bar("{prefix} {bar:24} {percent:>3}%  {msg}", total);
        let run = bar("  the run   {bar:24} {percent:>3}%  {eta} left", total);
        Bars { both, epoch, run }
    }
}

pub(super) struct Progress {
    bars: Option<Bars>,
    is_talking: bool,
    started: Instant,
    images: u64,
    /// Images of the epochs before.
    before: u64,
    /// Epochs and images an epoch, of each stage.
    stages: Vec<(u64, u64)>,
    total: u64,
    epochs: u64,
    /// The loss and the top-1, smoothed over about 30 steps.
    smoothed: Option<(f32, f32)>,
}

impl Progress {
    /// Says what is about to be trained.
    pub(super) fn new(run: &Run, is_talking: bool) -> Self {
        let (config, source) = (run.config(), run.source());
        let stages: Vec<_> =
            run.stages().iter().map(|s| (s.epochs, s.source.train.len() as u64)).collect();
        let mut total = stages.iter().map(|(epochs, images)| epochs * images).sum::<u64>();
        if let Some(steps) = config.max_steps {
            total = total.min(steps * config.batch as u64);
        }
        if is_talking {
            if let Some(transfer) = run.transfer() {
                print_line(&transfer_line(transfer));
            }
            print_line(&format!(
                "{} on {} ({} images to train on, {} to test on) with {}",
                config.model,
                config.data,
                source.train.len(),
                source.test.len(),
                run.trainer().network().device().name()
            ));
            if let [first, _] = run.stages() {
                print_line(&format!(
                    "for {} epochs {} of them are held back and tested on",
                    first.epochs,
                    first.source.test.len()
                ));
            }
        }
        let bars = (is_talking && std::io::stderr().is_terminal()).then(|| Bars::new(total));
        Progress {
            bars,
            is_talking,
            started: Instant::now(),
            images: 0,
            before: 0,
            stages,
            total,
            epochs: config.epochs,
            smoothed: None,
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Epoch(epoch) => self.epoch(epoch),
        }
    }

    fn step(&mut self, step: &StepMetrics) {
        self.images += step.images as u64;
        let (loss, top1) = match self.smoothed {
            None => (step.loss, step.top1),
            Some((loss, top1)) => {
                (loss + (step.loss - loss) / 30.0, top1 + (step.top1 - top1) / 30.0)
            }
        };
        self.smoothed = Some((loss, top1));
        if let Some(bars) = &self.bars {
            let rate = self.images as f64 / self.started.elapsed().as_secs_f64();
            bars.epoch.set_prefix(format!("epoch {:>2}/{}", step.epoch, self.epochs));
            bars.epoch.set_message(format!(
                "{rate:.0} images/s  loss {loss:.4}  top-1 {:.1} %  lr {:.2e}",
                100.0 * top1,
                step.learning_rate
            ));
            bars.epoch.set_length(self.per_epoch(step.epoch).min(self.total));
            bars.epoch.set_position(self.images - self.before);
            bars.run.set_position(self.images.min(self.total));
        }
    }

    /// Images of an epoch, which are counted from 1.
    fn per_epoch(&self, epoch: u64) -> u64 {
        let mut last = 0;
        let stage = self.stages.iter().find(|(epochs, _)| {
            last += epochs;
            epoch <= last
        });
        stage.map_or(0, |(_, images)| *images)
    }

    fn epoch(&mut self, epoch: &EpochMetrics) {
        self.before = self.images;
        if !self.is_talking {
            return;
        }
        let done = self.images as f64 / self.total.max(1) as f64;
        let left = self.started.elapsed().as_secs_f64() * (1.0 - done) / done.max(1e-9);
        let line = format!(
            "epoch {:>2}/{}  {:.0} images/s  loss {:.4}  top-1 {:.2} %  test loss {:.4}  test top-1 {:.2} %{}  lr {:.2e}  {left:.0} s left",
            epoch.epoch,
            self.epochs,
            epoch.images_per_second,
            epoch.loss,
            100.0 * epoch.train_top1,
            epoch.test_loss,
            100.0 * epoch.test_top1,
            if epoch.is_best { " (best)" } else { "" },
            epoch.learning_rate,
        );
        match &self.bars {
            Some(bars) => bars.both.suspend(|| print_line(&line)),
            None => print_line(&line),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.epoch.finish_and_clear();
            bars.run.finish_and_clear();
        }
    }
}

/// What became of the weights that the run starts from.
fn transfer_line(transfer: &Transfer) -> String {
    let named = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("; {what}: {}", names.join(", ")),
    };
    format!(
        "{} parameters taken over{}{}{}",
        transfer.loaded.len(),
        named("afresh", &transfer.replaced),
        named("not found", &transfer.missing),
        named("unused", &transfer.unused),
    )
}
