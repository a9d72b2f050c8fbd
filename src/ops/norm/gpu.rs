//! The dispatches of the GPU engine.

use super::layout::{Layout, Share, Sums};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Grid, Operand, Variant, shader};
use crate::ops::reduce::parts::{add_parts_into, aligned};
use crate::tensor::TensorType;

/// The parameters of kernels that take each element by itself.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Pointwise {
    pub items: u32,
    pub a: f32,
    pub b: f32,
}

/// The parameters of the kernels over whole tensors.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Elements {
    vectors: u32,
    first: u32,
    block: u32,
    sets: u32,
    plane: u32,
    parameters: u32,
    set_size: f32,
    eps: f32,
}

/// The parameters of sums.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Terms {
    outer: u32,
    count: u32,
    inner: u32,
    part: u32,
    start: u32,
    first: u32,
    block: u32,
    sets: u32,
    plane: u32,
    parameters: u32,
    eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Merge {
    count: u32,
    parts: u32,
    part: u32,
    terms: u32,
    before: u32,
    is_last: u32,
    start: u32,
}

/// What is normalised, and with what.
pub(super) struct Operands {
    pub input: Operand,
    pub mean: Option<Operand>,
    pub variance: Operand,
    pub weight: Option<Operand>,
    pub bias: Option<Operand>,
}

/// Errors unless statistics and parameters fit a binding each.
fn check(op: &'static str, layout: &Layout, adapter: &Adapter) -> Result<()> {
    let largest = layout.sets().max(layout.parameters());
    if largest <= adapter.max_binding_elements() {
        return Ok(());
    }
    Err(Error::Memory {
        what: format!("the statistics or parameters of {op}"),
        needed: 4 * largest as u64,
        device: adapter.name.clone(),
        available: adapter.max_binding_bytes,
        remedy: "use a smaller batch, or an adapter with larger storage bindings".into(),
    })
}

/// `dispatch` once for as many elements as fit the bindings, which are bound as `tensors`, four elements
/// to an invocation.
fn by_elements(
    op: &'static str,
    layout: &Layout,
    eps: f32,
    adapter: &Adapter,
    dispatch: &Dispatch,
    tensors: &[(&'static str, Operand)],
) -> Result<Vec<Dispatch>> {
    check(op, layout, adapter)?;
    let chunks = adapter.chunks(layout.elements()).into_iter().map(|range| {
        let vectors = range.len().div_ceil(4);
        let params = Elements {
            vectors: vectors as u32,
            first: range.start as u32,
            block: (layout.depth * layout.plane) as u32,
            sets: layout.sets() as u32,
            plane: layout.plane as u32,
            parameters: layout.parameters() as u32,
            set_size: layout.set_size() as f32,
            eps,
        };
        let bind = |d: Dispatch, &(name, operand): &_| d.bind_range(name, operand, range.clone());
        tensors
            .iter()
            .fold(dispatch.clone(), bind)
            .constant("ALIKE", layout.plane.is_multiple_of(4))
            .params(&params)
            .threads(vectors)
    });
    Ok(chunks.collect())
}

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias` into output 0.
pub(super) fn normalise(
    op: &'static str,
    layout: &Layout,
    eps: f32,
    operands: &Operands,
    adapter: &Adapter,
) -> Result<Vec<Dispatch>> {
    // Something must be bound; it is not read where the constant says so.
    let &Operands { input, mean, variance, weight, bias } = operands;
    let dispatch = Dispatch::new(shader!("norm/normalise.wgsl"))
        .bind("mean", mean.unwrap_or(variance))
        .bind("variance", variance)
        .bind("weight", weight.unwrap_or(variance))
        .bind("bias", bias.unwrap_or(variance))
        .constant("MEAN", mean.is_some())
        .constant("WEIGHT", weight.is_some())
        .constant("BIAS", bias.is_some());
    let tensors = [("input", input), ("output", Operand::Output(0))];
    by_elements(op, layout, eps, adapter, &dispatch, &tensors)
}

/// The gradient from inputs in the order of [`NormGradInput`](super::NormGradInput).
pub(super) fn grad_input(
    op: &'static str,
    layout: &Layout,
    eps: f32,
    weight: Option<Operand>,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let dispatch = Dispatch::new(shader!("norm/grad_input.wgsl"))
        .bind("mean", Operand::Input(1))
        .bind("variance", Operand::Input(2))
        .bind("sum", Operand::Input(4))
        .bind("sum_xhat", Operand::Input(5))
        .bind("weight", weight.unwrap_or(Operand::Input(1)))
        .constant("WEIGHT", weight.is_some())
        .constant("ACROSS", layout.across);
    let tensors = [
        ("input", Operand::Input(0)),
        ("grad_output", Operand::Input(3)),
        ("grad_input", Operand::Output(0)),
    ];
    let dispatches = by_elements(op, layout, eps, adapter, &dispatch, &tensors)?;
    Ok(vec![Variant::new("vec4", dispatches)])
}

/// Sums are cut into parts, which a second kernel puts together.
struct Parts {
    share: Share,
    /// The length of a part but the last, and their number.
    part: usize,
    parts: usize,
}

/// The two ways to add up: a workgroup for each part, or an invocation. `build` makes a share's dispatches,
/// whose parts go to two workspaces.
fn both_ways(
    op: &'static str,
    sums: Sums,
    adapter: &Adapter,
    build: impl Fn(&Parts, bool) -> Vec<Dispatch>,
) -> Result<Vec<Variant>> {
    let way = |grouped: bool| -> Result<Variant> {
        // Parts long enough to be worth it, and few enough for the workspace.
        let shortest = if grouped { 2048 } else { 256 };
        let mut dispatches = vec![];
        let mut largest = 0;
        for share in sums.shares(op, adapter)? {
            let terms = share.sums.terms();
            let most = (adapter.max_binding_elements() / share.sums.count).clamp(1, 256);
            let part = terms.div_ceil(most).max(shortest);
            let parts = Parts { part, parts: terms.div_ceil(part), share };
            largest = largest.max(parts.parts * parts.share.sums.count);
            dispatches.extend(build(&parts, grouped));
        }
        let workspace = vec![TensorType::f32([largest]); 2];
        let name = if grouped { "workgroup" } else { "thread" };
        Ok(Variant { name, dispatches, workspace })
    };
    let mut variants = vec![way(false)?];
    let grouped = way(true)?;
    let most = adapter.max_groups as usize * adapter.max_groups as usize;
    let fits =
        |grid| matches!(grid, Grid::Threads(_)) || matches!(grid, Grid::Flat(n) if n <= most);
    if grouped.dispatches.iter().all(|d| fits(d.grid)) {
        let first = !adapter.is_software() && sums.inner > 1 && sums.terms() >= 32;
        variants.insert(usize::from(!first), grouped);
    }
    Ok(variants)
}

fn terms(layout: &Layout, parts: &Parts, eps: f32) -> Terms {
    let sums = parts.share.sums;
    Terms {
        outer: sums.outer as u32,
        count: sums.count as u32,
        inner: sums.inner as u32,
        part: parts.part as u32,
        start: parts.share.bound().1 as u32,
        first: parts.share.elements.start as u32,
        block: (layout.depth * layout.plane) as u32,
        sets: layout.sets() as u32,
        plane: layout.plane as u32,
        parameters: layout.parameters() as u32,
        eps,
    }
}

/// `dispatch` with a workgroup or an invocation for each part of each sum.
fn for_parts(dispatch: Dispatch, parts: &Parts, grouped: bool) -> Dispatch {
    let count = parts.parts * parts.share.sums.count;
    if grouped { dispatch.groups(count) } else { dispatch.threads(count) }
}

/// Mean and variance of the sets of input 0 into outputs 1 and 2.
pub(super) fn moments(
    op: &'static str,
    layout: &Layout,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    check(op, layout, adapter)?;
    let total = layout.set_size();
    both_ways(op, layout.by_set(), adapter, |parts, grouped| {
        let share = &parts.share;
        let shader = match grouped {
            true => shader!("norm/moments_group.wgsl"),
            false => shader!("norm/moments.wgsl"),
        };
        let first = Dispatch::new(shader)
            .bind_range("input", Operand::Input(0), share.bound().0)
            .bind("means", Operand::Workspace(0))
            .bind("squares", Operand::Workspace(1))
            .params(&terms(layout, parts, 0.0));
        let (keys, start) = aligned(share.keys.clone());
        let second = Dispatch::new(shader!("norm/merge_moments.wgsl"))
            .bind("means", Operand::Workspace(0))
            .bind("squares", Operand::Workspace(1))
            .bind_range("mean", Operand::Output(1), keys.clone())
            .bind_range("variance", Operand::Output(2), keys)
            .params(&Merge {
                count: share.sums.count as u32,
                parts: parts.parts as u32,
                part: parts.part as u32,
                terms: share.sums.terms() as u32,
                before: share.before as u32,
                is_last: (share.before + share.sums.terms() == total).into(),
                start: start as u32,
            })
            .threads(share.sums.count);
        vec![for_parts(first, parts, grouped), second]
    })
}

/// The sums of `w g` and `w g xhat` into outputs 0 and 1, from inputs in the order of
/// [`NormGradSums`](super::NormGradSums).
pub(super) fn sums(
    op: &'static str,
    layout: &Layout,
    sums: Sums,
    eps: f32,
    weight: Option<Operand>,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    check(op, layout, adapter)?;
    both_ways(op, sums, adapter, |parts, grouped| {
        let share = &parts.share;
        let shader = match grouped {
            true => shader!("norm/sums_group.wgsl"),
            false => shader!("norm/sums.wgsl"),
        };
        let bound = share.bound().0;
        let first = Dispatch::new(shader)
            .bind_range("input", Operand::Input(0), bound.clone())
            .bind("mean", Operand::Input(1))
            .bind("variance", Operand::Input(2))
            .bind_range("grad_output", Operand::Input(3), bound)
            .bind("weight", weight.unwrap_or(Operand::Input(1)))
            .bind("sums", Operand::Workspace(0))
            .bind("sums_xhat", Operand::Workspace(1))
            .constant("WEIGHT", weight.is_some())
            .params(&terms(layout, parts, eps));
        let add =
            |i| add_parts_into(Operand::Output(i), i, parts.parts, &share.keys, share.before > 0);
        vec![for_parts(first, parts, grouped), add(0), add(1)]
    })
}
