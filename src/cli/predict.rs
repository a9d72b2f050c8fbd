//! `gabor predict`

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use image::{DynamicImage, ImageReader, imageops::FilterType};

use super::{print_json, print_line};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::train::Finished;

/// Classify images with a finished run.
#[derive(Debug, Args)]
#[command(after_help = "Example: gabor predict runs/photos-alexnet-small-001 cat.png rocket.jpg")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// PNG or JPEG files; they are resized to what the network takes.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The number of classes to name for each image.
    #[arg(long, default_value_t = 1)]
    top: usize,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print a JSON object an image.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Prediction<'a> {
    image: &'a Path,
    classes: Vec<Guess<'a>>,
}

#[derive(serde::Serialize)]
struct Guess<'a> {
    class: &'a str,
    probability: f32,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let device = super::eval::device(&arguments.device)?;
    let mut finished = Finished::open(&arguments.run, &device)?;
    for path in &arguments.images {
        let [channels, height, width] = finished.network.model().input();
        let pixels = pixels(path, [channels, height, width])?;
        let mut values = vec![0.0; pixels.len()];
        finished.normalise.apply(&pixels, &mut values);
        let input = Tensor::f32([1, channels, height, width], values)?;
        let probabilities = finished.network.predict(&input)?;
        let mut guesses: Vec<_> = finished
            .classes
            .iter()
            .zip(probabilities.as_f32()?)
            .map(|(class, &probability)| Guess { class, probability })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        guesses.truncate(arguments.top.max(1));
        if arguments.json {
            print_json(&Prediction { image: path, classes: guesses })?;
        } else {
            let guesses: Vec<_> = guesses
                .iter()
                .map(|g| format!("{} {:.1} %", g.class, 100.0 * g.probability))
                .collect();
            print_line(&format!("{}: {}", path.display(), guesses.join(", ")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The picture in the file at `path`.
pub(super) fn picture(path: &Path) -> Result<DynamicImage> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e, "give a PNG or JPEG file"))?;
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| Error::io(path, e, "give a PNG or JPEG file"))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(1 << 15);
    limits.max_image_height = Some(1 << 15);
    reader.limits(limits);
    reader.decode().map_err(|e| {
        Error::data(path, format!("it cannot be read as a picture ({e}); give a PNG or JPEG file"))
    })
}

/// The image at `path`, resized, as bytes in the order channel, row, column.
pub(super) fn pixels(path: &Path, [channels, height, width]: [usize; 3]) -> Result<Vec<u8>> {
    let image = picture(path)?;
    let image = if (image.height() as usize, image.width() as usize) == (height, width) {
        image
    } else {
        image.resize_exact(width as u32, height as u32, FilterType::Triangle)
    };
    planar(&image, channels).ok_or_else(|| {
        Error::Usage(format!("a network for {channels} channels cannot take pictures"))
    })
}

fn planar(image: &DynamicImage, channels: usize) -> Option<Vec<u8>> {
    match channels {
        1 => Some(image.to_luma8().into_raw()),
        3 => {
            let rgb = image.to_rgb8().into_raw();
            let plane = |c: usize| rgb.iter().skip(c).step_by(3).copied();
            Some((0..3).flat_map(plane).collect())
        }
        _ => None,
    }
}
