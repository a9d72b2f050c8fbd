//! A run that is timed dispatch by dispatch. Nothing of it exists in other runs.
//!
//! Where the device writes timestamps, each dispatch is a pass of its own with a timestamp at either
//! end; WebGPU offers no more. Elsewhere each is submitted alone and waited for.

use std::time::Instant;

use super::GpuEngine;
use super::program::{Command, GpuProgram};
use super::transfer::Reader;
use crate::error::{Error, Result};
use crate::graph::{Clock, HostSpan, Span, Timeline};
use crate::tensor::{Tensor, TensorType};

/// The most timestamps that a query set holds.
const SET: usize = wgpu::QUERY_SET_MAX_QUERIES as usize;

/// Empty submissions of which the median is taken.
const EMPTY_RUNS: usize = 9;

/// Room for two timestamps for each command that is timed.
struct Stamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    /// For each command the place of its first timestamp. A device waits forever for timestamps that
    /// nothing writes, so there is no place for them.
    places: Vec<Option<usize>>,
    count: usize,
}

/// The host's work, one part after another.
struct Laps {
    began: Instant,
    spans: Vec<HostSpan>,
}

impl Laps {
    fn new() -> Self {
        Laps { began: Instant::now(), spans: vec![] }
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn lap(&mut self, name: &'static str) {
        let start = self.spans.last().map_or(0.0, |span| span.end);
        self.spans.push(HostSpan { name, start, end: self.now() });
    }
}

impl GpuProgram {
    /// A run to its end, with the times of its dispatches.
    pub(crate) async fn run_timed(
        &mut self,
        inputs: &[(&str, &Tensor)],
    ) -> Result<(Vec<(String, Tensor)>, Timeline)> {
        let stamps = Stamps::new(&self.engine, &self.commands)?;
        let empty = if stamps.is_none() { empty_submission(&self.engine)? } else { 0.0 };
        let mut laps = Laps::new();
        let mut encoder = self.engine.device().create_command_encoder(&Default::default());
        let upload = self.upload(inputs, &mut encoder).await?;
        laps.lap("upload");
        let mut device = match &stamps {
            Some(stamps) => {
                self.encode_stamped(stamps, &mut encoder);
                vec![]
            }
            None => self.run_one_by_one(&mut encoder, &laps, empty)?,
        };
        laps.lap("encode");
        let pending = self.submit(encoder, upload).await?;
        laps.lap("submit");
        let outputs = pending.finish().await?;
        laps.lap("wait");
        let mut clock = Clock::Synchronised;
        if let Some(stamps) = stamps {
            clock = Clock::Timestamps;
            let end = laps.spans.last().map_or(0.0, |span| span.end);
            device = self.spans(&stamps, &stamps.read(&self.engine).await?, end);
        }
        Ok((outputs, Timeline { clock, device, host: laps.spans }))
    }

    fn encode_stamped(&self, stamps: &Stamps, encoder: &mut wgpu::CommandEncoder) {
        for (command, place) in self.commands.iter().zip(&stamps.places) {
            let stamp = place.map(|place| stamps.query(place));
            match command {
                Command::Dispatch { pipeline, bind_group, grid: [x, y, z] } => {
                    let descriptor = wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: stamp.map(|(query_set, first)| {
                            wgpu::ComputePassTimestampWrites {
                                query_set,
                                beginning_of_pass_write_index: Some(first),
                                end_of_pass_write_index: Some(first + 1),
                            }
                        }),
                    };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    pass.set_pipeline(&pipeline.pipeline);
                    pass.set_bind_group(0, bind_group, &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                }
                Command::Copy { .. } | Command::CopyTexels(_) => {
                    if let Some((set, first)) = stamp {
                        encoder.write_timestamp(set, first);
                    }
                    command.encode_copy(encoder);
                    if let Some((set, first)) = stamp {
                        encoder.write_timestamp(set, first + 1);
                    }
                }
                Command::Submit => {
                    let next = self.engine.device().create_command_encoder(&Default::default());
                    let done = std::mem::replace(encoder, next);
                    self.engine.submit(done.finish());
                }
            }
        }
        stamps.resolve(encoder);
    }

    /// The spans that timestamps tell, in seconds, the last of them ending at `end`.
    fn spans(&self, stamps: &Stamps, seconds: &[f64], end: f64) -> Vec<Span> {
        let mut spans = vec![];
        let mut latest: f64 = 0.0;
        for (&(step, dispatch), place) in self.origins.iter().zip(&stamps.places) {
            let Some(&[start, stop]) = place.and_then(|place| seconds.get(place..place + 2)) else {
                continue;
            };
            // Some devices write the timestamp of an end before that of another's beginning.
            let start = start.max(latest);
            latest = stop.max(start);
            spans.push(Span { step, dispatch, start, end: latest });
        }
        for span in &mut spans {
            span.start += end - latest;
            span.end += end - latest;
        }
        spans
    }

    /// Runs what has been encoded, then each command alone, and leaves an encoder for the rest.
    fn run_one_by_one(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        laps: &Laps,
        empty: f64,
    ) -> Result<Vec<Span>> {
        let engine = &self.engine;
        let mut hand_over = |fill: &mut dyn FnMut(&mut wgpu::CommandEncoder)| {
            fill(encoder);
            let next = engine.device().create_command_encoder(&Default::default());
            let done = std::mem::replace(encoder, next).finish();
            let start = laps.now();
            engine.wait_for(engine.submit(done))?;
            Ok::<_, Error>((start, laps.now()))
        };
        hand_over(&mut |_| {})?;
        let mut spans = vec![];
        for (command, &(step, dispatch)) in self.commands.iter().zip(&self.origins) {
            let (start, end) = match command {
                Command::Dispatch { pipeline, bind_group, grid: [x, y, z] } => {
                    hand_over(&mut |encoder| {
                        let mut pass = encoder.begin_compute_pass(&Default::default());
                        pass.set_pipeline(&pipeline.pipeline);
                        pass.set_bind_group(0, bind_group, &[]);
                        pass.dispatch_workgroups(*x, *y, *z);
                    })?
                }
                Command::Copy { .. } | Command::CopyTexels(_) => {
                    hand_over(&mut |encoder| command.encode_copy(encoder))?
                }
                Command::Submit => continue,
            };
            spans.push(Span { step, dispatch, start: (start + empty).min(end), end });
        }
        Ok(spans)
    }
}

impl Stamps {
    /// Room for the timestamps of `commands`; none where the device writes none, or writes them, as software
    /// adapters do, when a dispatch is handed to its threads and not when it is done.
    fn new(engine: &GpuEngine, commands: &[Command]) -> Result<Option<Self>> {
        let features = engine.device().features();
        let times_copies = features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);
        let mut count = 0;
        let places = commands.iter().map(|command| {
            let is_timed = match command {
                Command::Dispatch { .. } => true,
                // No pass holds it.
                Command::Copy { .. } | Command::CopyTexels(_) => times_copies,
                Command::Submit => false,
            };
            count += if is_timed { 2 } else { 0 };
            is_timed.then(|| count - 2)
        });
        let places = places.collect();
        let is_late = engine.adapter().is_software();
        if is_late || !features.contains(wgpu::Features::TIMESTAMP_QUERY) || count == 0 {
            return Ok(None);
        }
        let sets = (0..count).step_by(SET).map(|first| {
            engine.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: (count - first).min(SET) as u32,
            })
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let stamps = Stamps {
            sets: sets.collect(),
            resolved: engine.buffer("timestamps", 8 * count as u64, usage, false),
            places,
            count,
        };
        engine.check()?;
        Ok(Some(stamps))
    }

    /// The set of the timestamp at this place, and its index there.
    fn query(&self, place: usize) -> (&wgpu::QuerySet, u32) {
        (&self.sets[place / SET], (place % SET) as u32)
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for (s, set) in self.sets.iter().enumerate() {
            let count = (self.count - s * SET).min(SET) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, (8 * s * SET) as u64);
        }
    }

    /// The timestamps in seconds since the first, once the device is done.
    async fn read(&self, engine: &GpuEngine) -> Result<Vec<f64>> {
        let ty = TensorType::u32([2 * self.count]);
        let words = Reader::default().read(engine, &ty, &self.resolved).await?;
        let period = f64::from(engine.queue().get_timestamp_period()) * 1e-9;
        let ticks =
            words.as_u32()?.chunks_exact(2).map(|w| u64::from(w[1]) << 32 | u64::from(w[0]));
        let ticks: Vec<_> = ticks.collect();
        // Differences are exact before they become floats.
        let first = ticks.iter().copied().min().unwrap_or(0);
        Ok(ticks.iter().map(|&t| (t - first) as f64 * period).collect())
    }
}

/// Seconds from handing over nothing to its being done.
fn empty_submission(engine: &GpuEngine) -> Result<f64> {
    let mut seconds = vec![];
    for _ in 0..EMPTY_RUNS {
        let encoder = engine.device().create_command_encoder(&Default::default());
        let start = Instant::now();
        engine.wait_for(engine.submit(encoder.finish()))?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[EMPTY_RUNS / 2])
}
