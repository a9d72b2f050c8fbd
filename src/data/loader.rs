//! Batches of a data set, made ahead of time on threads of their own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::transform::{DrawKey, Preparation, Scratch};
use super::{Dataset, Normalise, Transforms};
use crate::error::{Error, Result};
use crate::philox::Stream;

/// Finished batches that wait for the consumer.
const AHEAD: usize = 2;
/// Those that wait, the one being made and the one in use: no more buffers than that are kept.
const MOST_SPARE: usize = AHEAD + 2;
/// The label of an image that is left out; no data set has so many classes.
const MISSING: u32 = u32::MAX;
/// The third word of the random streams' names, so that they meet no other use of the seed.
const SHUFFLE_STREAM: u32 = 0xda7a_0002;
const SAMPLE_STREAM: u32 = 0xda7a_0004;

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images a batch, 1 or more.
    pub batch: usize,
    /// Decides order and augmentation.
    pub seed: u64,
    /// Whether every epoch has its own random order; else the data set's.
    pub shuffle: bool,
    /// Draws the images of an epoch, as many as there are, with replacement and with chances in
    /// these proportions, one for each image; empty to take each image once.
    pub weights: Vec<f32>,
    /// What happens to the images before they are normalised.
    pub transforms: Transforms,
    /// Whether batches are bytes and draws, for a device that does all of that; see
    /// [`Transforms::on_device`].
    pub on_device: bool,
    /// From bytes to values.
    pub normalise: Normalise,
    /// Whether to leave out a last batch that is not full.
    pub drop_last: bool,
    /// Threads that make batches, 0 for a quarter of the processor's (1 to 4 of them), or all where
    /// the images must be decoded. Batches are the same for any number.
    pub threads: usize,
}

impl LoaderConfig {
    /// The data set in order, all of it, unchanged but for `normalise`: what a test takes.
    pub fn new(batch: usize, normalise: Normalise) -> Self {
        LoaderConfig {
            batch,
            seed: 0,
            shuffle: false,
            weights: vec![],
            transforms: Transforms::none(),
            on_device: false,
            normalise,
            drop_last: false,
            threads: 0,
        }
    }
}

/// Images and labels for one step. Its buffers go back to the loader when it is dropped.
#[derive(Debug)]
pub struct Batch {
    /// `[len * views, channels, height, width]`, row-major, normalised; `views` is 1, or 10 with
    /// [`Transform::TenCrop`](super::Transform::TenCrop). Empty where a device makes them.
    pub images: Vec<f32>,
    /// `[len, words]`, the bytes of the images as they are in the data set, where a device makes values
    /// of them; else empty. See [`PrepareImages`](crate::ops::images::PrepareImages).
    pub pixels: Vec<u32>,
    /// `[len, draws]`, what has been drawn for each image there.
    pub draws: Vec<f32>,
    /// `[len]`, indices into the data set's classes.
    pub labels: Vec<u32>,
    /// The number of images; less than asked for in an epoch's last batch, and where images were left
    /// out because they cannot be read.
    pub len: usize,
    spare: Arc<Spare>,
}

/// Buffers for reuse.
type Spare = Mutex<Vec<Buffers>>;

/// The vectors of a batch.
#[derive(Debug, Default)]
struct Buffers {
    images: Vec<f32>,
    pixels: Vec<u32>,
    draws: Vec<f32>,
    labels: Vec<u32>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let buffers = Buffers {
            images: std::mem::take(&mut self.images),
            pixels: std::mem::take(&mut self.pixels),
            draws: std::mem::take(&mut self.draws),
            labels: std::mem::take(&mut self.labels),
        };
        let mut spare = lock(&self.spare);
        // A consumer that kept the vectors left empty ones.
        if spare.len() < MOST_SPARE && buffers.images.capacity() + buffers.pixels.capacity() > 0 {
            spare.push(buffers);
        }
    }
}

/// The place of an image in a batch.
enum Slot<'a> {
    Values(&'a mut [f32]),
    Bytes { words: &'a mut [u32], draws: &'a mut [f32] },
}

/// Makes batches of a data set. The same seed gives the same batches on any number of threads:
/// the order of an epoch follows from (seed, epoch), the changes to an image from (seed, epoch,
/// its index in the data set, the transform's place in the list).
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
    /// Of an image that comes out.
    shape: [usize; 3],
    /// Values that an image comes to, in all its views.
    size: usize,
    /// What a device does, where it makes the values.
    preparation: Option<Preparation>,
    /// Sums of the weights up to each image.
    sums: Vec<f64>,
}

impl Loader {
    /// A loader of `dataset`.
    ///
    /// Errors where the batch is 0, the data set is empty, a transform does not fit its images,
    /// `normalise` is for another number of channels, weights are not one an image, negative or all
    /// 0; where `drop_last` would leave nothing; and where transforms are for a device that cannot do
    /// them.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self> {
        if config.batch == 0 {
            return Err(Error::setting("batch", 0, "must be 1 or more"));
        }
        let (count, shape) = (dataset.len(), config.transforms.output_shape(dataset.shape())?);
        let size = shape.iter().try_fold(config.transforms.views(), |n, &e| n.checked_mul(e));
        let values = size.and_then(|size| size.checked_mul(count));
        let fits = values.is_some_and(|v| v > 0 && v <= isize::MAX as usize / 4);
        let (Some(size), true) = (size, fits && count <= u32::MAX as usize) else {
            return Err(Error::Usage(format!(
                "data set {}: {count} images of {shape:?} are none or more than can be counted",
                dataset.name()
            )));
        };
        if config.drop_last && config.batch > count {
            let remedy = format!("no batch is full; data set {} has {count}", dataset.name());
            return Err(Error::setting("batch", config.batch, remedy));
        }
        if config.normalise.mean().len() != shape[0] {
            let given = format!("for {} channels", config.normalise.mean().len());
            let remedy = format!("data set {} has {} channels", dataset.name(), shape[0]);
            return Err(Error::setting("normalise", given, remedy));
        }
        let prepared = || {
            let on_device = config.transforms.on_device(dataset.shape(), &config.normalise);
            let remedy = "these transforms are for threads; leave `on_device` out";
            on_device.ok_or_else(|| Error::setting("transforms", "on the device", remedy))
        };
        let preparation = config.on_device.then(prepared).transpose()?;
        let sums = cumulative(&config.weights, count)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match config.threads {
            0 if dataset.is_decoding() => cores.min(config.batch),
            0 => (cores / 4).clamp(1, 4),
            n => n.min(config.batch),
        };
        let pool = (threads > 1)
            .then(|| ThreadPoolBuilder::new().num_threads(threads).build())
            .transpose()
            .map_err(|e| Error::setting("threads", threads, format!("cannot be started: {e}")))?;
        let spare = Arc::default();
        let shared = Shared { dataset, config, spare, pool, shape, size, preparation, sums };
        Ok(Loader { shared: Arc::new(shared) })
    }

    /// `[channels, height, width]` of the images in its batches.
    pub fn shape(&self) -> [usize; 3] {
        self.shared.shape
    }

    /// What a device does with its batches, where it makes the values.
    pub fn preparation(&self) -> Option<&Preparation> {
        self.shared.preparation.as_ref()
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
        let scratch = Mutex::default();
        for indices in order.chunks(self.config.batch).skip(first).take(count) {
            let batch = self.make(indices, epoch, &scratch);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// The epoch's order of the data set.
    fn order(&self, epoch: u32) -> Vec<u32> {
        if let Some(&total) = self.sums.last() {
            let mut random = Stream::new(self.config.seed, [0, epoch, SAMPLE_STREAM]);
            let mut draw = || {
                // 48 random bits, so that every image of a large set can be met.
                let high = f64::from(random.uniform());
                let place = (high + f64::from(random.uniform()) / 16_777_216.0) * total;
                let index = self.sums.partition_point(|&sum| sum <= place);
                index.min(self.sums.len() - 1) as u32
            };
            return (0..self.dataset.len()).map(|_| draw()).collect();
        }
        let mut order: Vec<u32> = (0..self.dataset.len() as u32).collect();
        if self.config.shuffle {
            Stream::new(self.config.seed, [0, epoch, SHUFFLE_STREAM]).shuffle(&mut order);
        }
        order
    }

    /// Makes the batch of these indices, those left out that cannot be read.
    fn make(&self, indices: &[u32], epoch: u32, scratch: &Mutex<Vec<Scratch>>) -> Result<Batch> {
        let len = indices.len();
        let Buffers { images, pixels, draws, labels } = lock(&self.spare).pop().unwrap_or_default();
        let spare = Arc::clone(&self.spare);
        let mut batch = Batch { images, pixels, draws, labels, len, spare };
        let Sizes { values, words, draws } = self.sizes();
        resize(&mut batch.images, len * values);
        resize(&mut batch.pixels, len * words);
        resize(&mut batch.draws, len * draws);
        resize(&mut batch.labels, len);
        let slots: Vec<_> = match self.preparation {
            None => batch.images.chunks_exact_mut(values).map(Slot::Values).collect(),
            Some(_) => {
                let words = batch.pixels.chunks_exact_mut(words);
                let pairs = words.zip(batch.draws.chunks_exact_mut(draws));
                pairs.map(|(words, draws)| Slot::Bytes { words, draws }).collect()
            }
        };
        let labels = &mut batch.labels;
        let fill = |((slot, label), &index): ((Slot<'_>, &mut u32), &u32)| {
            *label = self.image(index, epoch, scratch, slot)?;
            Ok(())
        };
        match &self.pool {
            None => slots.into_iter().zip(labels).zip(indices).try_for_each(fill)?,
            // An image at a time: one may take much longer to decode than another.
            Some(pool) => pool.install(|| {
                let parts = slots.into_par_iter().zip(labels).zip(indices);
                parts.with_max_len(1).try_for_each(fill)
            })?,
        }
        batch.leave_out(self.sizes());
        Ok(batch)
    }

    /// The elements of an image in each vector of a batch.
    fn sizes(&self) -> Sizes {
        match self.preparation.as_ref().map(Preparation::op) {
            None => Sizes { values: self.size, words: 0, draws: 0 },
            Some(op) => Sizes { values: 0, words: op.words(), draws: op.draws() },
        }
    }

    /// Makes the image of this index, and returns its label; [`MISSING`] where it is left out.
    fn image(
        &self,
        index: u32,
        epoch: u32,
        scratch: &Mutex<Vec<Scratch>>,
        slot: Slot<'_>,
    ) -> Result<u32> {
        let Shared { dataset, config, .. } = self;
        let key = DrawKey { seed: config.seed, epoch };
        let made = match slot {
            Slot::Values(image) => {
                let mut own = lock(scratch).pop().unwrap_or_default();
                let made = config.transforms.apply(
                    &**dataset,
                    index,
                    key,
                    &config.normalise,
                    &mut own,
                    image,
                );
                lock(scratch).push(own);
                made
            }
            Slot::Bytes { words, draws } => {
                if let Some(preparation) = &self.preparation {
                    preparation.draw(index, key, draws);
                }
                let bytes = bytemuck::cast_slice_mut(words);
                let count = dataset.shape().iter().product::<usize>().min(bytes.len());
                dataset.try_load(index as usize, &mut bytes[..count])
            }
        };
        let classes = dataset.classes().len();
        match made? {
            None => Ok(MISSING),
            Some(label) if (label as usize) < classes => Ok(label),
            Some(label) => Err(Error::Usage(format!(
                "data set {}: label {label} of image {index} is out of range; there are {classes} \
                 classes, from 0",
                dataset.name()
            ))),
        }
    }
}

/// The elements of an image in the vectors of a [`Batch`].
struct Sizes {
    values: usize,
    words: usize,
    draws: usize,
}

/// Makes it `length` elements long.
fn resize<T: Clone + Default>(vector: &mut Vec<T>, length: usize) {
    if vector.capacity() == 0 {
        // Zeros from the system, which the threads touch first.
        *vector = vec![T::default(); length];
    }
    vector.resize(length, T::default());
}

/// The vector, also where a thread panicked while it had it: each state of it is a good one.
fn lock<T>(vector: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    vector.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Batch {
    /// Closes the gaps of the images that are [`MISSING`].
    fn leave_out(&mut self, sizes: Sizes) {
        let Sizes { values, words, draws } = sizes;
        for at in (0..self.len).rev().filter(|&at| self.labels[at] == MISSING).collect::<Vec<_>>() {
            self.labels.remove(at);
            self.images.drain(at * values..(at + 1) * values);
            self.pixels.drain(at * words..(at + 1) * words);
            self.draws.drain(at * draws..(at + 1) * draws);
            self.len -= 1;
        }
    }
}

/// The sums of the weights up to each of `count` images; empty without weights.
fn cumulative(weights: &[f32], count: usize) -> Result<Vec<f64>> {
    let mut total = 0.0;
    let sums: Vec<f64> = weights
        .iter()
        .map(|&weight| {
            total += f64::from(weight);
            total
        })
        .collect();
    let good = weights.iter().all(|&weight| weight >= 0.0) && total.is_finite() && total > 0.0;
    if weights.is_empty() || (good && weights.len() == count) {
        return Ok(sums);
    }
    let given = format!("{} that sum to {total}", weights.len());
    let remedy = format!("give {count}, one an image, none negative and not all 0");
    Err(Error::setting("weights", given, remedy))
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
        loop {
            let batch = self.receive()?;
            // A batch of which nothing could be read is passed over.
            if !batch.as_ref().is_ok_and(|batch| batch.len == 0) {
                return Some(batch);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl Batches {
    fn receive(&mut self) -> Option<Result<Batch>> {
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
mod tests;
