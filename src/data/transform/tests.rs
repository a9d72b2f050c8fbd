use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::*;
use crate::data::Region;
use crate::data::{Images, Loader, LoaderConfig};

const COUNT: usize = 12;

/// Random colour images of 12x10; image `i` has label `i`.
fn dataset() -> Arc<dyn Dataset> {
    let mut random = Stream::new(71, [0; 3]);
    let pixels = (0..COUNT * 360).map(|_| random.below(256) as u8).collect();
    let classes = (0..COUNT).map(|c| c.to_string()).collect();
    let labels = (0..COUNT as u32).collect();
    Arc::new(Images::new("random", [3, 12, 10], classes, pixels, labels).unwrap())
}

/// Leaves pixel values as they are.
fn plain() -> Normalise {
    Normalise::new(vec![0.0; 3], vec![1.0 / 255.0; 3]).unwrap()
}

fn loaded(transforms: &Transforms, threads: usize, batch: usize) -> Vec<(Vec<f32>, Vec<u32>)> {
    let transforms = transforms.clone();
    let config = LoaderConfig { transforms, seed: 5, threads, ..LoaderConfig::new(batch, plain()) };
    let loader = Loader::new(dataset(), config).unwrap();
    loader.epoch(2).map(|b| b.unwrap()).map(|b| (b.images.clone(), b.labels.clone())).collect()
}

/// The images after `list`, one after another.
fn images(list: Vec<Transform>) -> Vec<Vec<f32>> {
    let transforms = Transforms::new(list).unwrap().fit(&*dataset()).unwrap();
    loaded(&transforms, 1, 1).into_iter().map(|(images, _)| images).collect()
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() < 1e-2
}

/// A pixel of an image in planes; 0 outside of it.
fn at(image: &[f32], [_, height, width]: [usize; 3], c: usize, y: i64, x: i64) -> f32 {
    let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
    if inside { image[(c * height + y as usize) * width + x as usize] } else { 0.0 }
}

fn everything() -> Vec<Transform> {
    let text = "
        [[list]]
        resized-crop = { size = 9 }
        [[list]]
        vary = { rotate-degrees = 10.0, saturation = 0.3, shear-degrees = 5.0 }
        [[list]]
        pad = { size = 1 }
        [[list]]
        crop = { size = 8, padding = 1 }
        [[list]]
        flip = {}
        [[list]]
        pca-colour = {}
        [[list]]
        cutout = { size = 3 }
        [[list]]
        mixup = { alpha = 0.4 }
        [[list]]
        centre-crop = { size = 7 }
    ";
    #[derive(Serialize, Deserialize)]
    struct File {
        list: Vec<Transform>,
    }
    let file: File = toml::from_str(text).unwrap();
    let written = toml::to_string(&file).unwrap();
    assert_eq!(toml::from_str::<File>(&written).unwrap().list, file.list);
    file.list
}

#[test]
fn the_same_numbers_on_any_number_of_threads_and_in_any_batch() {
    let transforms = Transforms::new(everything()).unwrap().fit(&*dataset()).unwrap();
    assert_eq!(transforms.output_shape([3, 12, 10]).unwrap(), [3, 7, 7]);
    let flat = |batches: Vec<(Vec<f32>, Vec<u32>)>| {
        batches.into_iter().flat_map(|(images, _)| images).collect::<Vec<_>>()
    };
    let expected = flat(loaded(&transforms, 1, 12));
    assert!(expected.iter().all(|v| v.is_finite()));
    for (threads, batch) in [(2, 12), (3, 5), (5, 7)] {
        assert!(flat(loaded(&transforms, threads, batch)) == expected, "{threads} {batch}");
    }
}

#[test]
fn the_older_augmentation_keeps_its_numbers() {
    let augment = Augment {
        max_shift: 2,
        flip: true,
        rotate_degrees: 10.0,
        scale: 0.1,
        brightness: 0.1,
        contrast: 0.2,
        ..Augment::none()
    };
    let (data, normalise) = (dataset(), Normalise::of(&*dataset()).unwrap());
    let config = LoaderConfig {
        seed: 5,
        transforms: augment.clone().into(),
        ..LoaderConfig::new(1, normalise.clone())
    };
    let loader = Loader::new(data.clone(), config).unwrap();
    let (mut pixels, mut expected) = (vec![0; 360], vec![0.0; 360]);
    for (index, batch) in loader.epoch(2).enumerate() {
        data.load(index, &mut pixels).unwrap();
        let mut random = Stream::new(5, [index as u32, 2, 0xda7a_0001]);
        augment.apply(&pixels, [3, 12, 10], &mut random, &normalise, &mut expected);
        assert_eq!(batch.unwrap().images, expected, "image {index}");
    }
}

#[test]
fn crops_and_mirrors_are_parts_of_the_image() {
    let (plain_images, shape) = (images(vec![]), [3, 12, 10]);
    let random =
        images(vec![Transform::Crop { size: 8, padding: 2 }, Transform::Flip { chance: 0.5 }]);
    let mut seen = std::collections::BTreeSet::new();
    for (image, crop) in plain_images.iter().zip(&random) {
        let is_at = |&(flip, top, left): &(bool, i64, i64)| {
            (0..3 * 64).all(|i| {
                let (c, y, x) = (i / 64, i / 8 % 8, i % 8);
                let from = if flip { 7 - x } else { x };
                close(crop[i], at(image, shape, c, y as i64 + top, from as i64 + left))
            })
        };
        let places = (0..2 * 9 * 7).map(|i| (i / 63 == 1, i / 7 % 9 - 2, i % 7 - 2));
        seen.insert(places.into_iter().find(is_at).expect("no part of the image"));
    }
    assert!(seen.len() > 8 && seen.iter().any(|s| s.0) && seen.iter().any(|s| !s.0), "{seen:?}");
    let middle = images(vec![Transform::CentreCrop { size: 6 }]);
    for (image, crop) in plain_images.iter().zip(&middle) {
        for (i, &value) in crop.iter().enumerate() {
            let (c, y, x) = (i / 36, i / 6 % 6, i % 6);
            assert!(close(value, at(image, shape, c, y as i64 + 3, x as i64 + 2)));
        }
    }
}

#[test]
fn ten_crops_are_the_corners_the_middle_and_their_mirrors() {
    let cropped = Transforms::new(vec![
        Transform::Crop { size: 8, padding: 0 },
        Transform::Flip { chance: 0.5 },
    ]);
    let ten = cropped.unwrap().ten_crop().unwrap();
    assert_eq!((ten.views(), ten.list().len()), (10, 1));
    let plain_images = images(vec![]);
    let batches = loaded(&ten, 2, 5);
    assert_eq!(batches[0].0.len(), 5 * 10 * 3 * 64);
    let corners = [(0, 0), (0, 2), (4, 0), (4, 2), (2, 1)];
    for (index, image) in plain_images.iter().enumerate() {
        let views = &batches[index / 5].0[(index % 5) * 1920..][..1920];
        for (view, values) in views.chunks(192).enumerate() {
            let (top, left) = corners[view % 5];
            for (i, &value) in values.iter().enumerate() {
                let (c, y, x) = (i / 64, i / 8 % 8, i % 8);
                let x = if view >= 5 { 7 - x } else { x };
                let expected = at(image, [3, 12, 10], c, y as i64 + top, x as i64 + left);
                assert!(close(value, expected), "image {index}, view {view}");
            }
        }
    }
    assert!(Transforms::new(vec![Transform::Flip { chance: 0.5 }]).unwrap().ten_crop().is_err());
}

#[test]
fn the_mean_image_is_subtracted_where_it_stands() {
    let all = images(vec![]);
    let mean: Vec<f32> =
        (0..360).map(|i| all.iter().map(|image| image[i]).sum::<f32>() / COUNT as f32).collect();
    let without = images(vec![Transform::SubtractMean {}, Transform::CentreCrop { size: 4 }]);
    for (image, found) in all.iter().zip(&without) {
        for (i, &value) in found.iter().enumerate() {
            let from = (i / 16 * 12 + i / 4 % 4 + 4) * 10 + i % 4 + 3;
            assert!(close(value, image[from] - mean[from]));
        }
    }
    let unfitted = Transforms::new(vec![Transform::SubtractMean {}]).unwrap();
    let config = LoaderConfig { transforms: unfitted, ..LoaderConfig::new(1, plain()) };
    let error = Loader::new(dataset(), config).unwrap().epoch(0).next().unwrap();
    assert!(error.unwrap_err().to_string().contains("subtract-mean"));
}

#[test]
fn colours_move_together_along_the_components() {
    let transforms = Transforms::new(vec![Transform::PcaColour { strength: 0.5 }]).unwrap();
    let fitted = transforms.fit(&*dataset()).unwrap();
    let components = fitted.statistics().colours.unwrap();
    let (mut sum, mut squares, mut draws) = (0.0, 0.0, 0.0);
    let (all, moved) = (images(vec![]), images(fitted.list().to_vec()));
    for (image, moved) in all.iter().zip(&moved) {
        let added = [0, 120, 240].map(|i| moved[i] - image[i]);
        for i in 0..360 {
            assert!(close(moved[i] - image[i], added[i / 120]), "one colour an image");
        }
        for component in components {
            // Components are at right angles: this is the draw, in deviations.
            let dot: f32 = component.iter().zip(added).map(|(c, a)| c * a).sum();
            let draw = dot / component.iter().map(|c| c * c).sum::<f32>() / 0.5;
            (sum, squares, draws) = (sum + draw, squares + draw * draw, draws + 1.0);
        }
    }
    assert!(
        (sum / draws).abs() < 1.0 && (0.3..3.0).contains(&(squares / draws)),
        "{sum} {squares}"
    );
}

#[test]
fn cutout_and_mixup_change_what_they_should() {
    let all = images(vec![]);
    for (image, cut) in all.iter().zip(images(vec![Transform::Cutout { size: 4 }])) {
        let changed: Vec<usize> = (0..120).filter(|&i| !close(image[i], cut[i])).collect();
        let columns: std::collections::BTreeSet<_> = changed.iter().map(|i| i % 10).collect();
        let rows: std::collections::BTreeSet<_> = changed.iter().map(|i| i / 10).collect();
        assert!((1..=4).contains(&columns.len()) && (1..=4).contains(&rows.len()));
        assert!(changed.iter().all(|&i| cut[i].abs() < 1e-3));
    }
    let mut mixed_any = 0;
    for (image, mixed) in all.iter().zip(images(vec![Transform::Mixup { alpha: 1.0 }])) {
        let share = |other: &[f32]| {
            let top: f32 = (0..360).map(|i| (mixed[i] - image[i]) * (other[i] - image[i])).sum();
            top / (0..360).map(|i| (other[i] - image[i]).powi(2)).sum::<f32>().max(1.0)
        };
        let explains = |other: &&Vec<f32>| {
            let share = share(other);
            (0..360).all(|i| (mixed[i] - image[i] - share * (other[i] - image[i])).abs() < 0.1)
        };
        let other = all.iter().find(explains).expect("a mean of two images");
        assert!((-1e-3..=1.0).contains(&share(other)));
        mixed_any += usize::from(share(other) > 0.01);
    }
    assert!(mixed_any > 6, "{mixed_any}");
}

#[test]
fn resizing_does_not_alias() {
    // Columns of black and white, one pixel each, become grey at half the size; picking pixels or
    // interpolating between two would keep stripes.
    let bytes = (0..64 * 64).map(|i| if i % 2 == 0 { 0 } else { 255 }).collect();
    let picture = Picture::new([1, 64, 64], bytes).unwrap();
    let small = picture.resized(picture.whole(), 16, 16).unwrap();
    for row in small.bytes().chunks(16) {
        assert!(row[1..15].iter().all(|v| (120..=135).contains(v)), "{row:?}");
    }
    let part = Region { left: 8.0, top: 0.0, width: 16.0, height: 16.0 };
    let same = picture.resized(part, 16, 16).unwrap();
    assert!(same.bytes().chunks(16).all(|row| row == &picture.bytes()[8..24]));
    for (height, width) in [(0, 4), (4, 0)] {
        assert!(picture.resized(part, height, width).is_err());
    }
    let outside = Region { left: 60.0, ..part };
    assert!(picture.resized(outside, 4, 4).is_err());
    assert!(Picture::new([3, 2, 2], vec![0; 11]).is_err());
}

#[test]
fn what_a_crop_leaves_out_need_not_be_scaled() {
    // Nothing varies, but the image must be there for it.
    let (still, never) = (Transform::Vary(Augment::none()), Transform::Flip { chance: 0.0 });
    for first in [
        Transform::Resize { size: 9, exact: false },
        Transform::Resize { size: 14, exact: true },
        Transform::ResizedCrop { size: 9, area: [0.3, 0.8], aspect: [0.8, 1.25] },
    ] {
        let with = |second: &Transform| {
            images(vec![
                first.clone(),
                second.clone(),
                Transform::Flip { chance: 0.5 },
                Transform::Crop { size: 7, padding: 0 },
                Transform::Flip { chance: 0.5 },
                Transform::CentreCrop { size: 6 },
            ])
        };
        let (whole, part) = (with(&still).concat(), with(&never).concat());
        assert_eq!(whole.len(), COUNT * 3 * 36);
        // Where a region begins is rounded: a sum between two bytes may fall to the other one.
        let differ = whole.iter().zip(&part).filter(|(a, b)| !close(**a, **b));
        let differ: Vec<f32> = differ.map(|(a, b)| (a - b).abs()).collect();
        assert!(differ.iter().all(|&d| d < 1.01), "{first:?}: {differ:?}");
    }
}

#[test]
fn a_resized_shorter_side_keeps_proportions() {
    let list = vec![Transform::Resize { size: 5, exact: false }];
    let transforms = Transforms::new(list).unwrap();
    assert_eq!(transforms.output_shape([3, 12, 10]).unwrap(), [3, 6, 5]);
    assert_eq!(loaded(&transforms, 1, 1)[0].0.len(), 3 * 6 * 5);
    let exact = Transforms::new(vec![Transform::Resize { size: 5, exact: true }]).unwrap();
    assert_eq!(exact.output_shape([3, 12, 10]).unwrap(), [3, 5, 5]);
}

#[test]
fn a_picture_of_its_own_is_prepared_like_one_of_the_set() {
    let list = vec![
        Transform::Resize { size: 8, exact: false },
        Transform::SubtractMean {},
        Transform::Crop { size: 7, padding: 0 },
        Transform::Flip { chance: 1.0 },
    ];
    let crop = Transforms::new(list[..1].to_vec()).unwrap();
    assert_eq!(crop.output_shape([3, 12, 10]).unwrap(), [3, 10, 8]);
    for list in [list.clone(), list[1..].to_vec()] {
        let transforms = Transforms::new(list).unwrap().fit(&*dataset()).unwrap();
        let expected = &loaded(&transforms.still(), 1, 1)[3].0;
        let (picture, _) = dataset().picture(3, vec![]).unwrap().unwrap();
        assert_eq!(&transforms.prepare(&picture, [12, 10], &plain()).unwrap(), expected);
    }
    let grey = Normalise::new(vec![0.5], vec![0.5]).unwrap();
    let (picture, _) = dataset().picture(0, vec![]).unwrap().unwrap();
    assert!(Transforms::none().prepare(&picture, [12, 10], &grey).is_err());
}

#[test]
fn weights_decide_how_often_an_image_comes() {
    let mut weights = vec![1.0; COUNT];
    (weights[3], weights[5]) = (0.0, 11.0);
    let config = LoaderConfig { weights, seed: 9, ..LoaderConfig::new(5, plain()) };
    let loader = Loader::new(dataset(), config).unwrap();
    let mut counts = [0usize; COUNT];
    for epoch in 0..100 {
        for batch in loader.epoch(epoch) {
            for &label in &batch.unwrap().labels {
                counts[label as usize] += 1;
            }
        }
    }
    assert_eq!(counts.iter().sum::<usize>(), 100 * COUNT);
    // 11 in 21 of 1,200 draws, with five standard errors.
    assert_eq!(counts[3], 0);
    assert!(counts[5].abs_diff(629) < 87, "{counts:?}");
    assert!(counts.iter().enumerate().all(|(i, &n)| i == 3 || n > 20), "{counts:?}");
}

#[test]
fn still_lists_have_no_chance_left() {
    let list = everything();
    let still = Transforms::new(list).unwrap().still();
    let expected = [
        Transform::Resize { size: 11, exact: false },
        Transform::CentreCrop { size: 9 },
        Transform::Pad { size: 1 },
        Transform::CentreCrop { size: 8 },
        Transform::CentreCrop { size: 7 },
    ];
    assert_eq!(still.list(), expected);
    assert_eq!(still.still(), still);
}

#[test]
fn bad_settings_are_refused() {
    let flip = || Transform::Flip { chance: 0.5 };
    for (list, word) in [
        (vec![flip(), Transform::Resize { size: 4, exact: false }], "must come first"),
        (vec![Transform::TenCrop { size: 4 }, flip()], "must come last"),
        (vec![Transform::Crop { size: 0, padding: 0 }], "crop.size"),
        (vec![Transform::Pad { size: 1 << 20 }], "pad.size"),
        (vec![Transform::Flip { chance: f32::NAN }], "flip.chance"),
        (vec![Transform::Mixup { alpha: 0.0 }], "mixup.alpha"),
        (vec![Transform::PcaColour { strength: -1.0 }], "pca-colour.strength"),
        (vec![Transform::Cutout { size: usize::MAX }], "cutout.size"),
        (vec![Transform::Vary(Augment { scale: 2.0, ..Augment::none() })], "augment.scale"),
        (
            vec![Transform::ResizedCrop { size: 4, area: [0.5, 0.1], aspect: [1.0, 1.0] }],
            "resized-crop.area",
        ),
        (vec![flip(); 65], "at most 64"),
    ] {
        let error = Transforms::new(list).unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains('\n'), "{error}");
    }
    let crop = Transforms::new(vec![Transform::Crop { size: 11, padding: 0 }]).unwrap();
    assert!(crop.output_shape([3, 12, 10]).is_err());
    let colour = Transforms::new(vec![Transform::PcaColour { strength: 0.1 }]).unwrap();
    assert!(colour.output_shape([1, 12, 10]).is_err());
}
