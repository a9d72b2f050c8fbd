//! The matrix-product kernels, and which to prefer.

use super::gpu::{Extents, Problem};
use crate::kernel::{Adapter, Constant, Shader, shader};
use crate::ops::cooperative::Matrices;

/// A kernel and how it cuts a product into workgroups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// The name of the variant.
    pub name: &'static str,
    pub(super) method: Method,
    /// Rows and columns of a workgroup's tile.
    pub(super) tile: [u32; 2],
    /// Whether the tiles lie across: the kernel computes `C' = B' * A'`.
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
    Texels,
    Cooperative(Matrices),
}

/// A shape that a kernel's tile may have, and how fast it is on large products, relative to the
/// kernel's other shapes.
type Tile = ([u32; 2], f64);

/// GFLOP/s on 512 x 512 x 512, lavapipe on two cores.
const SUBGROUP: [Tile; 3] = [([32, 32], 30.0), ([16, 32], 22.0), ([8, 32], 13.0)];
const WIDE: [Tile; 2] = [([16, 64], 18.0), ([64, 16], 18.0)];

impl Kernel {
    fn new(name: &'static str, method: Method, tile: [u32; 2]) -> Self {
        Kernel { name, method, tile, flip: false, parts: 1 }
    }

    /// The tile that computes a product in the least time, with what reaches past the edges counted.
    fn fitted(name: &'static str, method: Method, tiles: &[Tile], e: Extents) -> Self {
        let candidates = [false, true].into_iter().flat_map(|flip| {
            let kernel = move |&(tile, speed): &Tile| {
                (Kernel { flip, ..Kernel::new(name, method, tile) }, speed)
            };
            tiles.iter().map(kernel)
        });
        let time = |(kernel, speed): (Kernel, f64)| {
            let work = kernel.groups(e) * kernel.tile.iter().product::<u32>() as usize;
            (kernel, work as f64 / speed)
        };
        let first = Kernel::new(name, method, tiles[0].0);
        let best = candidates.map(time).fold((first, f64::INFINITY), |best, next| {
            // Lying across costs a little when C is written.
            if next.1 * 1.05 < best.1 { next } else { best }
        });
        best.0
    }

    pub(super) fn shader(&self) -> Shader {
        match self.method {
            Method::Naive => shader!("gemm/naive.wgsl"),
            Method::Tiled => shader!("gemm/tiled.wgsl"),
            Method::Wide => shader!("gemm/wide.wgsl"),
            Method::Subgroup => shader!("gemm/subgroup.wgsl"),
            Method::Texels => shader!("gemm/texels.wgsl"),
            Method::Cooperative(_) => shader!("gemm/cooperative.wgsl"),
        }
    }

    /// The constants that set the tile.
    pub(super) fn tile_constants(&self) -> Vec<(&'static str, Constant)> {
        let [m, n] = self.tile;
        let sizes = match self.method {
            Method::Cooperative(matrices) => return matrices.constants().into(),
            Method::Naive => vec![],
            Method::Tiled => {
                let k = if m + n > 128 { 16 } else { 32 };
                vec![("TILE_M", m), ("TILE_N", n), ("TILE_K", k)]
            }
            Method::Wide => vec![("TILE_M", m), ("TILE_N", n)],
            Method::Subgroup | Method::Texels => vec![("TILE_M", m)],
        };
        sizes.into_iter().map(|(name, size)| (name, size.into())).collect()
    }

    /// The kernels on cooperative matrices for a product, best guess first.
    pub(super) fn cooperative(matrices: Matrices, e: Extents, adapter: &Adapter) -> Vec<Self> {
        let tile = [matrices.tile(); 2];
        let whole = Kernel::new(matrices.name(), Method::Cooperative(matrices), tile);
        let groups = adapter.busy_groups();
        let mut kernels = vec![whole];
        if let Some(split) = whole.split(e, groups, adapter) {
            let split = Kernel { name: matrices.split_name(), ..split };
            kernels.insert(usize::from(!whole.gains_by_parts(e, groups)), split);
        }
        kernels
    }

    /// The bindings that are multiplied in half precision.
    pub(super) fn halves(&self) -> &'static [&'static str] {
        match self.method {
            Method::Cooperative(matrices) if matrices.are_half() => &["a", "b"],
            _ => &[],
        }
    }

    /// Tiles along the rows and the columns of C.
    pub(super) fn tiles(&self, e: Extents) -> [usize; 2] {
        let [rows, columns] = self.tile.map(|t| t as usize);
        let [rows, columns] = if self.flip { [columns, rows] } else { [rows, columns] };
        [e.m.div_ceil(rows), e.n.div_ceil(columns)]
    }

    /// Workgroups for a product of these extents.
    pub(super) fn groups(&self, e: Extents) -> usize {
        let [m, n] = self.tiles(e);
        m * n * e.batch * self.parts
    }

    /// This kernel with k in as many parts as give `groups` workgroups, if that is more than one.
    fn split(self, e: Extents, groups: usize, adapter: &Adapter) -> Option<Self> {
        let wanted = groups.div_ceil(self.groups(e)).min(e.k / LEAST_PART);
        // Partial products are as large as C each, and share one binding.
        let parts = wanted.min(adapter.max_binding_elements() / (e.batch * e.m * e.n));
        (parts > 1).then_some(Kernel { name: "split_k", parts, ..self })
    }

    /// Whether k should be cut. The sum of the parts is traffic of its own: it pays where k is long and cores
    /// are idle.
    fn gains_by_parts(&self, e: Extents, groups: usize) -> bool {
        self.groups(e) * 4 <= groups && e.k >= 8 * LEAST_PART
    }
}

/// A part of k is at least this long.
const LEAST_PART: usize = 64;

/// The kernels that `adapter` can run for a product, best guess first.
pub(super) fn choose(problem: &Problem, adapter: &Adapter) -> Vec<Kernel> {
    let e = problem.extents();
    let groups = adapter.busy_groups();
    let mut kernels = if adapter.is_software() {
        // The tiled kernel would be slow here, and take a second to compile.
        let has_subgroups = adapter.subgroups.is_some_and(|(least, _)| least >= 8);
        if has_subgroups {
            // Even a matrix that is used once is read faster by a copy.
            vec![
                Kernel::fitted("texels", Method::Texels, &SUBGROUP, e),
                Kernel::fitted("subgroup", Method::Subgroup, &SUBGROUP, e),
            ]
        } else {
            vec![Kernel::fitted("wide", Method::Wide, &WIDE, e)]
        }
    } else {
        let large = Kernel::new("tiled", Method::Tiled, [128, 128]);
        let small = Kernel::new("tiled_64", Method::Tiled, [64, 64]);
        // Large tiles load each element less often, but must be many enough for all cores.
        if large.groups(e) * 2 >= groups { vec![large, small] } else { vec![small, large] }
    };
    let best = kernels[0];
    if let Some(split) = best.split(e, groups, adapter) {
        kernels.insert(usize::from(!best.gains_by_parts(e, groups)), split);
    }
    kernels.push(Kernel::new("naive", Method::Naive, [8, 8]));
    kernels
}
