//! Every registered op on every device against its oracle, its gradients against finite
//! differences, and its refusals. An op gets all of this by being in the registry.

mod common;

use std::collections::HashSet;

use gabor::check;
use gabor::device::Device;
use gabor::ops::Types;
use gabor::ops::case::{Case, Draw};
use gabor::ops::registry::{Entry, entries};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Only the ops whose name contains `GABOR_OP`, for work on one of them.
fn chosen() -> impl Iterator<Item = &'static Entry> {
    let filter = std::env::var("GABOR_OP").unwrap_or_default();
    entries().filter(move |entry| entry.name.contains(&filter))
}

fn cases(entry: &Entry) -> Vec<Case> {
    (entry.cases)(&mut Draw::new(1))
}

#[test]
fn every_entry_is_complete() {
    let mut names = HashSet::new();
    for entry in entries() {
        assert!(names.insert(entry.name), "{} is registered twice", entry.name);
        assert!(!entry.formula.is_empty(), "{} has no formula", entry.name);
        let cases = cases(entry);
        assert!(!cases.is_empty(), "{} has no cases", entry.name);
        assert!(!(entry.errors)().is_empty(), "{} has no error cases", entry.name);
        for case in cases {
            assert_eq!(case.op.name(), entry.name, "case {}", case.label);
            let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
            for &(input, output) in case.op.in_place() {
                let (from, to) = (&types.inputs[input], &types.outputs[output]);
                let is_same = from.dtype == to.dtype && from.elements() == to.elements();
                assert!(is_same, "{}: {from} in place of {to}", entry.name);
            }
        }
    }
}

fn parity(device: &Device, which: &str) {
    let mut failures = vec![];
    let mut checked = 0;
    for entry in chosen() {
        let started = std::time::Instant::now();
        for case in cases(entry) {
            if !common::can_run(&case, device) {
                continue;
            }
            let variants = common::variants(&case, device);
            let choices: Vec<_> = match variants.is_empty() {
                true => vec![None],
                false => variants.iter().map(|v| Some(v.as_str())).collect(),
            };
            for variant in choices {
                let outcome = check::run(&case, device, variant)
                    .map_err(|e| format!("{} ({}): {e}", entry.name, case.label))
                    .and_then(|o| check::compare(&case, &o, variant).map_err(|e| e.to_string()));
                checked += 1;
                if let Err(e) = outcome {
                    failures.push(format!("{}: {e}", variant.unwrap_or("cpu")));
                }
            }
        }
        println!("{which}: {} {:.1?}", entry.name, started.elapsed());
    }
    assert!(
        failures.is_empty(),
        "{which}: {} of {checked}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn cpu_agrees_with_the_oracle() {
    parity(&Device::cpu(), "cpu");
}

#[test]
fn gpu_agrees_with_the_oracle_under_webgpu_limits() {
    if let Some(device) = common::gpu() {
        parity(&device, "webgpu");
    }
}

#[test]
fn gpu_agrees_with_the_oracle_with_all_features() {
    if let Some(device) = common::full_gpu() {
        parity(&device, "full");
    }
}

#[test]
fn gpu_agrees_with_the_oracle_with_the_kernels_of_a_discrete_one() {
    if let Some(device) = common::discrete_gpu() {
        parity(&device, "discrete");
    }
}

#[test]
fn gpu_agrees_with_the_oracle_with_checked_shaders() {
    if let Some(device) = common::checked_gpu() {
        parity(&device, "checked");
    }
}

#[test]
fn gpu_agrees_with_the_oracle_when_it_loads_from_textures() {
    if let Some(device) = common::texel_gpu() {
        parity(&device, "texels");
    }
}

#[test]
fn gpu_agrees_with_the_oracle_in_small_bindings_and_grids() {
    if let Some(device) = common::tiny_gpu() {
        parity(&device, "tiny");
    }
}

#[test]
fn refusals_name_the_trouble_in_one_line() {
    for entry in chosen() {
        for case in (entry.errors)() {
            let message = match case.op.infer(&case.inputs) {
                Ok(types) => panic!("{:?} accepts {:?} and gives {types:?}", case.op, case.inputs),
                Err(e) => e.to_string(),
            };
            assert!(message.contains(case.says), "{message:?} does not say {:?}", case.says);
            assert!(!message.contains('\n'), "{message:?} has more than one line");
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for entry in chosen() {
        let (mut elements, mut kinks) = (0, 0);
        for case in cases(entry).into_iter().filter(|c| !c.differentiable.is_empty()) {
            let compared = check::gradients(&case).unwrap_or_else(|e| panic!("{e}"));
            elements += compared.elements;
            kinks += compared.kinks;
        }
        assert!(kinks * 4 <= elements, "{}: {kinks} kinks of {elements} elements", entry.name);
    }
}

/// Random shapes and parameters, from fixed seeds. `GABOR_CASES` asks for more.
fn random_cases(device: &Device, count: u32) {
    let count = std::env::var("GABOR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(count);
    for entry in chosen() {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let config = Config { cases: count, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new_with_rng(config, rng).run(&any::<u64>(), |seed| {
            let case = (entry.random)(&mut Draw::new(seed));
            if !common::can_run(&case, device) {
                return Ok(());
            }
            let first = common::variants(&case, device).into_iter().next();
            let outputs = check::run(&case, device, first.as_deref())
                .map_err(|e| TestCaseError::fail(format!("{}: {e}", case.label)))?;
            check::compare(&case, &outputs, first.as_deref())
                .map_err(|e| TestCaseError::fail(e.to_string()))
        });
        outcome.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
    }
}

#[test]
fn random_cases_agree_on_the_cpu() {
    random_cases(&Device::cpu(), 64);
}

#[test]
fn random_cases_agree_on_the_gpu() {
    if let Some(device) = common::full_gpu() {
        random_cases(&device, 24);
    }
}
