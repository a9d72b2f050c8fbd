//! Everything about a picture in one folder: PNG files, and a page that shows them and needs nothing else.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops;

use super::{Explainer, Field, Map, MapLayer, Occluder, Patch, Sampled};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::tensor::Tensor;
use crate::train::Finished;
use crate::viz::{Tile, heat, tiles};

mod page;

/// Units that are shown of a layer, and patches of a unit.
const UNITS: usize = 9;
const PATCHES: usize = 9;
/// Small pictures are enlarged to this side for maps to lie over them.
const SIDE: u32 = 224;

/// What to ask.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The class, by name or number; the likeliest where it is not given.
    pub class: Option<String>,
    /// The layer for units and Grad-CAM; [`Explainer::last_layer`] where it is not given.
    pub layer: Option<String>,
    /// The unit; those that answer most strongly where it is not given.
    pub unit: Option<usize>,
    /// Images of the data set to look for patches in.
    pub sample: usize,
    /// What the picture is called.
    pub title: String,
}

/// A class and its probability.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Guess {
    /// The class's name.
    pub class: String,
    /// Its probability.
    pub probability: f32,
}

/// What was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// All classes, the likeliest first.
    pub prediction: Vec<Guess>,
    /// The class that was asked about.
    pub class: String,
    /// The layer that was asked about.
    pub layer: String,
    /// The page.
    pub index: PathBuf,
    /// The pictures, all in the page's folder.
    pub pictures: Vec<PathBuf>,
}

/// A run's network under questions, and the pictures so far.
struct Writer<'a> {
    explainer: Explainer<'a>,
    finished: &'a Finished,
    folder: &'a Path,
    /// The picture as the network takes it, and as it is shown.
    image: Tensor,
    shown: RgbImage,
    page: page::Page,
    pictures: Vec<PathBuf>,
}

/// Writes all that there is to say about a picture to `folder`. `pixels` are the picture's, of the network's
/// size, in the order channel, row, column; without `dataset` no training patches are looked for.
///
/// Errors where class, layer or unit do not exist, the pixels do not fit the network, the device fails, or a
/// file cannot be written.
pub fn report(
    finished: &Finished,
    pixels: &[u8],
    dataset: Option<&dyn Dataset>,
    settings: &Settings,
    folder: impl AsRef<Path>,
) -> Result<Report> {
    let (folder, model) = (folder.as_ref(), finished.network.model());
    let [channels, height, width] = model.input();
    let shown = tiles::enlarged(&tiles::planar(pixels, model.input())?, SIDE);
    let mut values = vec![0.0; pixels.len()];
    finished.normalise.apply(pixels, &mut values);
    let image = Tensor::f32([1, channels, height, width], values)?;
    let mut explainer = Explainer::new(&finished.network)?;
    let layer = match &settings.layer {
        Some(path) => explainer.layer(path)?.clone(),
        None => explainer.last_layer()?.clone(),
    };
    if let Some(unit) = settings.unit.filter(|&unit| unit >= layer.shape[0]) {
        let remedy = format!("layer {} has units 0 to {}", layer.path, layer.shape[0] - 1);
        return Err(Error::setting("unit", unit, remedy));
    }
    let asked = settings.class.as_ref().map(|class| class_number(&finished.classes, class));
    let asked = asked.transpose()?;
    let look = explainer.look(&image)?;
    let mut order: Vec<usize> = (0..look.probabilities.len()).collect();
    order.sort_by(|&a, &b| look.probabilities[b].total_cmp(&look.probabilities[a]));
    let guess = |&class: &usize| Guess {
        class: finished.classes.get(class).cloned().unwrap_or_else(|| class.to_string()),
        probability: look.probabilities[class],
    };
    let prediction: Vec<_> = order.iter().map(guess).collect();
    let class = asked.or(order.first().copied()).unwrap_or(0);
    let name = guess(&class).class;

    std::fs::create_dir_all(folder)
        .map_err(|e| Error::io(folder, e, "choose a folder that can be written with --out"))?;
    let page = page::Page::new(&settings.title, model.name(), &prediction);
    let mut writer = Writer { explainer, finished, folder, image, shown, page, pictures: vec![] };
    writer.maps_of_class(class, &name, &layer.path)?;
    writer.units(&look.maps, &layer, settings, dataset)?;
    writer.filters()?;
    writer.feature_maps(&look.maps)?;
    let index = folder.join("index.html");
    write_atomic(&index, writer.page.end().as_bytes())?;
    let pictures = writer.pictures;
    Ok(Report { prediction, class: name, layer: layer.path, index, pictures })
}

/// The class of this name or, where no class is called so, of this number.
fn class_number(classes: &[String], class: &str) -> Result<usize> {
    let by_name = classes.iter().position(|name| name == class);
    let by_number = || class.parse().ok().filter(|&number: &usize| number < classes.len());
    by_name
        .or_else(by_number)
        .ok_or_else(|| Error::unknown("class", class, classes.iter().cloned()))
}

impl Writer<'_> {
    /// Puts a picture into the folder and onto the page.
    fn add(&mut self, name: &str, heading: &str, text: &str, picture: &RgbImage) -> Result<()> {
        let path = self.folder.join(format!("{name}.png"));
        let bytes = crate::viz::png(picture)
            .map_err(|e| Error::data(&path, format!("the picture cannot be encoded: {e}")))?;
        write_atomic(&path, &bytes)?;
        self.page.picture(heading, text, &bytes);
        self.pictures.push(path);
        Ok(())
    }

    /// Saliency, Grad-CAM and occlusion for a class.
    fn maps_of_class(&mut self, class: usize, name: &str, layer: &str) -> Result<()> {
        let gradient = self.explainer.saliency(&self.image, class)?;
        let saliency = Map::magnitude(&gradient)?;
        let cam = self.explainer.grad_cam(&self.image, class, layer)?;
        let [_, height, width] = self.explainer.model().input();
        let occluder = Occluder::for_picture([height, width]);
        let occlusion = self.explainer.occlusion(&self.image, class, occluder)?;
        let loss = occlusion.loss();
        let lowest = occlusion.probabilities.iter().copied().fold(f32::INFINITY, f32::min);
        let maps = [
            (
                "grad-cam",
                format!("Grad-CAM for {name}"),
                format!("Where the maps of layer {layer} speak for the class."),
                cam,
            ),
            (
                "occlusion",
                format!("Occlusion for {name}"),
                format!(
                    "What the class loses where a grey square of {} pixels hides the picture: its \
                     probability is {:.1} %, and {:.1} % at the worst place.",
                    occluder.side,
                    100.0 * occlusion.whole,
                    100.0 * lowest
                ),
                loss,
            ),
            (
                "saliency",
                format!("Saliency for {name}"),
                "How much each pixel would change the class's score: the size of the gradient, the largest \
                 of the channels."
                    .into(),
                saliency,
            ),
        ];
        for (file, heading, text, map) in maps {
            let size = self.shown.dimensions();
            let tiles = [
                Tile::new("picture", "", self.shown.clone()),
                Tile::new("map", "", heat::heat_map(&map.values, map.shape, size)?),
                Tile::new("both", "", heat::overlay(&self.shown, &map.values, map.shape)?),
            ];
            self.add(file, &heading, &text, &tiles::sheet("", &tiles)?)?;
        }
        Ok(())
    }

    /// The units of a layer: this picture projected back from each, and the training patches that excite it most.
    fn units(
        &mut self,
        maps: &[Tensor],
        layer: &MapLayer,
        settings: &Settings,
        dataset: Option<&dyn Dataset>,
    ) -> Result<()> {
        let path = &layer.path;
        let units = match settings.unit {
            Some(unit) => vec![unit],
            None => {
                let index = self.explainer.layers().iter().position(|l| l.path == *path);
                index.map_or(Ok(vec![]), |index| strongest(&maps[index]))?
            }
        };
        let input = self.explainer.model().input();
        let mut projections = vec![];
        for &unit in &units {
            let projection = self.explainer.deconvnet(&self.image, path, unit)?;
            let picture = heat::signed(projection.pixels.as_f32()?, input)?;
            let note = format!("activation {:.2}", projection.activation);
            projections.push(Tile::new(format!("unit {unit}"), note, picture));
        }
        self.add(
            "deconvnet",
            &format!("Deconvnet from layer {path}"),
            "What in this picture each unit was excited by: its strongest activation sent back to the pixels, \
             through rectified signals and the switches of the pools.",
            &tiles::sheet("", &projections)?,
        )?;
        let Some(dataset) = dataset else { return Ok(()) };
        let normalise = &self.finished.normalise;
        let sampled = Sampled { dataset, normalise, images: settings.sample };
        let best = self.explainer.top_patches(&sampled, path, PATCHES)?;
        let (mut patches, mut reasons) = (vec![], vec![]);
        for &unit in &units {
            let (mut pictures, mut projected) = (vec![], vec![]);
            for patch in &best[unit] {
                pictures.push(cut(&dataset_picture(dataset, patch)?, layer.field, patch));
                let (image, _) = sampled.image(patch.index)?;
                let projection = self.explainer.deconvnet(&image, path, unit)?;
                let picture = heat::signed(projection.pixels.as_f32()?, input)?;
                projected.push(cut(&picture, layer.field, patch));
            }
            let Some(first) = best[unit].first() else { continue };
            let note = format!("up to {:.2}", first.activation);
            patches.push(Tile::new(format!("unit {unit}"), note.clone(), mosaic(&pictures)));
            reasons.push(Tile::new(format!("unit {unit}"), note, mosaic(&projected)));
        }
        if patches.is_empty() {
            return Ok(());
        }
        let count = sampled.images.min(dataset.len());
        let field = match layer.field {
            Some(Field { size: [height, width], .. }) => {
                format!("A unit of {path} sees {height}x{width} pixels.")
            }
            None => format!("A unit of {path} sees the whole picture."),
        };
        self.add(
            "patches",
            &format!("Training patches that excite units of layer {path}"),
            &format!("For each unit the nine of {count} training images with the largest activation. {field}"),
            &tiles::sheet("", &patches)?,
        )?;
        self.add(
            "patches-deconvnet",
            "The same patches by deconvnet",
            "What in each patch the unit was excited by.",
            &tiles::sheet("", &reasons)?,
        )
    }

    /// The first convolution's filters.
    fn filters(&mut self) -> Result<()> {
        let parameters = self.finished.network.parameters()?;
        let Some((name, filters)) = parameters.iter().find(|(_, t)| t.shape().rank() == 4) else {
            return Ok(());
        };
        let sheet = crate::viz::filters::sheet(filters)?;
        let text = format!("{name}: mid-grey is 0, each filter on its own scale.");
        self.add("filters", "Filters of the first layer", &text, &sheet)
    }

    fn feature_maps(&mut self, maps: &[Tensor]) -> Result<()> {
        let layers = self.explainer.layers().to_vec();
        for (number, (layer, maps)) in layers.iter().zip(maps).enumerate() {
            let [channels, height, width] = layer.shape;
            let shown = channels.min(heat::MOST_MAPS);
            let sees = match layer.field {
                Some(field) => {
                    format!("each place sees {}x{} pixels", field.size[0], field.size[1])
                }
                None => "each place sees the whole picture".into(),
            };
            let text = format!("{shown} of {channels} maps of {height}x{width}; {sees}.");
            let sheet = heat::feature_maps(maps.as_f32()?, layer.shape)?;
            let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
            let path: String = layer.path.chars().map(safe).collect();
            let file = format!("maps-{:02}-{path}", number + 1);
            self.add(&file, &format!("Feature maps of {}", layer.path), &text, &sheet)?;
        }
        Ok(())
    }
}

/// The units with the largest activation anywhere in their map, the strongest first.
fn strongest(maps: &Tensor) -> Result<Vec<usize>> {
    let &[channels, height, width] = maps.shape().dims() else { return Ok(vec![]) };
    let peaks: Vec<f32> = maps
        .as_f32()?
        .chunks((height * width).max(1))
        .map(|map| map.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let mut units: Vec<_> = (0..channels).collect();
    units.sort_by(|&a, &b| peaks[b].total_cmp(&peaks[a]));
    units.truncate(UNITS);
    Ok(units)
}

/// An image of the data set as it is.
fn dataset_picture(dataset: &dyn Dataset, patch: &Patch) -> Result<RgbImage> {
    let mut pixels = vec![0; dataset.shape().iter().product()];
    dataset.load(patch.index, &mut pixels)?;
    tiles::planar(&pixels, dataset.shape())
}

/// What the unit sees of a picture.
fn cut(picture: &RgbImage, field: Option<Field>, patch: &Patch) -> RgbImage {
    let Some(field) = field else { return picture.clone() };
    let extents = [picture.height() as usize, picture.width() as usize];
    let [rows, columns] = field.pixels(patch.at, extents);
    let (x, y) = (columns.start as u32, rows.start as u32);
    imageops::crop_imm(picture, x, y, columns.len() as u32, rows.len() as u32).to_image()
}

/// Up to nine patches in a square, each as large as the largest may be; those cut short by the picture's edge are
/// in the upper left of their place.
fn mosaic(patches: &[RgbImage]) -> RgbImage {
    let side = patches.iter().map(|p| p.width().max(p.height())).max().unwrap_or(1).max(1);
    let factor = 48u32.div_ceil(side);
    let place = side * factor + 2;
    let mut mosaic = RgbImage::from_pixel(3 * place - 2, 3 * place - 2, image::Rgb([255; 3]));
    for (i, patch) in (0u32..).zip(patches) {
        let (width, height) = (patch.width() * factor, patch.height() * factor);
        let large = imageops::resize(patch, width, height, imageops::FilterType::Nearest);
        let (x, y) = (i64::from(i % 3 * place), i64::from(i / 3 * place));
        imageops::replace(&mut mosaic, &large, x, y);
    }
    mosaic
}
