use std::collections::HashSet;

use super::*;
use crate::data::{Augment, Images, Transform};

const COUNT: usize = 53;
const SIZE: usize = 2 * 6 * 5;

/// Random images; image `i` has label `i`.
fn dataset() -> Arc<dyn Dataset> {
    let mut random = Stream::new(17, [0; 3]);
    let pixels = (0..COUNT * SIZE).map(|_| random.below(256) as u8).collect();
    let classes = (0..COUNT).map(|c| c.to_string()).collect();
    let labels = (0..COUNT as u32).collect();
    Arc::new(Images::new("random", [2, 6, 5], classes, pixels, labels).unwrap())
}

fn config(batch: usize) -> LoaderConfig {
    let normalise = Normalise::new(vec![0.4, 0.5], vec![0.3, 0.2]).unwrap();
    let augment = Augment { max_shift: 2, rotate_degrees: 15.0, flip: true, ..Augment::none() };
    LoaderConfig {
        seed: 42,
        shuffle: true,
        transforms: augment.into(),
        threads: 1,
        ..LoaderConfig::new(batch, normalise)
    }
}

fn collect(batches: Batches) -> Vec<(Vec<f32>, Vec<u32>)> {
    batches
        .map(|batch| {
            let batch = batch.unwrap();
            assert_eq!(batch.images.len(), batch.len * SIZE);
            assert_eq!(batch.labels.len(), batch.len);
            (batch.images.clone(), batch.labels.clone())
        })
        .collect()
}

fn labels(batches: &[(Vec<f32>, Vec<u32>)]) -> Vec<u32> {
    batches.iter().flat_map(|(_, labels)| labels.clone()).collect()
}

#[test]
fn same_seed_same_batches_on_any_number_of_threads() {
    let loader = Loader::new(dataset(), config(8)).unwrap();
    let expected = collect(loader.epoch(3));
    for threads in [0, 2, 3, 5, 20] {
        let loader = Loader::new(dataset(), LoaderConfig { threads, ..config(8) }).unwrap();
        assert_eq!(collect(loader.epoch(3)), expected, "{threads} threads");
    }
    let other = Loader::new(dataset(), LoaderConfig { seed: 43, ..config(8) }).unwrap();
    assert_ne!(collect(other.epoch(3)), expected);
}

#[test]
fn an_images_changes_do_not_depend_on_the_batch_it_is_in() {
    let by_label = |batch| {
        let loader = Loader::new(dataset(), config(batch)).unwrap();
        let mut images: Vec<(u32, Vec<f32>)> = Vec::new();
        for (values, labels) in collect(loader.epoch(1)) {
            images.extend(labels.iter().copied().zip(values.chunks(SIZE).map(<[_]>::to_vec)));
        }
        images.sort_by_key(|(label, _)| *label);
        images
    };
    assert_eq!(by_label(7), by_label(53));
}

#[test]
fn every_epoch_has_every_image_once_in_its_own_order() {
    let loader = Loader::new(dataset(), config(8)).unwrap();
    assert_eq!((loader.batches(), loader.epoch(0).len()), (7, 7));
    let epochs: Vec<_> = (0..3).map(|e| collect(loader.epoch(e))).collect();
    for epoch in &epochs {
        let mut seen = labels(epoch);
        assert_eq!(epoch.last().unwrap().1.len(), 53 % 8);
        assert!(!seen.iter().copied().eq(0..COUNT as u32));
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..COUNT as u32));
    }
    assert_ne!(labels(&epochs[0]), labels(&epochs[1]));
    assert_ne!(labels(&epochs[1]), labels(&epochs[2]));
}

#[test]
fn without_shuffle_and_augment_it_is_the_data_set() {
    let data = dataset();
    let plain = LoaderConfig::new(10, config(1).normalise);
    let loader = Loader::new(Arc::clone(&data), plain.clone()).unwrap();
    let batches = collect(loader.epoch(9));
    let (mut pixels, mut expected) = (vec![0; SIZE], vec![0.0; SIZE]);
    let values: Vec<f32> = batches.iter().flat_map(|(images, _)| images.clone()).collect();
    for (index, image) in values.chunks(SIZE).enumerate() {
        assert_eq!(data.load(index, &mut pixels).unwrap(), index as u32);
        plain.normalise.apply(&pixels, &mut expected);
        assert_eq!(image, expected);
    }
    assert!(labels(&batches).iter().copied().eq(0..COUNT as u32));
}

#[test]
fn drop_last_and_oversized_batches() {
    let loader = Loader::new(dataset(), LoaderConfig { drop_last: true, ..config(8) }).unwrap();
    let batches = collect(loader.epoch(0));
    assert_eq!((loader.batches(), batches.len()), (6, 6));
    assert!(batches.iter().all(|(_, labels)| labels.len() == 8));
    let whole = Loader::new(dataset(), config(usize::MAX)).unwrap();
    assert_eq!(collect(whole.epoch(0))[0].1.len(), COUNT);
    let error = Loader::new(dataset(), LoaderConfig { drop_last: true, ..config(54) });
    assert!(error.err().unwrap().to_string().contains("no batch is full"));
}

#[test]
fn an_epoch_can_be_taken_up_at_any_batch() {
    let loader = Loader::new(dataset(), config(8)).unwrap();
    let whole = collect(loader.epoch(5));
    for first in [0, 1, 4, 6, 7, 100] {
        let rest = &whole[first.min(whole.len())..];
        assert_eq!(collect(loader.epoch_from(5, first)), rest, "from {first}");
    }
}

#[test]
fn buffers_are_reused_over_epochs() {
    let loader = Loader::new(dataset(), config(5)).unwrap();
    let mut buffers = HashSet::new();
    for epoch in 0..6 {
        for batch in loader.epoch(epoch) {
            buffers.insert(batch.unwrap().images.as_ptr() as usize);
        }
    }
    assert!(buffers.len() <= MOST_SPARE, "{} buffers for 66 batches", buffers.len());
    // Batches that are kept do not come back changed.
    let kept: Vec<_> = loader.epoch(0).map(|b| b.unwrap()).collect();
    let copies = collect(loader.epoch(0));
    assert!(kept.iter().zip(&copies).all(|(a, b)| a.images == b.0 && a.labels == b.1));
}

#[test]
fn dropping_early_ends_the_thread() {
    let data = dataset();
    let loader = Loader::new(Arc::clone(&data), LoaderConfig { threads: 2, ..config(1) });
    let loader = loader.unwrap();
    for taken in [0, 1, 5] {
        let mut batches = loader.epoch(0);
        for _ in 0..taken {
            batches.next().unwrap().unwrap();
        }
    }
    drop(loader);
    assert_eq!(Arc::strong_count(&data), 1, "a thread still holds the data set");
}

#[test]
fn a_consumer_inside_a_busy_rayon_pool_is_served() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let loader = Loader::new(dataset(), LoaderConfig { threads: 3, ..config(4) }).unwrap();
    let total: f32 = pool.install(|| {
        loader.epoch(0).map(|b| b.unwrap().images.par_iter().map(|v| v.abs()).sum::<f32>()).sum()
    });
    assert!(total > 0.0);
}

#[test]
fn bad_settings_are_refused() {
    let error = |config| Loader::new(dataset(), config).err().unwrap().to_string();
    assert!(error(config(0)).contains("batch = 0"));
    let one = Normalise::new(vec![0.5], vec![0.5]).unwrap();
    assert!(error(LoaderConfig::new(4, one)).contains("2 channels"));
    let crop = Transforms::new(vec![Transform::Crop { size: 7, padding: 0 }]).unwrap();
    assert!(
        error(LoaderConfig { transforms: crop, ..config(4) }).contains("larger than the image")
    );
    for weights in [vec![1.0; 52], vec![0.0; 53], vec![-1.0; 53], vec![f32::NAN; 53]] {
        assert!(error(LoaderConfig { weights, ..config(4) }).contains("weights"));
    }
}

/// A data set that goes wrong at image 20.
struct Faulty(Fault, Vec<String>);

/// What it does there.
type Fault = fn() -> Result<u32>;

impl Dataset for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }
    fn len(&self) -> usize {
        COUNT
    }
    fn shape(&self) -> [usize; 3] {
        [2, 6, 5]
    }
    fn classes(&self) -> &[String] {
        &self.1
    }
    fn load(&self, index: usize, _: &mut [u8]) -> Result<u32> {
        if index == 20 { (self.0)() } else { Ok(1) }
    }
}

#[test]
fn what_goes_wrong_in_the_data_set_is_the_last_item() {
    let faults: [(Fault, &str); 3] = [
        (|| Err(Error::data("file.png", "is broken")), "file.png: is broken"),
        (|| Ok(2), "label 2 of image 20 is out of range; there are 2 classes"),
        (|| panic!("on purpose, by a test"), "panicked"),
    ];
    for (fault, message) in faults {
        for threads in [1, 3] {
            let data = Arc::new(Faulty(fault, vec!["a".into(), "b".into()]));
            let config = LoaderConfig { shuffle: false, threads, ..config(8) };
            let mut batches = Loader::new(data, config).unwrap().epoch(0);
            assert!(batches.next().unwrap().is_ok() && batches.next().unwrap().is_ok());
            let error = batches.next().unwrap().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(batches.next().is_none());
        }
    }
}

/// [`dataset`] without every third image, which cannot be read.
struct Holey(Arc<dyn Dataset>);

impl Dataset for Holey {
    fn name(&self) -> &str {
        "holey"
    }
    fn len(&self) -> usize {
        COUNT
    }
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32> {
        self.0.load(index, pixels)
    }
    fn try_load(&self, index: usize, pixels: &mut [u8]) -> Result<Option<u32>> {
        if index.is_multiple_of(3) { Ok(None) } else { self.load(index, pixels).map(Some) }
    }
}

/// An image's bytes and draws.
type Own = (Vec<u32>, Vec<f32>);
/// A batch of bytes: labels, then the images.
type Bytes = (Vec<u32>, Vec<Own>);

#[test]
fn batches_of_bytes_hold_each_image_with_its_own_draws() {
    let load = |batch, threads, set: Arc<dyn Dataset>| -> (Loader, Vec<Bytes>) {
        let config = LoaderConfig { on_device: true, threads, ..config(batch) };
        let loader = Loader::new(set, config).unwrap();
        let op = loader.preparation().unwrap().op();
        let batches = loader.epoch(3).map(|batch| {
            let batch = batch.unwrap();
            assert!(batch.images.is_empty());
            assert_eq!(batch.pixels.len(), batch.len * op.words());
            assert_eq!(batch.draws.len(), batch.len * op.draws());
            let words = batch.pixels.chunks(op.words()).map(<[_]>::to_vec);
            let draws = batch.draws.chunks(op.draws()).map(<[_]>::to_vec);
            (batch.labels.clone(), words.zip(draws).collect())
        });
        let batches = batches.collect();
        (loader, batches)
    };
    let (loader, expected) = load(8, 1, dataset());
    assert_eq!(load(8, 5, dataset()).1, expected);
    // The bytes are those of the data set, and no two images were drawn for alike.
    let flat = |batches: Vec<Bytes>| -> Vec<(u32, Own)> {
        batches.into_iter().flat_map(|(labels, images)| labels.into_iter().zip(images)).collect()
    };
    let all = flat(expected);
    let (mut pixels, mut draws) = (vec![0; SIZE], HashSet::new());
    for (label, (words, row)) in &all {
        loader.dataset().load(*label as usize, &mut pixels).unwrap();
        assert_eq!(&bytemuck::cast_slice::<u32, u8>(words)[..SIZE], pixels);
        draws.insert(row.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    }
    assert_eq!((all.len(), draws.len()), (COUNT, COUNT));
    // Images that are left out take their bytes and draws with them.
    let (_, holey) = load(8, 3, Arc::new(Holey(dataset())));
    let kept = all.into_iter().filter(|(label, _)| !label.is_multiple_of(3));
    assert_eq!(flat(holey), kept.collect::<Vec<_>>());
    // What is for threads alone is refused.
    let mixup = Transforms::new(vec![Transform::Mixup { alpha: 0.2 }]).unwrap();
    let config = LoaderConfig { transforms: mixup, on_device: true, ..config(8) };
    let error = Loader::new(dataset(), config).err().unwrap().to_string();
    assert!(error.contains("for threads"), "{error}");
}
