//! `gabor op`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::error::{Error, Result};
use crate::io::safetensors;
use crate::ops::registry;
use crate::tensor::{DType, Tensor};

/// Run one operation on tensors from a file, and its gradients.
///
/// Inputs and outputs are safetensors files with the tensors' names that --list prints. Given
/// gradients that arrive at outputs, named like them, the result also holds grad_NAME for each
/// input.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor op conv2d --attrs '{\"stride\": 2, \"padding\": 1}' \
                        --inputs in.safetensors --output out.safetensors")]
pub(super) struct Arguments {
    /// The operation.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Print the operations (or the one that is named) with inputs, outputs and attributes.
    #[arg(long)]
    list: bool,
    /// Print the list as JSON, an object an operation.
    #[arg(long, requires = "list")]
    json: bool,
    /// Attributes as a JSON object; those left out have their default values.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    attrs: String,
    /// The file with the inputs.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    inputs: Option<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// A file with gradients that arrive at outputs, each under the output's name.
    #[arg(long, value_name = "FILE")]
    grad_outputs: Option<PathBuf>,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.list {
        list(arguments.name.as_deref(), arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(name), Some(inputs), Some(output)) =
        (arguments.name, arguments.inputs, arguments.output)
    else {
        return Err(Error::Usage("give an operation, --inputs and --output".into()));
    };
    let attributes: serde_json::Value = serde_json::from_str(&arguments.attrs)
        .map_err(|e| Error::setting("attrs", &arguments.attrs, format!("not JSON: {e}")))?;
    if !attributes.is_object() {
        return Err(Error::setting("attrs", &arguments.attrs, "give a JSON object, as {}"));
    }
    let inputs = tensors(inputs)?;
    let grad_outputs = arguments.grad_outputs.map_or(Ok(vec![]), tensors)?;
    let device = super::eval::device(&arguments.device)?;
    let results = crate::call::run(&name, &attributes, &inputs, &grad_outputs, &device)?;
    for (name, tensor) in &results {
        print_line(&format!("{name}: {}", tensor.ty()));
    }
    safetensors::save(output, results, &BTreeMap::new())?;
    Ok(ExitCode::SUCCESS)
}

/// The tensors of a file; a single value without a shape counts as a vector of one.
fn tensors(path: PathBuf) -> Result<Vec<(String, Tensor)>> {
    let tensors = safetensors::load(path)?.into_parts().0.into_iter();
    let at_least_a_vector = tensors.map(|(name, tensor)| {
        let tensor = match (tensor.shape().rank(), tensor.dtype()) {
            (0, DType::F32 | DType::F16) => Tensor::f32([1], tensor.into_f32())?,
            (0, DType::U32) => Tensor::u32([1], tensor.into_u32())?,
            _ => tensor,
        };
        Ok((name, tensor))
    });
    at_least_a_vector.collect()
}

#[derive(serde::Serialize)]
struct Line {
    name: &'static str,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    attributes: serde_json::Value,
}

fn list(name: Option<&str>, json: bool) -> Result<()> {
    let mut calls: Vec<_> = match name {
        Some(name) => vec![crate::call::find(name)?],
        None => registry::calls().collect(),
    };
    calls.sort_unstable_by_key(|call| call.name);
    for call in calls {
        let attributes = (call.attributes)();
        let (name, inputs, outputs) = (call.name, call.inputs, call.outputs);
        if json {
            print_json(&Line { name, inputs, outputs, attributes })?;
            continue;
        }
        let (inputs, outputs) = (inputs.join(", "), outputs.join(", "));
        print_line(&format!("{name}({inputs}) -> {outputs}  {attributes}"));
    }
    Ok(())
}
