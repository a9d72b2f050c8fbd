//! The project's chores: `cargo xtask RECIPE`. Standard library only, so that it builds in a second.

mod adapter;
mod browser;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// A recipe ends well, or with one line that says what to do.
type Outcome = Result<(), String>;

/// What a step of a recipe does.
type Job = fn() -> Outcome;

struct Recipe {
    name: &'static str,
    help: &'static str,
    run: Run,
}

/// What a recipe does.
enum Run {
    Plain(Job),
    /// With the arguments that follow the name.
    With(fn(&[String]) -> Outcome),
}

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "test",
        help: "everything a change must pass, on a fresh machine",
        run: Run::Plain(test),
    },
    Recipe { name: "fmt", help: "format all Rust sources", run: Run::Plain(fmt) },
    Recipe {
        name: "clippy",
        help: "lint every feature set, warnings are errors",
        run: Run::Plain(clippy),
    },
    Recipe {
        name: "doc",
        help: "build the documentation, warnings are errors",
        run: Run::Plain(doc),
    },
    Recipe {
        name: "bench",
        help: "measure the kernels and the layers, GPU against CPU",
        run: Run::Plain(bench),
    },
    Recipe {
        name: "fuzz",
        help: "random shapes on CPU and GPU: fuzz [--cases N an op] [--op NAME]",
        run: Run::With(fuzz),
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        print!("{}", help());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(recipe) = RECIPES.iter().find(|r| r.name == name) else {
        eprint!("no recipe `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    let arguments: Vec<_> = arguments.collect();
    let outcome = match (&recipe.run, arguments.first()) {
        (Run::With(run), _) => run(&arguments),
        (Run::Plain(run), None) => run(),
        (Run::Plain(_), Some(extra)) => {
            eprintln!("`cargo xtask {name}` takes no argument, `{extra}` was given");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\ncargo xtask {name} failed: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text = String::from("cargo xtask RECIPE\n\n");
    for Recipe { name, help, .. } in RECIPES {
        text += &format!("  {name:<8}{help}\n");
    }
    text
}

/// The random cases of every op against its oracle, on the CPU and on a GPU.
fn fuzz(arguments: &[String]) -> Outcome {
    let (mut cases, mut op) = ("1000", "");
    for pair in arguments.chunks(2) {
        match pair {
            [flag, n] if flag == "--cases" && n.parse::<u32>().is_ok_and(|n| n > 0) => cases = n,
            [flag, name] if flag == "--op" => op = name,
            _ => return Err(format!("cannot read {pair:?}; give --cases N or --op NAME")),
        }
    }
    adapter::ensure()?;
    let tests = cargo(&["test", "--release", "--test", "ops", "random_cases", "--", "--nocapture"]);
    tests.env("GABOR_REQUIRE_GPU", "1").env("GABOR_CASES", cases).env("GABOR_OP", op).run()
}

fn test() -> Outcome {
    let started = Instant::now();
    let steps: &[(&str, Job)] = &[
        ("a Vulkan adapter", adapter::ensure),
        ("a browser", browser::ensure),
        ("rustfmt and clippy", ensure_components),
        ("format", || cargo(&["fmt", "--all", "--check"]).run()),
        ("lints", clippy),
        ("documentation", doc),
        ("tests", tests),
    ];
    let mut times = Vec::new();
    for (name, step) in steps {
        println!("\n=== {name} ===");
        let began = Instant::now();
        step().map_err(|problem| format!("{name}: {problem}"))?;
        let seconds = began.elapsed().as_secs_f64();
        println!("=== {name}: good, {seconds:.1} s ===");
        times.push((name, seconds));
    }
    println!();
    for (name, seconds) in times {
        println!("{seconds:>8.1} s  {name}");
    }
    println!("{:>8.1} s  in all; everything passed", started.elapsed().as_secs_f64());
    Ok(())
}

/// The whole suite, nothing of it passed over.
fn tests() -> Outcome {
    let tests = cargo(&["test", "--workspace"]);
    tests.env("GABOR_REQUIRE_GPU", "1").env("GABOR_REQUIRE_BROWSER", "1").run()
}

fn fmt() -> Outcome {
    cargo(&["fmt", "--all"]).run()
}

fn clippy() -> Outcome {
    // The lean feature sets are linted too: they must build, and hold no code that only others use.
    let sets: [&[&str]; 3] = [
        &["--workspace", "--all-targets"],
        &["--lib", "--no-default-features"],
        &["--lib", "--no-default-features", "--features", "images"],
    ];
    sets.iter().try_for_each(|set| {
        println!("clippy {}", set.join(" "));
        cargo(&["clippy"]).args(set).args(&["--", "-D", "warnings"]).run()
    })
}

fn doc() -> Outcome {
    cargo(&["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings").run()
}

fn bench() -> Outcome {
    cargo(&["bench", "--package", "gabor"]).run()
}

/// Minimal toolchains come without the formatter and the linter.
fn ensure_components() -> Outcome {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if cargo(&[tool, "--version"]).succeeds() {
            continue;
        }
        println!("adding the toolchain component {component}");
        Task::new("rustup", &["component", "add", component]).run().map_err(|_| {
            format!("install {component}, for example with `rustup component add {component}`")
        })?;
    }
    Ok(())
}

/// The cargo that runs this program, in the repository's root.
fn cargo(arguments: &[&str]) -> Task {
    Task::new(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), arguments)
}

/// One program to run in the repository's root.
struct Task {
    shown: String,
    command: Command,
}

impl Task {
    fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let name = Path::new(program).file_stem().map_or(program.into(), |s| s.to_string_lossy());
        Task { shown: name.into_owned(), command }.args(arguments)
    }

    fn args(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            self.shown += " ";
            self.shown += argument;
            self.command.arg(argument);
        }
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs with its output shown.
    fn run(mut self) -> Outcome {
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}` ended with {status}", self.shown)),
            Err(problem) => Err(format!("`{}` cannot be run: {problem}", self.shown)),
        }
    }

    /// Runs silently.
    fn succeeds(mut self) -> bool {
        self.command.output().is_ok_and(|output| output.status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_recipe_once() {
        let text = help();
        for recipe in RECIPES {
            assert_eq!(
                text.matches(&format!("  {:<8}", recipe.name)).count(),
                1,
                "{}",
                recipe.name
            );
        }
    }

    #[test]
    fn a_failing_program_is_named() {
        let problem = cargo(&["no-such-subcommand"]).run().unwrap_err();
        assert!(problem.starts_with("`cargo no-such-subcommand` ended with"), "{problem}");
        let problem = Task::new("no-such-program", &["-x"]).run().unwrap_err();
        assert!(problem.starts_with("`no-such-program -x` cannot be run"), "{problem}");
    }
}
