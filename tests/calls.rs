//! Whatever is asked for by name comes back as a result or as a one-line error: no shape, type or
//! attribute makes an operation panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gabor::call;
use gabor::device::Device;
use gabor::ops::case::Draw;
use gabor::ops::registry::calls;
use gabor::tensor::Tensor;
use serde_json::{Value, json};

/// A tensor of any rank, small extents (0 among them) and either type.
fn any_tensor(draw: &mut Draw, like: &[usize]) -> Tensor {
    let dims: Vec<usize> = match draw.size(0, 2) {
        0 => like.to_vec(),
        1 => like.iter().map(|&d| if draw.size(0, 3) == 0 { draw.size(0, 4) } else { d }).collect(),
        _ => (0..draw.size(0, 5)).map(|_| draw.size(0, 4)).collect(),
    };
    match draw.size(0, 5) {
        0 => {
            let elements = dims.iter().product();
            Tensor::u32(dims, (0..elements).map(|_| draw.size(0, 5) as u32).collect()).unwrap()
        }
        _ => draw.normal(dims),
    }
}

/// A value of about the same kind: what a person might mistype.
fn any_attribute(draw: &mut Draw, default: &Value) -> Value {
    let odd = [json!(0), json!(1), json!(2), json!(-1), json!(u64::MAX), json!(1e30), json!(null)];
    match default {
        _ if draw.size(0, 9) == 0 => odd[draw.size(0, odd.len() - 1)].clone(),
        Value::Bool(_) => json!(draw.flip()),
        Value::Array(items) if items.is_empty() => {
            json!((0..draw.size(0, 5)).map(|_| draw.size(0, 6) as i64 - 2).collect::<Vec<_>>())
        }
        Value::Array(items) => items.iter().map(|item| any_attribute(draw, item)).collect(),
        Value::Number(n) if n.is_f64() => json!(draw.size(0, 8) as f64 / 4.0 - 0.5),
        Value::Number(_) => json!(draw.size(0, 4)),
        other => other.clone(),
    }
}

#[test]
fn nothing_that_is_asked_for_by_name_panics() {
    let cases = std::env::var("GABOR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let (mut ran, mut refused) = (0, 0);
    let mut panics = vec![];
    for call in calls() {
        for seed in 0..cases {
            let mut draw = Draw::new(seed);
            let like: Vec<usize> = (0..draw.size(1, 4)).map(|_| draw.size(1, 4)).collect();
            let mut inputs = vec![];
            for name in call.inputs {
                match name.strip_suffix('*') {
                    Some(list) => inputs.extend(
                        (0..draw.size(0, 3))
                            .map(|i| (format!("{list}.{i}"), any_tensor(&mut draw, &like))),
                    ),
                    None if name.ends_with('?') && draw.flip() => {}
                    None => {
                        let name = name.trim_end_matches('?').to_owned();
                        inputs.push((name, any_tensor(&mut draw, &like)));
                    }
                }
            }
            let mut attributes = (call.attributes)();
            for (_, value) in attributes.as_object_mut().unwrap() {
                *value = any_attribute(&mut draw, value);
            }
            let attempt = catch_unwind(AssertUnwindSafe(|| {
                let plain = call::run(call.name, &attributes, &inputs, &[], &Device::cpu());
                let Ok(outputs) = plain else { return plain };
                let (name, output) = &outputs[0];
                let arriving = [(name.clone(), output.clone())];
                call::run(call.name, &attributes, &inputs, &arriving, &Device::cpu())
            }));
            match attempt {
                Ok(Ok(_)) => ran += 1,
                Ok(Err(error)) => {
                    let message = error.to_string();
                    assert!(!message.contains('\n'), "{}: {message}", call.name);
                    refused += 1;
                }
                Err(_) => {
                    let shapes: Vec<_> =
                        inputs.iter().map(|(n, t)| format!("{n} {}", t.ty())).collect();
                    panics.push(format!("{} {attributes} {}", call.name, shapes.join(", ")));
                }
            }
        }
    }
    println!("{ran} ran, {refused} were refused");
    let mut firsts = panics.clone();
    firsts.dedup_by_key(|line| line.split(' ').next().unwrap_or_default().to_owned());
    assert!(panics.is_empty(), "{} panics, such as:\n{}", panics.len(), firsts.join("\n"));
    assert!(ran > cases as usize, "only {ran} ran");
}
