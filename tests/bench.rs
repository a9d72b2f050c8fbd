//! The bench: what it times is what the step computes, and wrong results are told, not timed.

mod common;

use std::process::Command;

use gabor::bench::layers::{Options, Row, measure_layers};
use gabor::bench::{Budget, Pass, peers};
use gabor::device::Device;
use gabor::nn::Model;
use gabor::optim::Sgd;
use gabor::zoo;

fn lenet() -> Model {
    zoo::build("lenet", [1, 28, 28], 10).unwrap()
}

fn rows(gpu: Option<&Device>, filter: &str, all_kernels: bool) -> Vec<Row> {
    let budget = Budget { warm_up: 1, runs: 2, most_runs: 2, seconds: 0.0, grain: 0.0 };
    let options = Options { batch: 3, budget, all_kernels, check: true, filter: filter.into() };
    let mut rows = vec![];
    let sgd = Sgd::new(0.01).momentum(0.9);
    measure_layers(&lenet(), &sgd, gpu, &options, &mut |row| rows.push(row)).unwrap();
    rows
}

#[test]
fn every_op_of_a_step_is_right_and_timed_on_the_cpu() {
    let rows = rows(None, "", false);
    for row in &rows {
        assert_eq!(row.fault, None, "{} {}", row.layer, row.op);
        let cpu = row.cpu.unwrap();
        assert!(cpu.ms > 0.0 && cpu.ms_min <= cpu.ms && cpu.ms <= cpu.ms_max, "{row:?}");
        assert!(row.gpu.is_none() && row.ratio.is_none() && row.kernel.is_none());
    }
    let conv2 = rows.iter().find(|r| r.layer == "conv2" && r.pass == Pass::Forward).unwrap();
    assert_eq!(conv2.flops, 2 * 3 * 16 * 10 * 10 * 6 * 25);
    assert_eq!(conv2.inputs, "3x6x14x14 16x6x5x5 16");
    let gflops = conv2.flops as f64 / conv2.cpu.unwrap().ms / 1e6;
    assert!((conv2.cpu.unwrap().gflops.unwrap() / gflops - 1.0).abs() < 1e-9);
    let step = rows.last().unwrap();
    assert_eq!((step.pass, step.layer.as_str()), (Pass::Step, "all"));
    let sum: u64 = rows[..rows.len() - 1].iter().map(|row| row.flops).sum();
    assert_eq!(step.flops, sum, "the rows are the step");
}

#[test]
fn every_kernel_agrees_with_the_cpu_before_it_is_timed() {
    let Some(device) = common::full_gpu() else { return };
    let rows = rows(Some(&device), "", true);
    for row in &rows {
        assert_eq!(row.fault, None, "{} {} {:?}", row.layer, row.op, row.kernel);
        let (cpu, gpu) = (row.cpu.unwrap(), row.gpu.unwrap());
        assert!((row.ratio.unwrap() * gpu.ms / cpu.ms - 1.0).abs() < 1e-9);
    }
    let kernels = rows.iter().filter(|r| r.layer == "fc1" && r.op == "linear_relu").count();
    assert!(kernels > 1, "a matrix product has more than one kernel");
}

#[test]
fn a_peers_training_step_starts_with_the_oracles_loss() {
    let mut peer = peers::all().into_iter().find(|p| p.name == "cifar_quick_train").unwrap();
    peer.batch = 2;
    let mut devices = vec![Device::cpu()];
    devices.extend(common::full_gpu());
    for device in devices {
        let checks = peer.check(&device).unwrap();
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_program_prints_one_object_a_row() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gabor"));
        command.args(["bench", "--quick", "--device", "cpu"]).args(arguments).output().unwrap()
    };
    let output = run(&["--json", "--batch", "2", "--filter", "fc3"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ops: Vec<_> = rows.iter().map(|row| row["op"].as_str().unwrap()).collect();
    let backward = ["linear_grad_input", "linear_grad_weight", "channel_sum"];
    assert_eq!(ops, ["linear", backward[0], backward[1], backward[2], "sgd", "sgd"]);
    assert!(rows.iter().all(|row| row["cpu"]["ms"].as_f64().unwrap() > 0.0));

    let output = run(&["--batch", "2", "--filter", "fc3 forward"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("GPU  none") && text.contains("linear"), "{text}");

    for (arguments, says) in [
        (["--filter", "conv9"], "conv9"),
        (["--batch", "0"], "batch"),
        (["--model", "alexnot"], "alexnet-small"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(says) && message.lines().count() == 1, "{message}");
    }
}
