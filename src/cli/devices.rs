//! `gabor devices`

use std::process::ExitCode;

use clap::Args;

use crate::error::Result;

/// List the devices that gabor can compute on, and what they offer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor devices --json")]
pub(super) struct Arguments {
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "gpu")]
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    use super::{print_json, print_line};
    use crate::device::Device;
    use crate::gpu::adapters;

    let found = pollster::block_on(adapters::enumerate());
    let reports: Vec<_> = found.into_iter().map(|f| f.info).collect();
    if arguments.json {
        print_json(&reports)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(&format!("cpu     {}", Device::Cpu.name()));
    for report in &reports {
        describe(report);
    }
    if reports.is_empty() {
        print_line(
            "no GPU adapter; on Debian and Ubuntu mesa-vulkan-drivers brings one in software",
        );
    }
    print_line(&format!("auto    {}", Device::auto()?.name()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "gpu")]
fn describe(report: &crate::gpu::adapters::AdapterReport) {
    use super::print_line;
    use super::table::bytes;

    print_line(&format!(
        "{}   {} ({}, {}; {})",
        report.selector, report.name, report.kind, report.backend, report.driver
    ));
    let yes = |offered: bool, use_of: &str| match offered {
        true => format!("yes: {use_of}"),
        false => "no".to_owned(),
    };
    let subgroups = match report.subgroups {
        Some((low, high)) => {
            format!("{low} to {high} lanes: matrix products without workgroup memory")
        }
        None => "no".to_owned(),
    };
    let cooperative = match &report.cooperative[..] {
        [] => "no".to_owned(),
        sizes => format!("yes: {}", sizes.join(", ")),
    };
    let side = ((report.max_binding_bytes / 4) as f64).sqrt() as u64;
    let rows = [
        ("f16", yes(report.f16, "half precision in shaders")),
        ("subgroups", subgroups),
        ("cooperative matrix", cooperative),
        ("timestamps", yes(report.timestamps, "kernels are timed on the device")),
        (
            "largest binding",
            format!(
                "{}: dense layers to {side} x {side} in one piece, larger ones in parts",
                bytes(report.max_binding_bytes)
            ),
        ),
        (
            "largest buffer",
            format!("{}: no single tensor is larger", bytes(report.max_buffer_bytes)),
        ),
        ("workgroup memory", bytes(report.workgroup_memory.into())),
        ("largest grid", format!("{} workgroups an axis", report.max_groups)),
    ];
    for (name, value) in rows {
        print_line(&format!("        {name:<18}  {value}"));
    }
}

#[cfg(not(feature = "gpu"))]
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let line =
        if arguments.json { "[]" } else { "cpu; this program was built without GPU support" };
    super::print_line(line);
    Ok(ExitCode::SUCCESS)
}
