//! `gabor data`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::table::{Table, thousands};
use super::{print_json, print_line};
use crate::data::describe::{describe, examples};
use crate::data::download::RemoteSet;
use crate::data::speed::measure;
use crate::data::{self, OpenOptions, Skipped, Transform, Transforms};
use crate::error::Result;
use crate::viz::contact::{COLUMNS, ROWS, Row, sheet};
use crate::viz::save_png;

/// Get data sets, look into them, and measure how fast they are read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor data get cifar10
  gabor data show cifar10:data/cifar10 --sheet cifar10.png
  gabor data bench imagenet/train")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(Get),
    Show(Show),
    Bench(Bench),
}

/// Download a data set, check its sums, and unpack it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor data get fashion-mnist
  gabor data get cifar10 --mirror ~/Downloads/cifar-10-binary.tar.gz --to data/cifar10")]
struct Get {
    /// mnist, fashion-mnist, cifar10 or cifar100.
    set: String,
    /// Take the files from this address or folder, or a set of one file from this file.
    #[arg(long, value_name = "URL|FILE")]
    mirror: Option<String>,
    /// The folder to put it into; without it data/SET.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,
}

/// Show what a data set holds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor data show digits
  gabor data show folder:flowers --max-bad 10 --sheet flowers.png")]
struct Show {
    /// digits, photos, idx:DIR, cifar10:DIR, cifar100:DIR, cifar100-coarse:DIR or folder:DIR.
    data: String,
    /// Draw images of every class to this PNG file.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Broken files of a folder that may be left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad: usize,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Measure how fast a folder of pictures is read: decoded only, and as a network gets them, scaled to
/// 256 pixels and cropped to 224.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor data bench imagenet --threads 2")]
struct Bench {
    /// A folder with a folder of PNG or JPEG files for each class, or with train/ and val/.
    dir: PathBuf,
    /// Threads; without it all of the processor's.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Broken files that may be left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad: usize,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Get(arguments) => get(arguments),
        Command::Show(arguments) => show(&arguments),
        Command::Bench(arguments) => bench(&arguments),
    }
}

fn get(arguments: Get) -> Result<ExitCode> {
    let set = RemoteSet::named(&arguments.set)?;
    let to = arguments.to.unwrap_or_else(|| ["data", set.name].iter().collect());
    let is_live = !arguments.quiet && std::io::stderr().is_terminal();
    let mut bar: Option<(String, ProgressBar)> = None;
    let data = set.get(arguments.mirror.as_deref(), &to, |file, done, total| {
        if !is_live {
            return;
        }
        if bar.as_ref().is_none_or(|(shown, _)| shown != file) {
            let template = "{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}  {eta} left";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let new = ProgressBar::new(total).with_style(style.progress_chars("=> "));
            bar = Some((file.to_owned(), new.with_message(file.to_owned())));
        }
        if let Some((_, bar)) = &bar {
            bar.set_position(done);
        }
    })?;
    if let Some((_, bar)) = bar {
        bar.finish_and_clear();
    }
    if !arguments.quiet {
        print_line(&format!("train on it with `gabor train --data {data}`"));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &Show) -> Result<ExitCode> {
    let options = OpenOptions { max_bad: arguments.max_bad, ..OpenOptions::default() };
    let source = data::open_with(&arguments.data, &options)?;
    let description = describe(&source)?;
    if let Some(path) = &arguments.sheet {
        let names = source.train.classes().iter().cloned();
        let images = examples(&*source.train, ROWS, COLUMNS)?;
        let rows: Vec<_> = names.zip(images).map(|(name, images)| Row { name, images }).collect();
        save_png(&sheet(&rows, source.train.shape())?, path)?;
    }
    report(&source.train.skipped());
    if arguments.json {
        print_json(&description)?;
        return Ok(ExitCode::SUCCESS);
    }
    let [channels, height, width] = description.shape;
    print_line(&format!(
        "{}: {} images to train on, {} to test on, {} classes",
        description.name,
        thousands(description.train as u128),
        thousands(description.test as u128),
        description.classes.len()
    ));
    let [small, large] = [description.smallest, description.largest];
    let stored = match small == large {
        true => format!("stored as {}x{}", small[0], small[1]),
        false => format!("stored as {}x{} to {}x{}", small[0], small[1], large[0], large[1]),
    };
    print_line(&format!("{channels} channels of {height}x{width} pixels, {stored}"));
    let list =
        |values: &[f32]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(", ");
    let (mean, std) = (list(&description.mean), list(&description.std));
    print_line(&format!("mean {mean}; standard deviation {std}"));
    let mut table = Table::new(["class", "train", "test"]);
    for class in description.classes {
        table.row([class.name, thousands(class.train as u128), thousands(class.test as u128)]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

fn bench(arguments: &Bench) -> Result<ExitCode> {
    let options = OpenOptions { max_bad: arguments.max_bad, ..OpenOptions::default() };
    let source = data::folder::open(&arguments.dir, &options)?;
    let transforms = Transforms::new(vec![
        Transform::Resize { size: 256, exact: false },
        Transform::Crop { size: 224, padding: 0 },
        Transform::Flip { chance: 0.5 },
    ])?;
    let time = Duration::from_secs(arguments.seconds);
    let speed = measure(&source.train, &transforms, arguments.threads, time)?;
    report(&source.train.skipped());
    if arguments.json {
        print_json(&speed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let threads = speed.threads as f64;
    let mut table = Table::new(["", "images/s", "a thread"]);
    for (name, rate) in
        [("decoded only", speed.decode), ("scaled, cropped, in batches", speed.loader)]
    {
        table.row([name.to_owned(), format!("{rate:.0}"), format!("{:.0}", rate / threads)]);
    }
    table.print();
    print_line(&format!(
        "{:.0} % of the speed of decoding; {} images, {} threads",
        100.0 * speed.ratio(),
        thousands(speed.images as u128),
        speed.threads
    ));
    print_line(&format!(
        "a network at a third of that speed waits {:.1} % of the time",
        100.0 * speed.waiting
    ));
    Ok(ExitCode::SUCCESS)
}

/// Names the files that were left out, on standard error.
pub(super) fn report(skipped: &[Skipped]) {
    for Skipped { path, problem } in skipped {
        eprintln!("gabor: left out {}: {problem}", path.display());
    }
}
