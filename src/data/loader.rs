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
mod tests;
