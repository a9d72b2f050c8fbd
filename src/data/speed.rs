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
    let loader = Loader::new(part.clone(), config)?;
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
    Ok(Speed { threads, images, decode: speed(decoding), loader: speed(loading) })
}
