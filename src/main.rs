//! The `gabor` program.

fn main() -> std::process::ExitCode {
    gabor::cli::main()
}
