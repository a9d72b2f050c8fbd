//! The profiler: peaks that can be, rows that add up, traces that nest, and results that are those of
//! an untimed run.

#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use std::sync::OnceLock;

use gabor::bench::peak::{Effort, Peak, measure_peak};
use gabor::bench::profile::{Bound, Options, Profile, Sum, profile};
use gabor::bench::report::{self, report};
use gabor::bench::trace::trace;
use gabor::bench::{Budget, Pass, Runner, Workload};
use gabor::device::Device;
use gabor::error::Error;
use gabor::graph::{Clock, Target};
use gabor::nn::Model;
use gabor::optim::Sgd;
use gabor::session::Outputs;
use gabor::train::Precision;
use gabor::zoo;
use serde_json::Value;

fn lenet() -> Model {
    zoo::build("lenet", [1, 28, 28], 10).unwrap()
}

fn sgd() -> Sgd {
    Sgd::new(0.01).momentum(0.9)
}

/// The CPU, the adapter with all that it offers, and the adapter without timestamps.
fn devices() -> Vec<Device> {
    [Some(Device::cpu()), common::full_gpu(), common::gpu()].into_iter().flatten().collect()
}

/// A profile of LeNet on each of them.
fn profiles() -> &'static [(Device, Profile)] {
    static PROFILES: OnceLock<Vec<(Device, Profile)>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let options = Options { batch: 3, steps: 2, precision: Precision::F32 };
        let profiled = devices().into_iter().map(|device| {
            let peak = measure_peak(&device, &Effort::QUICK).unwrap();
            let profile = profile(&device, &lenet(), &sgd(), options, &peak).unwrap();
            (device, profile)
        });
        profiled.collect()
    })
}

#[test]
fn peaks_are_plausible_and_can_be_repeated() {
    for (device, profile) in profiles() {
        let rates = |peak: &Peak| {
            let memory = [&peak.read, &peak.write, &peak.copy].map(|r| r.giga_per_second);
            let half = peak.f16.as_ref().map(|r| r.giga_per_second);
            [[peak.f32.giga_per_second].as_slice(), &memory, half.as_slice()].concat()
        };
        let (first, second) = (&profile.peak, &measure_peak(device, &Effort::QUICK).unwrap());
        println!("{first:?}");
        for (a, b) in rates(first).into_iter().zip(rates(second)) {
            assert!(a.is_finite() && a > 0.01 && a < 1e6, "{first:?}");
            assert!(a / b < 20.0 && b / a < 20.0, "{first:?} and then {second:?}");
        }
        // A floor is what takes longer.
        let (arithmetic, traffic) = (first.floor(1 << 40, 4), first.floor(4, 1 << 40));
        let seconds = |rate: f64| (1u64 << 40) as f64 / rate / 1e9;
        assert!((arithmetic / seconds(first.f32.giga_per_second) - 1.0).abs() < 1e-9);
        assert!((traffic / seconds(first.bandwidth()) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn rows_add_up_to_layers_passes_and_the_step() {
    let workload = Workload::training_step(&lenet(), &sgd(), 3, Precision::F32).unwrap();
    let cost = workload.cost().unwrap();
    for (device, profile) in profiles() {
        println!("{} {:?} {:?}", profile.device, profile.clock, profile.host);
        let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        let total: f64 = profile.rows.iter().map(|row| row.ms).sum();
        assert!(is_near(profile.ops_ms, total) && total > 0.0);
        // Of two steps the median is the mean.
        let spans = profile.timelines.iter().flat_map(|(_, timeline)| &timeline.device);
        let mean = spans.map(|span| span.end - span.start).sum::<f64>() / 2.0;
        assert!((total - mean * 1e3).abs() < 1e-6 * total, "{total} ms, {mean} s");
        for row in profile.rows.iter().filter(|row| !row.dispatches.is_empty()) {
            assert!(is_near(row.ms, row.dispatches.iter().map(|part| part.ms).sum()), "{row:?}");
        }
        assert!(is_near(profile.rows.iter().map(|row| row.share).sum(), 1.0));
        for sums in [&profile.layers, &profile.passes] {
            let parts = |s: &Sum| s.forward_ms + s.backward_ms + s.update_ms;
            assert!(sums.iter().all(|sum| is_near(sum.ms, parts(sum))));
            assert!(is_near(sums.iter().map(|sum| sum.ms).sum(), total));
        }
        assert_eq!(profile.rows.iter().map(|row| row.flops).sum::<u64>(), cost.flops);
        let names: Vec<_> = profile.passes.iter().map(|sum| sum.name.as_str()).collect();
        assert!(["forward", "backward", "update"].iter().all(|pass| names.contains(pass)));
        let updates = profile.rows.iter().filter(|row| row.pass == Pass::Update).count();
        assert!(updates >= 10, "five layers with weight and bias: {updates}");
        let conv2 = profile.rows.iter().find(|r| r.layer == "conv2" && r.pass == Pass::Forward);
        let conv2 = conv2.unwrap();
        assert_eq!(
            (conv2.op.as_str(), conv2.inputs.as_str()),
            ("conv2d_relu", "3x6x14x14 16x6x5x5 16")
        );
        assert!(is_near(conv2.gflops, conv2.flops as f64 / conv2.ms / 1e6));
        // Which of the two it is depends on the machine.
        let arithmetic = conv2.flops as f64 / profile.peak.f32.giga_per_second / 1e6;
        let traffic = conv2.bytes as f64 / profile.peak.bandwidth() / 1e6;
        assert_eq!(conv2.bound == Bound::Arithmetic, arithmetic > traffic);
        assert!(is_near(conv2.of_peak, arithmetic.max(traffic) / conv2.ms));
        let has_host = !matches!(device, Device::Cpu);
        assert_eq!(profile.host.is_some(), has_host);
        assert!(profile.host.is_none_or(|host| host.dispatches > 20));
        assert!(profile.host.is_none_or(|host| host.start_us > 0.0 && host.warm_start_us > 0.0));
    }
}

#[test]
fn every_op_has_a_time_by_the_clock_that_is_named() {
    // The last one was opened without optional features.
    let clocks = |device: &Device| match device {
        Device::Cpu => vec![Clock::Host],
        // Software adapters write them too early.
        Device::Gpu(engine) if engine.report().timestamps && !engine.adapter().is_software() => {
            vec![Clock::Timestamps, Clock::Synchronised]
        }
        Device::Gpu(_) => vec![Clock::Synchronised],
    };
    let found: Vec<_> = profiles().iter().map(|(_, profile)| profile.clock).collect();
    let first_gpu = profiles().iter().map(|(device, _)| device).nth(1);
    let expected = [clocks(&Device::Cpu), first_gpu.map(clocks).unwrap_or_default()].concat();
    assert!(found.starts_with(&expected), "{found:?}");
    for (_, profile) in profiles() {
        for (_, timeline) in &profile.timelines {
            let mut latest = f64::NEG_INFINITY;
            for span in &timeline.device {
                assert!(span.start >= latest && span.end >= span.start, "{span:?} after {latest}");
                latest = span.end;
            }
            let timed: std::collections::BTreeSet<_> =
                timeline.device.iter().map(|span| span.step).collect();
            let ops = profile.rows.iter().enumerate().filter(|(_, row)| row.op != "copy");
            let mut ops = ops.map(|(step, _)| step);
            assert!(ops.all(|step| timed.contains(&step)), "{}", profile.device);
            let host = &timeline.host;
            assert!(host.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-12));
        }
    }
}

#[test]
fn timed_and_rehearsed_runs_compute_what_any_run_does() {
    let workload = Workload::training_step(&lenet(), &sgd(), 3, Precision::F32).unwrap();
    let timed = |runner: &mut Runner| runner.run_timed().unwrap().0;
    let rehearsed = |runner: &mut Runner| {
        runner.rehearse();
        runner.run().unwrap()
    };
    for device in devices() {
        let losses = |step: &dyn Fn(&mut Runner) -> Outputs| -> Vec<u32> {
            let mut runner = Runner::new(&device, &workload, 1).unwrap();
            (0..4).map(|_| step(&mut runner).scalar("loss").unwrap().to_bits()).collect()
        };
        let plain = losses(&|runner| runner.run().unwrap());
        assert!(plain.windows(2).all(|pair| pair[0] != pair[1]), "each step updates: {plain:?}");
        assert_eq!(losses(&timed), plain, "{}", device.name());
        assert_eq!(losses(&rehearsed), plain, "{}", device.name());
    }
}

/// Events of a track that begin before an earlier one is over must end within it.
fn assert_nested(events: &[&Value]) {
    let time = |event: &Value, key: &str| (event[key].as_f64().unwrap() * 1e3).round();
    let spans = events.iter().map(|event| {
        let start = time(event, "ts");
        (event, start, start + time(event, "dur"), event["name"].as_str().unwrap())
    });
    let mut open: Vec<(f64, &str, bool)> = vec![];
    let mut latest = f64::NEG_INFINITY;
    for (event, start, end, name) in spans {
        assert!(start >= latest && end >= start, "{name} begins before the one listed earlier");
        latest = start;
        let is_dispatch = event["cat"] == "dispatch";
        // The last dispatch of an op may be too short for the clock.
        let is_over = |&(until, _, is_op): &(f64, &str, bool)| {
            until < start || until == start && !(is_op && is_dispatch)
        };
        while open.last().is_some_and(is_over) {
            open.pop();
        }
        assert!(!is_dispatch || !open.is_empty(), "{name} belongs to no op");
        if let Some((until, outer, _)) = open.last() {
            assert!(end <= *until, "{name} begins in {outer} and ends after it");
        }
        open.push((end, name, !is_dispatch));
    }
}

#[test]
fn traces_parse_and_nest() {
    for (device, profile) in profiles() {
        let text = trace(profile).to_string();
        let parsed: Value = serde_json::from_str(&text).unwrap();
        let events = parsed["traceEvents"].as_array().unwrap();
        for track in [1, 2] {
            let of_track = events.iter().filter(|e| e["tid"] == track && e["ph"] == "X");
            let of_track: Vec<_> = of_track.collect();
            assert_nested(&of_track);
            let count = of_track.len();
            assert!(count >= profile.steps * if track == 1 { 2 } else { 30 }, "{track}: {count}");
        }
        let has = |name: &str| events.iter().any(|e| e["name"] == name);
        assert!(has("step 1") && has("step 2") && has("thread_name"));
        assert!(has("conv1 forward conv2d_relu") && has("conv2 backward conv2d_grad_weight"));
        if !matches!(device, Device::Cpu) {
            assert!(["upload", "encode", "submit", "wait"].into_iter().all(has));
        }
    }
}

#[test]
fn recording_a_step_costs_the_host_microseconds_a_dispatch() {
    let Some((device, profile)) = profiles().get(1) else { return };
    let (host, launch) = (profile.host.unwrap(), profile.peak.launch.unwrap());
    println!("{host:?} {launch:?}");
    assert!(launch.dispatch_us > 0.0 && launch.dispatch_us < 200.0, "{launch:?}");
    let is_software = matches!(device.target(), Target::Gpu(adapter) if adapter.is_software());
    assert!(host.copies > 0 || !is_software, "software adapters get texels: {host:?}");
    // Test builds are slow and so may the machine be; `gabor profile` and the bench have the figure.
    assert!(host.us_per_dispatch < 200.0, "{host:?}");
}

#[test]
fn a_report_tells_what_failed_and_goes_on() {
    let Some(device) = common::full_gpu() else { return };
    let budget = Budget { warm_up: 1, runs: 2, most_runs: 2, seconds: 0.0, grain: 0.0 };
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let options = report::Options {
        model: lenet(),
        batches: vec![4, 2],
        budget,
        effort: Effort::QUICK,
        steps: 1,
        peers: vec![
            ("twice".into(), words(&["sh", "-c", "echo warming up; echo '{\"ms\": 1e6}'"])),
            ("other".into(), words(&["sh", "-c", "echo '{\"ms\": 1, \"gflop\": 1e3}'"])),
            ("broken".into(), words(&["sh", "-c", "echo '{\"error\": \"no memory\"}'"])),
            ("absent".into(), words(&["/no/such/program"])),
        ],
    };
    let has_half = matches!(device.target(), Target::Gpu(adapter) if adapter.f16);
    let opened = std::cell::Cell::new(0);
    let open = || {
        opened.set(opened.get() + 1);
        // The first is for the peaks, the others for the first batch.
        let fails = opened.get() > if has_half { 4 } else { 3 };
        if fails { Err(Error::Usage("memory gave out".into())) } else { Ok(device.clone()) }
    };
    let report = report(&options, &open, &|_| {}).unwrap();
    let [first, second] = &report.batches[..] else { panic!("{:?}", report.batches) };
    let step = first.step.unwrap();
    assert!(first.fault.is_none() && step.ms_min <= step.ms && step.ms <= step.ms_max);
    assert!((step.of_floor - step.floor_ms / step.ms).abs() < 1e-12 && step.of_floor > 0.0);
    assert!((step.images_per_s * step.ms / 4e3 - 1.0).abs() < 1e-9 && step.loss > 0.0);
    assert_eq!(first.half.is_some_and(|half| (half.loss - step.loss).abs() < 0.1), has_half);
    assert!(second.step.is_none() && second.fault.as_deref() == Some("memory gave out"));
    assert!(report.profile.is_some() && report.faults.is_empty());
    if cfg!(unix) {
        let ratio = report.peers[0].ratio.unwrap();
        assert!((ratio * step.ms / 1e6 - 1.0).abs() < 1e-9, "{:?}", report.peers[0]);
        assert!(report.peers[1].ratio.is_none() && report.peers[1].line["ms"] == 1e6);
        assert!(report.peers[2].ratio.is_none() && report.peers[2].line["ms"] == 1);
        assert!(report.peers[2].fault.as_ref().unwrap().contains("1000.0 GFLOP"));
        assert!(report.peers[4].fault.as_ref().unwrap().contains("no memory"));
        assert!(report.peers[6].fault.as_ref().unwrap().contains("/no/such/program"));
    }
    let text = serde_json::to_value(&report).unwrap();
    assert_eq!(text["batches"][0]["batch"], 4);
    assert_eq!(text["adapter"]["name"], text["adapter"]["name"].as_str().unwrap());
}

fn program(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gabor"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_prints_a_table_and_writes_json_and_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let common = ["profile", "--model", "lenet", "--batch", "2", "--quick", "--device", "cpu"];
    let files = ["--steps", "3", "--sort", "time", "--json", "p.json", "--trace", "t.json"];
    let (code, table, stderr) = program(folder.path(), &[&common[..], &files].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in
        ["Peaks of cpu", "multiply-add, f32", "of peak", "conv2d_grad_weight", "layer", "pass"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    let profile = read("p.json");
    assert_eq!((&profile["model"], &profile["batch"]), (&"lenet".into(), &2.into()));
    assert_eq!((&profile["clock"], &profile["steps"]), (&"host".into(), &3.into()));
    let rows = profile["rows"].as_array().unwrap();
    let keys = [
        "layer",
        "pass",
        "op",
        "kernel",
        "inputs",
        "ms",
        "share",
        "flops",
        "bytes",
        "gflops",
        "gb_per_s",
        "of_peak",
        "bound",
        "dispatches",
    ];
    assert!(rows.iter().all(|row| keys.iter().all(|key| !row[key].is_null())), "{}", rows[0]);
    assert!(profile["peak"]["f32"]["giga_per_second"].as_f64().unwrap() > 0.0);
    assert!(read("t.json")["traceEvents"].as_array().unwrap().len() > 3 * 30);

    let peak = ["profile", "--peak", "--quick", "--device", "cpu", "--json", "-"];
    let (code, stdout, _) = program(folder.path(), &peak);
    let peak: Value = serde_json::from_str(&stdout).unwrap();
    assert!(code == Some(0) && peak["copy"]["giga_per_second"].as_f64().unwrap() > 0.0);

    for (arguments, says) in [
        (&["profile", "--steps", "0"][..], "steps"),
        (&["profile", "--model", "lenat"], "lenet"),
        (&["profile", "--batch", "0"], "batch"),
        (&["profile", "--peak", "--trace", "t"], "--trace"),
    ] {
        let (code, _, stderr) = program(folder.path(), arguments);
        assert!(code == Some(2) && stderr.contains(says), "{arguments:?}: {stderr}");
    }
}
