//! The tuner: measures an op's kernels on this very device, and remembers which is fastest.
//!
//! A kernel counts only where it is right. It is compared with the op's oracle on random inputs; an
//! op that would take the oracle too long is compared with the CPU engine at full size, and with the
//! oracle on fewer items of the batch. A kernel that is wrong, that fails, or that does not fit is
//! left out with a line in the log. All this happens on a device of the tuner's own, so that nothing
//! a kernel breaks is missed later.

mod contest;
mod key;
mod problem;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use contest::{Effort, Entry, Workbench, contest};
use key::key;

use super::GpuEngine;
use crate::error::{Error, Result};
use crate::graph::{Graph, Plan, Target, fuse};
use crate::kernel::Variant;
use crate::ops::{Op, Types};
use crate::tuning::{Cache, Key, Pick, Picks, Place, Tuning};

/// What an engine knows about its kernels, and whether it may find out more.
#[derive(Debug)]
pub(super) struct Tuner {
    place: Place,
    effort: Option<Effort>,
    cache: Cache,
    picks: Mutex<Picks>,
}

impl Tuner {
    fn new(place: Place, tuning: &Tuning, cache: &Cache) -> Result<Self> {
        let known = match tuning {
            Tuning::Off => Picks::default(),
            Tuning::Cached | Tuning::Quick | Tuning::Full => cache.load(),
            Tuning::File(path) => Picks::read(path)?,
        };
        let picks = known.at(&place);
        if let (Tuning::File(path), true, false) = (tuning, picks.is_empty(), known.is_empty()) {
            let (path, Place { adapter, driver, software, .. }) = (path.display(), &place);
            log::warn!("{path}: none of its kernels is for {adapter}, {driver}, {software}");
        }
        let effort = match tuning {
            Tuning::Quick => Some(Effort::QUICK),
            Tuning::Full => Some(Effort::FULL),
            Tuning::Off | Tuning::Cached | Tuning::File(_) => None,
        };
        Ok(Tuner { place, effort, cache: cache.clone(), picks: Mutex::new(picks) })
    }

    fn picks(&self) -> MutexGuard<'_, Picks> {
        self.picks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The variants with the picked one first.
    fn order(&self, op: &dyn Op, types: &Types, mut variants: Vec<Variant>) -> Vec<Variant> {
        if variants.len() > 1
            && let Some(pick) = self.picks().get(&key(&self.place, op, types, &variants))
            && let Some(position) = variants.iter().position(|v| v.name == pick.kernel)
        {
            variants[..=position].rotate_right(1);
        }
        variants
    }

    /// The ops of a graph that have a choice of kernels.
    fn entries(&self, engine: &GpuEngine, graph: &Graph) -> BTreeMap<Key, Entry> {
        let graph = fuse(graph);
        let entries = graph.nodes().iter().filter_map(|node| {
            let (op, types) = (node.op.clone(), node.types.clone());
            // An op without a kernel for this adapter is an error of the plan.
            let variants = op.gpu(&types, engine.adapter()).ok()?;
            let key = key(&self.place, op.as_ref(), &types, &variants);
            let mut kernels: Vec<_> = variants.iter().map(|v| v.name).collect();
            kernels.dedup();
            (kernels.len() > 1).then(|| (key.clone(), Entry { key, op, types, kernels }))
        });
        entries.collect()
    }

    /// Measures what is missing.
    fn measure(&self, engine: &GpuEngine, entries: &BTreeMap<Key, Entry>, effort: &Effort) {
        let is_known = |pick: &Pick| pick.thorough || !effort.is_thorough;
        let mut missing: Vec<_> = {
            let picks = self.picks();
            entries.values().filter(|e| !picks.get(&e.key).is_some_and(is_known)).collect()
        };
        missing.sort_by_key(|e| std::cmp::Reverse(problem::operations(e.op.as_ref(), &e.types)));
        let mut bench = Workbench::like(engine);
        let start = Instant::now();
        for (i, entry) in missing.iter().enumerate() {
            if start.elapsed().as_secs_f64() > effort.total {
                let left = missing.len() - i;
                log::warn!("tuning: the time is over, {left} ops keep their first kernel");
                break;
            }
            let Some(pick) = contest(&mut bench, entry, effort) else { continue };
            let Pick { key, kernel, ms, first, .. } = &pick;
            let gain = pick.gain().unwrap_or(f64::INFINITY);
            let (op, inputs, count) = (&key.op, &key.inputs, missing.len());
            let step = format!("tuning {}/{count}", i + 1);
            log::info!("{step}: {op} {inputs}: {kernel} {ms:.3} ms, {gain:.2} times {first}");
            let mut new = Picks::default();
            new.insert(pick);
            if let Err(error) = self.cache.store(&new) {
                log::warn!("a pick is not kept: {error}");
            }
            self.picks().merge(new);
        }
    }
}

impl GpuEngine {
    /// The same device, on which kernels are chosen in this way.
    ///
    /// Errors where a [`Tuning::File`] cannot be read. A damaged cache is passed over.
    pub fn tuned(&self, tuning: &Tuning, cache: &Cache) -> Result<Self> {
        let tuner = match tuning {
            Tuning::Off => None,
            _ => Some(Arc::new(Tuner::new(self.place(), tuning, cache)?)),
        };
        Ok(self.with_tuner(tuner))
    }

    /// Compiles `graph` with the kernels that are picked by now. Nothing is measured.
    ///
    /// Errors as [`Plan::new`].
    pub fn plan(&self, graph: &Graph) -> Result<Plan> {
        let target = Target::Gpu(self.adapter().clone());
        let Some(tuner) = self.tuner() else { return Plan::new(graph, &target) };
        Plan::choosing(graph, &target, &|op, types, variants| {
            let ordered = tuner.order(op, types, variants);
            ordered.into_iter().next().ok_or_else(|| Error::Usage("no kernel".into()))
        })
    }

    /// The variants of an op, the picked one first.
    ///
    /// Errors where the op has none for this adapter.
    pub fn variants(&self, op: &dyn Op, types: &Types) -> Result<Vec<Variant>> {
        let variants = op.variants(types, self.adapter())?;
        Ok(self.tuner().map_or(variants.clone(), |tuner| tuner.order(op, types, variants)))
    }

    /// Measures the kernels of a graph's ops where the engine is to do so and has not yet. Returns
    /// the picks for those ops that have a choice.
    pub fn tune(&self, graph: &Graph) -> Vec<Pick> {
        let Some(tuner) = self.tuner() else { return vec![] };
        let entries = tuner.entries(self, graph);
        if let Some(effort) = &tuner.effort {
            tuner.measure(self, &entries, effort);
        }
        let picks = tuner.picks();
        entries.keys().filter_map(|key| picks.get(key)).cloned().collect()
    }

    /// All picks for this device.
    pub fn picks(&self) -> Picks {
        self.tuner().map_or(Picks::default(), |tuner| tuner.picks().clone())
    }
}
