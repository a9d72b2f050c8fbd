//! Batches of a data set, made ahead of time on threads of their own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{Augment, Dataset, Normalise};
use crate::error::{Error, Result};
use crate::philox::Stream;

/// Finished batches that wait for the consumer.
const AHEAD: usize = 2;
/// Those that wait, the one being made and the one in use: no more buffers than that are kept.
const MOST_SPARE: usize = AHEAD + 2;
/// The third word of the random streams' names, so that they meet no other use of the seed.
const AUGMENT_STREAM: u32 = 0xda7a_0001;
const SHUFFLE_STREAM: u32 = 0xda7a_0002;

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images a batch, 1 or more.
    pub batch: usize,
    /// Decides order and augmentation.
    pub seed: u64,
    /// Whether every epoch has its own random order; else the data set's.
    pub shuffle: bool,
    /// Random changes to the images; `None` for testing.
    pub augment: Option<Augment>,
    /// From bytes to values.
    pub normalise: Normalise,
    /// Whether to leave out a last batch that is not full.
    pub drop_last: bool,
    /// Threads that make batches, 0 for a quarter of the processor's (1 to 4 of them). Batches are
    /// the same for any number.
    pub threads: usize,
}

impl LoaderConfig {
    /// The data set in order, all of it, unchanged but for `normalise`: what a test takes.
    pub fn new(batch: usize, normalise: Normalise) -> Self {
        LoaderConfig {
            batch,
            seed: 0,
            shuffle: false,
            augment: None,
            normalise,
            drop_last: false,
            threads: 0,
        }
    }
}

/// Images and labels for one step. Its buffers go back to the loader when it is dropped.
#[derive(Debug)]
pub struct Batch {
    /// `[len, channels, height, width]`, row-major, normalised.
    pub images: Vec<f32>,
    /// `[len]`, indices into the data set's classes.
    pub labels: Vec<u32>,
    /// The number of images; less than asked for in an epoch's last batch.
    pub len: usize,
    spare: Arc<Spare>,
}

/// Buffers for reuse.
type Spare = Mutex<Vec<(Vec<f32>, Vec<u32>)>>;

impl Drop for Batch {
    fn drop(&mut self) {
        let buffers = (std::mem::take(&mut self.images), std::mem::take(&mut self.labels));
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // A consumer that kept the vectors left empty ones.
        if spare.len() < MOST_SPARE && buffers.0.capacity() > 0 {
            spare.push(buffers);
        }
    }
}

/// Makes batches of a data set. The same seed gives the same batches on any number of threads:
/// the order of an epoch follows from (seed, epoch), the changes to an image from (seed, epoch,
/// its index in the data set).
pub struct Loader {
    shared: Arc<Shared>,
}

/// What the loader and its threads have in common.
struct Shared {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    spare: Arc<Spare>,
    /// Where one thread is not enough. Not rayon's global pool: a consumer that waits for a batch
    /// inside of that pool would keep the batch from being made.
    pool: Option<ThreadPool>,
    threads: usize,
    /// Values of one image.
    size: usize,
}

impl Loader {
    /// A loader of `dataset`.
    ///
    /// Errors where the batch is 0, the data set is empty, an augmentation is out of range, or
    /// `normalise` is for another number of channels; and where `drop_last` would leave nothing.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self> {
        if config.batch == 0 {
            return Err(Error::setting("batch", 0, "must be 1 or more"));
        }
        let (count, shape) = (dataset.len(), dataset.shape());
        let values = shape.iter().try_fold(count, |product, &extent| product.checked_mul(extent));
        if values.is_none_or(|v| v == 0 || v > isize::MAX as usize / 4) || count > u32::MAX as usize
        {
            return Err(Error::Usage(format!(
                "data set {}: {count} images of {shape:?} are none or more than can be counted",
                dataset.name()
            )));
        }
        if config.drop_last && config.batch > count {
            let remedy = format!("no batch is full; data set {} has {count}", dataset.name());
            return Err(Error::setting("batch", config.batch, remedy));
        }
        if config.normalise.mean().len() != shape[0] {
            let given = format!("for {} channels", config.normalise.mean().len());
            let remedy = format!("data set {} has {} channels", dataset.name(), shape[0]);
            return Err(Error::setting("normalise", given, remedy));
        }
        if let Some(augment) = &config.augment {
            augment.check()?;
        }
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| (n.get() / 4).clamp(1, 4)),
            n => n.min(config.batch),
        };
        let pool = (threads > 1)
            .then(|| ThreadPoolBuilder::new().num_threads(threads).build())
            .transpose()
            .map_err(|e| Error::setting("threads", threads, format!("cannot be started: {e}")))?;
        let size = shape.iter().product();
        let spare = Arc::default();
        Ok(Loader { shared: Arc::new(Shared { dataset, config, spare, pool, threads, size }) })
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.shared.dataset
    }

    /// The settings.
    pub fn config(&self) -> &LoaderConfig {
        &self.shared.config
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        let (count, batch) = (self.shared.dataset.len(), self.shared.config.batch);
        if self.shared.config.drop_last { count / batch } else { count.div_ceil(batch) }
    }

    /// The batches of an epoch. Two at most are made ahead, on a thread that ends with the epoch or
    /// when the iterator is dropped. Of `epoch`, the lower 32 bits count.
    pub fn epoch(&self, epoch: u64) -> Batches {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from batch `first` on, exactly those that [`Loader::epoch`] gives
    /// after its first `first`: for taking up an interrupted run.
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Batches {
        let left = self.batches().saturating_sub(first);
        let (sender, receiver) = sync_channel(AHEAD);
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new()
            .name("gabor-loader".into())
            .spawn(move || shared.produce(epoch as u32, first, left, &sender));
        let (worker, failed) = match started {
            Ok(worker) => (Some(worker), None),
            Err(e) => {
                (None, Some(Error::Usage(format!("the loader's thread cannot be started: {e}"))))
            }
        };
        Batches { receiver: Some(receiver), worker, failed, left }
    }
}

impl Shared {
    /// Makes `count` batches from batch `first` on and sends them until no one listens any more.
    fn produce(&self, epoch: u32, first: usize, count: usize, sender: &SyncSender<Result<Batch>>) {
        let order = self.order(epoch);
        let mut scratch = vec![vec![0u8; self.size]; self.threads];
        for indices in order.chunks(self.config.batch).skip(first).take(count) {
            let batch = self.make(indices, epoch, &mut scratch);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// The epoch's order of the data set.
    fn order(&self, epoch: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.dataset.len() as u32).collect();
        if self.config.shuffle {
            Stream::new(self.config.seed, [0, epoch, SHUFFLE_STREAM]).shuffle(&mut order);
        }
        order
    }

    /// Makes the batch of these indices.
    fn make(&self, indices: &[u32], epoch: u32, scratch: &mut [Vec<u8>]) -> Result<Batch> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (images, labels) = spare.unwrap_or_default();
        let len = indices.len();
        let mut batch = Batch { images, labels, len, spare: Arc::clone(&self.spare) };
        batch.images.resize(len * self.size, 0.0);
        batch.labels.resize(len, 0);
        let Some(pool) = &self.pool else {
            self.fill(indices, epoch, &mut scratch[0], &mut batch.images, &mut batch.labels)?;
            return Ok(batch);
        };
        let part = len.div_ceil(scratch.len());
        pool.install(|| {
            scratch
                .par_iter_mut()
                .zip(indices.par_chunks(part))
                .zip(batch.images.par_chunks_mut(part * self.size))
                .zip(batch.labels.par_chunks_mut(part))
                .try_for_each(|(((pixels, indices), images), labels)| {
                    self.fill(indices, epoch, pixels, images, labels)
                })
        })?;
        Ok(batch)
    }

    /// Loads, changes and normalises the images of these indices.
    fn fill(
        &self,
        indices: &[u32],
        epoch: u32,
        pixels: &mut [u8],
        images: &mut [f32],
        labels: &mut [u32],
    ) -> Result<()> {
        let classes = self.dataset.classes().len();
        let outputs = images.chunks_exact_mut(self.size).zip(labels);
        for (&index, (image, label)) in indices.iter().zip(outputs) {
            *label = self.dataset.load(index as usize, pixels)?;
            if *label as usize >= classes {
                return Err(Error::Usage(format!(
                    "data set {}: label {label} of image {index} is out of range; there are \
                     {classes} classes, from 0",
                    self.dataset.name()
                )));
            }
            match &self.config.augment {
                Some(augment) => {
                    let name = [index, epoch, AUGMENT_STREAM];
                    let mut random = Stream::new(self.config.seed, name);
                    let (shape, normalise) = (self.dataset.shape(), &self.config.normalise);
                    augment.apply(pixels, shape, &mut random, normalise, image);
                }
                None => self.config.normalise.apply(pixels, image),
            }
        }
        Ok(())
    }
}

/// The batches of an epoch, in order. An error is the last item.
pub struct Batches {
    /// `None` only while it is dropped.
    receiver: Option<Receiver<Result<Batch>>>,
    worker: Option<JoinHandle<()>>,
    failed: Option<Error>,
    left: usize,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let received = match self.failed.take() {
            Some(error) => Err(error),
            None => self.receiver.as_ref().and_then(|r| r.recv().ok()).unwrap_or_else(|| {
                // Only a panic, such as of a data set from outside, ends the thread early.
                Err(Error::Usage("the data set panicked; see its message above".into()))
            }),
        };
        if received.is_err() {
            self.left = 0;
        }
        Some(received)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails and it ends.
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // A panic was reported by `next`, or the batch is no longer wanted.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::data::Images;

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
            augment: Some(augment),
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
            loader
                .epoch(0)
                .map(|b| b.unwrap().images.par_iter().map(|v| v.abs()).sum::<f32>())
                .sum()
        });
        assert!(total > 0.0);
    }

    #[test]
    fn bad_settings_are_refused() {
        let error = |config| Loader::new(dataset(), config).err().unwrap().to_string();
        assert!(error(config(0)).contains("batch = 0"));
        let one = Normalise::new(vec![0.5], vec![0.5]).unwrap();
        assert!(error(LoaderConfig::new(4, one)).contains("2 channels"));
        let augment = Some(Augment { scale: -1.0, ..Augment::none() });
        assert!(error(LoaderConfig { augment, ..config(4) }).contains("augment.scale"));
    }

    /// A data set that goes wrong at image 20.
    struct Faulty(fn() -> Result<u32>, Vec<String>);

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
        let faults: [(fn() -> Result<u32>, &str); 3] = [
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
}
