//! How fast images come out of a data set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use serde::Serialize;

use super::{Dataset, Loader, LoaderConfig, Normalise, Transforms};
use crate::error::{Error, Result};

/// Images a round, the same in each.
const ROUND: usize = 256;

/// Images a second on this many threads.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Speed {
    /// Threads.
    pub threads: usize,
    /// Images read in each of the two ways.
    pub images: usize,
    /// Images a second that are read and decoded, and nothing more.
    pub decode: f64,
    /// Images a second that a [`Loader`] makes, transforms, normalisation and batches included.
    pub loader: f64,
    /// The share of the time, 0 to 1, that a network spends waiting for its next batch which takes a
    /// third as many images a second as are decoded.
    pub waiting: f64,
}

impl Speed {
    /// The loader's speed over that of decoding alone.
    pub fn ratio(&self) -> f64 {
        self.loader / self.decode
    }
}

/// Measures a data set for about `time`: in turns, 256 images from all over the set are
/// merely decoded, and the same images are made into batches of 64 by a loader with `transforms`, both
/// on `threads` threads (0 for all of the processor's). The turns let both see the same other load.
/// Then a network is played that takes batches at a third of the speed of decoding.
///
/// Errors where the data set is empty, an image cannot be read, or a transform does not fit.
pub fn measure(
    dataset: &Arc<dyn Dataset>,
    transforms: &Transforms,
    threads: usize,
    time: Duration,
) -> Result<Speed> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool =
        pool.map_err(|e| Error::setting("threads", threads, format!("cannot be started: {e}")))?;
    let channels = transforms.output_shape(dataset.shape())?[0];
    let normalise = Normalise::new(vec![0.5; channels], vec![0.25; channels])?;
    let config = LoaderConfig {
        transforms: transforms.clone(),
        threads,
        ..LoaderConfig::new(64, normalise)
    };
    let count = dataset.len().min(ROUND);
    let indices = (0..count).map(|i| (i as u64 * dataset.len() as u64 / count as u64) as u32);
    let part: Arc<dyn Dataset> = Arc::new(super::split::Subset::new(dataset, indices.collect())?);
    let loader = Loader::new(part.clone(), config.clone())?;
    let (mut decoding, mut loading, mut images) = (Duration::ZERO, Duration::ZERO, 0);
    let started = Instant::now();
    for round in 0.. {
        if round > 0 && started.elapsed() >= time {
            break;
        }
        let clock = Instant::now();
        pool.install(|| {
            (0..count)
                .into_par_iter()
                .try_for_each(|i| part.picture(i, vec![]).map(std::hint::black_box).map(drop))
        })?;
        decoding += clock.elapsed();
        let clock = Instant::now();
        for batch in loader.epoch(0) {
            std::hint::black_box(batch?.images.first());
        }
        loading += clock.elapsed();
        images += count;
    }
    let speed = |time: Duration| images as f64 / time.as_secs_f64().max(1e-9);
    let decode = speed(decoding);
    let waiting = waiting(&Loader::new(dataset.clone(), config)?, decode / 3.0, time / 4)?;
    Ok(Speed { threads, images, decode, loader: speed(loading), waiting })
}

/// The share of about `time` that a network waits which takes `rate` images a second. That for an
/// epoch's first batch, which nothing can shorten, does not count.
fn waiting(loader: &Loader, rate: f64, time: Duration) -> Result<f64> {
    let mut batches = loader.epoch(0);
    let mut batch = batches.next().transpose()?;
    let (mut waited, started) = (Duration::ZERO, Instant::now());
    while let Some(held) = batch.filter(|_| started.elapsed() < time) {
        // What a network does on a device leaves the processor to the loader.
        std::thread::sleep(Duration::from_secs_f64(held.len as f64 / rate.max(1e-9)));
        let clock = Instant::now();
        batch = batches.next().transpose()?;
        waited += clock.elapsed();
    }
    Ok(waited.as_secs_f64() / started.elapsed().as_secs_f64().max(1e-9))
}
