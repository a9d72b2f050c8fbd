//! The matrix-product kernels, and which to prefer.

use super::gpu::{Extents, Problem};
use crate::kernel::{Adapter, AdapterKind, Shader, shader};

/// A kernel and how it cuts a product into workgroups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// The name of the variant.
    pub name: &'static str,
    pub(super) method: Method,
    /// Rows and columns of a workgroup's tile of C.
    pub(super) tile: [u32; 2],
    /// Whether the transposed product is computed, so that the tile's long side lies along m.
    pub(super) flip: bool,
    /// Into how many parts k is cut.
    pub(super) parts: usize,
}

/// The file under `shaders/gemm/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Naive,
    Tiled,
    Wide,
    Subgroup,
}

impl Kernel {
    fn new(name: &'static str, method: Method, tile: [u32; 2]) -> Self {
        Kernel { name, method, tile, flip: false, parts: 1 }
    }

    pub(super) fn shader(&self) -> Shader {
        match self.method {
            Method::Naive => shader!("gemm/naive.wgsl"),
            Method::Tiled => shader!("gemm/tiled.wgsl"),
            Method::Wide => shader!("gemm/wide.wgsl"),
            Method::Subgroup => shader!("gemm/subgroup.wgsl"),
        }
    }

    /// The constants that set the tile.
    pub(super) fn tile_constants(&self) -> Vec<(&'static str, u32)> {
        let [m, n] = self.tile;
        match self.method {
            Method::Naive => vec![],
            Method::Tiled => {
                let k = if m + n > 128 { 16 } else { 32 };
                vec![("TILE_M", m), ("TILE_N", n), ("TILE_K", k)]
            }
            Method::Wide => vec![("TILE_M", m), ("TILE_N", n)],
            Method::Subgroup => vec![("TILE_M", m)],
        }
    }

    /// Tiles along the rows and the columns of C.
    pub(super) fn tiles(&self, e: Extents) -> [usize; 2] {
        let [m, n] = if self.flip { [e.n, e.m] } else { [e.m, e.n] };
        let [tiles_m, tiles_n] =
            [m.div_ceil(self.tile[0] as usize), n.div_ceil(self.tile[1] as usize)];
        if self.flip { [tiles_n, tiles_m] } else { [tiles_m, tiles_n] }
    }

    /// Workgroups for a product of these extents.
    pub(super) fn groups(&self, e: Extents) -> usize {
        let [m, n] = self.tiles(e);
        m * n * e.batch * self.parts
    }

    /// This kernel with k in as many parts as give `groups` workgroups, if that is more than one.
    fn split(
        self,
        name: &'static str,
        e: Extents,
        groups: usize,
        adapter: &Adapter,
    ) -> Option<Self> {
        let wanted = groups.div_ceil(self.groups(e)).min(e.k / LEAST_PART);
        // Partial products are as large as C each, and share one binding.
        let held = adapter.max_binding_elements() / (e.batch * e.m * e.n);
        let parts = wanted.min(held);
        (parts > 1).then_some(Kernel { name, parts, ..self })
    }
}

/// A part of k is at least this long.
const LEAST_PART: usize = 64;

/// The kernels that `adapter` can run for a product, best guess first.
pub(super) fn choose(problem: &Problem, adapter: &Adapter) -> Vec<Kernel> {
    let e = problem.extents();
    let naive = Kernel::new("naive", Method::Naive, [8, 8]);
    let large = Kernel::new("tiled", Method::Tiled, [128, 128]);
    let small = Kernel::new("tiled_64", Method::Tiled, [64, 64]);
    let wide = wide(e);
    let mut kernels = if adapter.is_software() {
        let mut kernels = vec![];
        if adapter.subgroups.is_some_and(|(least, _)| least >= 8) {
            kernels.push(subgroup(e));
        }
        kernels.push(wide);
        kernels.push(if large.groups(e) > 1 { large } else { small });
        kernels
    } else {
        let groups = busy_groups(adapter);
        if large.groups(e) * 2 >= groups { vec![large, small] } else { vec![small, large] }
    };
    let best = kernels[0];
    let groups = busy_groups(adapter);
    if let Some(split) = best.split("split_k", e, groups, adapter) {
        // The sum of the parts is traffic of its own: only for long k it pays.
        let pays = best.groups(e) * 2 <= groups && e.k >= 8 * LEAST_PART;
        kernels.insert(if pays { 0 } else { 1 }, split);
    }
    kernels.push(naive);
    kernels
}

/// Enough workgroups to keep the adapter busy.
fn busy_groups(adapter: &Adapter) -> usize {
    match adapter.kind {
        AdapterKind::Discrete => 256,
        AdapterKind::Integrated | AdapterKind::Other => 64,
        AdapterKind::Software => 8,
    }
}

fn subgroup(e: Extents) -> Kernel {
    let rows = match e.m {
        0..=8 => 8,
        9..=16 => 16,
        _ => 32,
    };
    Kernel::new("subgroup", Method::Subgroup, [rows, 32])
}

/// Each thread computes 16 x 8 outputs; eight of them lie side by side for wide matrices, below each
/// other for thin ones.
fn wide(e: Extents) -> Kernel {
    let lanes = match e.n {
        0..=8 => 1,
        9..=16 => 2,
        17..=32 => 4,
        _ => 8,
    };
    Kernel::new("wide", Method::Wide, [128 / lanes, 8 * lanes])
}
