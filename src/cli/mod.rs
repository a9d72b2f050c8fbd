//! The `gabor` program: one file a subcommand.
//!
//! Every error is one line on standard error that names the thing and the remedy; the exit code is
//! then 2.

mod bench;
mod compare;
mod completions;
mod data;
mod demo;
mod devices;
mod eval;
mod explain;
mod filters;
mod log;
mod lr_find;
mod network;
mod op;
mod predict;
mod profile;
mod progress;
mod report;
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
#[command(after_help = "Examples:
  gabor train --data photos --out runs/photos")]
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
    Report(report::Arguments),
    Compare(compare::Arguments),
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
    Completions(completions::Arguments),
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
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
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
        Command::Completions(arguments) => completions::run(&arguments),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A command and all below it, with their paths.
    fn all(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        let below = command.get_subcommands().filter(|c| c.get_name() != "help");
        let below: Vec<_> = below.flat_map(|c| all(c, &path)).collect();
        [vec![(path, command.clone())], below].concat()
    }

    #[test]
    fn the_help_of_every_command_has_an_example_that_is_read() {
        let commands = all(&Arguments::command(), "");
        assert!(commands.len() > 16, "{}", commands.len());
        for (path, command) in &commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples =
                help.strip_prefix("Examples:\n").unwrap_or_else(|| panic!("{path}: {help}"));
            let own = examples.lines().filter(|line| line.trim_start().starts_with(path));
            assert!(own.count() > 0, "{path}: {examples}");
        }
    }

    #[test]
    fn completions_know_every_command() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Arguments::command(), "gabor", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (path, _) in all(&Arguments::command(), "").iter().skip(1) {
                let name = path.rsplit(' ').next().unwrap();
                assert!(script.contains(name), "{shell}: {path}");
            }
            assert!(script.contains("tensorboard"), "{shell}");
        }
    }
}
