//! `gabor demo`

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::print_line;
use crate::error::Result;
use crate::lecture::{Style, conv, im2col, pool};

/// Show the arithmetic of convolution, pooling or im2col step by step.
///
/// All results come from the engine. On a terminal the windows are coloured, unless NO_COLOR is
/// set; elsewhere they are in brackets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor demo conv --pause
  gabor demo pool
  gabor demo im2col --seed 7 --width 60")]
pub(super) struct Arguments {
    /// What to show.
    #[arg(value_enum)]
    what: What,
    /// Draw the numbers at random; without it they are the lecture's.
    #[arg(long)]
    seed: Option<u64>,
    /// Wait for Enter after each step.
    #[arg(long)]
    pause: bool,
    /// Columns that no line goes beyond, 50 or more.
    #[arg(long, default_value_t = 80)]
    width: usize,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Two 3x3x3 filters over a 7x7x3 picture at stride 2, as in cs231n's animation.
    Conv,
    /// Max pooling of 4x4 numbers.
    Pool,
    /// The same convolution as one matrix product.
    Im2col,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style =
        Style { colour: std::io::stdout().is_terminal() && !no_colour, width: arguments.width };
    let demo = match arguments.what {
        What::Conv => conv,
        What::Pool => pool,
        What::Im2col => im2col,
    };
    let device = super::eval::device(&arguments.device)?;
    let steps = demo(&device, arguments.seed, style)?;
    let mut lines = std::io::stdin().lock().lines();
    for (i, step) in steps.iter().enumerate() {
        if i > 0 {
            // Where nobody answers, as at the end of a pipe, it goes on by itself.
            match arguments.pause {
                true => drop(lines.next()),
                false => print_line(""),
            }
        }
        print_line(step);
    }
    Ok(ExitCode::SUCCESS)
}
