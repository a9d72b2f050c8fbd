//! `gabor completions`

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::error::Result;

/// Print a script that completes gabor's commands and options in a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor completions bash > ~/.local/share/bash-completion/completions/gabor
  gabor completions zsh > ~/.zfunc/_gabor          (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  gabor completions fish > ~/.config/fish/completions/gabor.fish
  gabor completions powershell >> $PROFILE
  gabor completions elvish > ~/.config/elvish/lib/gabor.elv      (with use gabor in rc.elv)

Create the folder first where there is none, and open a new shell.")]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut script = vec![];
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "gabor",
        &mut script,
    );
    super::print_line(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
