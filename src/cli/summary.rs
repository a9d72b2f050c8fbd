//! `gabor summary`

use std::process::ExitCode;

use clap::Args;

use super::network::NetworkOf;
use super::print_line;
use super::table::{Table, bytes, short, thousands};
use crate::error::Result;
use crate::graph::{Footprint, Kind, Plan, Recompute};
use crate::nn::Summary;

/// List a network's layers, shapes, parameters and arithmetic.
///
/// The last columns are the numbers of weights that the layer would have if its filters were not
/// shared between places, and if each of its outputs were connected to each of its inputs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor summary alexnet --batch 128
  gabor summary resnet-18 --batch 32 --memory --recompute full
  gabor summary alexnet --batch 128 --memory --precision f16
  gabor summary --config cifar-11pct
  gabor summary --config my-network.toml --input 3,32,32 --classes 10")]
pub(super) struct Arguments {
    /// The network.
    #[arg(required_unless_present = "config")]
    model: Option<String>,
    #[command(flatten)]
    network: NetworkOf,
    /// Images at a time.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// What would train it, for the memory that it needs: auto, cpu, gpu, gpu:NUMBER or gpu:NAME.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Say what the memory of a training step is spent on.
    #[arg(long)]
    memory: bool,
    /// Which activations that step computes again in its backward pass: none, cheap or full.
    #[arg(long, value_name = "WHICH", default_value = "none")]
    recompute: String,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let chosen = arguments.network.choose(arguments.model.as_deref().unwrap_or_default())?;
    let model = &chosen.model;
    let device = super::eval::device(&arguments.device)?;
    print(&model.summary(arguments.batch)?);
    let step = chosen.training_step(arguments.batch)?;
    let step = Recompute::named(&arguments.recompute)?.apply(step);
    let plan = Plan::new(&step, &device.target())?;
    print_line(&format!(
        "training with batch {} on {}: {} ({} of it parameters and momenta)",
        arguments.batch,
        device.name(),
        bytes(plan.memory()),
        bytes(plan.state_memory()),
    ));
    if arguments.memory {
        print_memory(&plan.footprint());
    }
    Ok(ExitCode::SUCCESS)
}

/// As many of the largest values as fit a screen.
const LARGEST: usize = 12;

fn print_memory(footprint: &Footprint) {
    print_line(&format!(
        "\npeak {}, liveness lower bound {}, ratio {:.3}; of slots alone {:.3}",
        bytes(footprint.peak),
        bytes(footprint.lower_bound),
        footprint.ratio(),
        footprint.slot_ratio(),
    ));
    print_line(&format!("most is alive at step {}: {}", footprint.step, footprint.op));
    let mut table = Table::new(["there", "bytes"]);
    let alive = Kind::ALL.map(|kind| (kind.name(), footprint.of(kind)));
    let idle = footprint.peak - footprint.lower_bound;
    let fixed = [
        ("parameters", footprint.parameters),
        ("optimizer state and running statistics", footprint.optimizer),
        ("inputs", footprint.inputs),
    ];
    for (name, size) in fixed.into_iter().chain(alive).chain([("slots without a use", idle)]) {
        table.row([name.to_owned(), bytes(size)]);
    }
    table.print();
    print_line("");
    let mut table = Table::new(["alive there", "what", "steps", "bytes"]);
    for t in footprint.alive.iter().take(LARGEST) {
        let steps = format!("{} to {}", t.first, t.last);
        table.row([t.name.clone(), t.kind.name().to_owned(), steps, bytes(t.bytes)]);
    }
    table.print();
}

fn print(summary: &Summary) {
    let mut table = Table::new([
        "layer",
        "output",
        "parameters",
        "multiply-adds",
        "not shared",
        "fully connected",
    ]);
    table.row(["input", &summary.input.to_string(), "", "", "", ""].map(str::to_owned));
    for layer in &summary.layers {
        let parameters = match layer.parameters {
            0 => String::new(),
            n => thousands(n as u128),
        };
        let arithmetic = match layer.fully_connected {
            Some(_) => short(layer.flops as f64 / 2.0),
            None => String::new(),
        };
        let [local, dense] = [layer.locally_connected, layer.fully_connected]
            .map(|weights| weights.map(thousands).unwrap_or_default());
        let (name, output) = (layer.name.clone(), layer.output.to_string());
        table.row([name, output, parameters, arithmetic, local, dense]);
    }
    table.print();
    let flops: u64 = summary.layers.iter().map(|l| l.flops).sum();
    print_line(&format!(
        "{}: {} parameters, {}FLOP forward",
        summary.model,
        thousands(summary.parameters as u128),
        short(flops as f64)
    ));
}
