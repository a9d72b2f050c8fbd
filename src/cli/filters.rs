//! `gabor filters`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::RgbImage;

use super::print_line;
use crate::data;
use crate::error::{Error, Result};
use crate::lecture::{Kernel, sheet};
use crate::viz;

/// Run the lecture's filters over a picture: identity, edges, sharpen, blur.
///
/// The convolution engine computes them, a colour channel at a time. The result is one picture with the
/// original and each filter's output, with its numbers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor filters photo:chelsea
  gabor filters cat.jpg --kernel \"1 0 -1; 2 0 -2; 1 0 -1\" --out sobel.png
  gabor filters cat.jpg --kernel \"1/25 * 1 1 1 1 1; 1 1 1 1 1; 1 1 1 1 1; 1 1 1 1 1; 1 1 1 1 1\"")]
pub(super) struct Arguments {
    /// A PNG or JPEG file, or photo:NAME for a photograph that the program contains: astronaut,
    /// brick, chelsea, coffee, grass, gravel, hubble, retina, rocket.
    image: String,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "filters.png")]
    out: PathBuf,
    /// A filter of your own in place of the lecture's: rows divided by `;`, of odd size. Give it
    /// several times for several filters.
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true)]
    kernel: Vec<String>,
    /// Scale the picture down to this many pixels along its longer side before it is filtered.
    #[arg(long, value_name = "PIXELS", default_value_t = 288)]
    size: u32,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut kernels = vec![];
    for text in &arguments.kernel {
        kernels.push(Kernel::parse("your own", text)?);
    }
    if kernels.is_empty() {
        kernels = Kernel::lecture()?;
    }
    let picture = picture(&arguments.image)?;
    let device = super::eval::device(&arguments.device)?;
    let sheet = sheet(&device, &picture, &kernels, arguments.size)?;
    viz::save_png(&sheet, &arguments.out)?;
    let (count, out) = (kernels.len(), arguments.out.display());
    let plural = if count == 1 { "" } else { "s" };
    print_line(&format!("{count} filter{plural} on {}: {out}", device.name()));
    Ok(ExitCode::SUCCESS)
}

/// The picture that is named, in colour.
fn picture(name: &str) -> Result<RgbImage> {
    let (width, height, rgb) = match name.strip_prefix("photo:") {
        Some(name) => data::photograph(name)?,
        None => {
            let picture = data::decode::read(name.as_ref())?.with_channels(3)?;
            let [_, height, width] = picture.shape();
            (width, height, picture.bytes().to_vec())
        }
    };
    let picture = RgbImage::from_raw(width as u32, height as u32, rgb);
    picture.ok_or_else(|| Error::Usage(format!("picture {name} is damaged")))
}
