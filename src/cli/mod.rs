//! The `gabor` program: one file a subcommand.
//!
//! Every error is one line on standard error that names the thing and the remedy; the exit code is
//! then 2.

mod bench;
mod data;
mod demo;
mod devices;
mod eval;
mod explain;
mod filters;
mod log;
mod lr_find;
mod op;
mod predict;
mod profile;
mod progress;
mod summary;
mod table;
mod train;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};

/// Train convolutional neural networks on any GPU, or on the CPU.
#[derive(Debug, Parser)]
#[command(name = "gabor", version, about, arg_required_else_help = true)]
#[command(after_help = "Example: gabor train --data photos --out runs/photos")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Arguments>),
    LrFind(Box<lr_find::Arguments>),
    Eval(eval::Arguments),
    Predict(predict::Arguments),
    Summary(summary::Arguments),
    Devices(devices::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
    Profile(profile::Arguments),
    Op(op::Arguments),
    Filters(filters::Arguments),
    Demo(demo::Arguments),
    Explain(explain::Arguments),
    Data(data::Arguments),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && !is_help(&error) => return usage(&error),
        Err(error) => {
            // Help and version. A closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    log::install();
    let outcome = match arguments.command {
        Command::Train(arguments) => train::run(*arguments),
        Command::LrFind(arguments) => lr_find::run(&arguments),
        Command::Eval(arguments) => eval::run(arguments),
        Command::Predict(arguments) => predict::run(arguments),
        Command::Summary(arguments) => summary::run(arguments),
        Command::Devices(arguments) => devices::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Op(arguments) => op::run(arguments),
        Command::Filters(arguments) => filters::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Data(arguments) => data::run(arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn is_help(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// clap's message in one line.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:"));
    let words: Vec<_> = lines
        .filter(|l| !l.is_empty() && !l.starts_with("For more information"))
        .map(|l| l.strip_prefix("error: ").unwrap_or(l))
        .collect();
    eprintln!("gabor: {}; see `gabor --help`", words.join(" "));
    ExitCode::from(2)
}

fn fail(error: &Error) -> ExitCode {
    eprintln!("gabor: {error}");
    ExitCode::from(2)
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|e| Error::Usage(format!("as JSON: {e}")))?;
    print_line(&line);
    Ok(())
}

/// Prints a line on standard output. A reader that has gone away is no error.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
