//! How the tiled kernels multiply: by which file in place of `shaders/lib/conv_tile.wgsl`, in which tiles.

use crate::kernel::{Adapter, Dispatch, Shader, Variant};
use crate::ops::cooperative::Matrices;

/// A way to multiply the tiles of a matrix product.
#[derive(Clone, Copy)]
pub(super) enum Product {
    /// In registers, with tiles of this side.
    Registers(usize),
    /// On cooperative matrices.
    Cooperative(Matrices),
}

/// The matrix product that a convolution is: its extents, and how many of it there are.
#[derive(Clone, Copy)]
pub(super) struct Extents {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) count: usize,
}

impl Product {
    /// The name of the variant.
    pub(super) fn name(self) -> &'static str {
        match self {
            Product::Registers(128) => "tiled_128",
            Product::Registers(_) => "tiled",
            Product::Cooperative(matrices) => matrices.name(),
        }
    }

    /// The side of a tile.
    fn tile(self) -> usize {
        match self {
            Product::Registers(tile) => tile,
            Product::Cooperative(matrices) => matrices.tile() as usize,
        }
    }

    /// Tiles of a product of so many rows and columns.
    pub(super) fn tiles(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.tile()) * columns.div_ceil(self.tile())
    }

    /// Whether so many rows are more than a small part of a tile.
    fn is_filled(self, rows: usize) -> bool {
        rows >= self.tile() / 4
    }

    /// A dispatch of a tiled kernel that multiplies the operands `factors` so.
    pub(super) fn dispatch(self, shader: Shader, factors: &'static [&'static str]) -> Dispatch {
        let dispatch = Dispatch::new(shader);
        match self {
            Product::Registers(tile) => dispatch.constant("TILE", tile as u32),
            Product::Cooperative(matrices) => {
                let file = "lib/conv_cooperative.wgsl";
                let dispatch = dispatch.constant("PRODUCT", file);
                let constants = matrices.constants().into_iter();
                let dispatch = constants.fold(dispatch, |d, (name, value)| d.constant(name, value));
                if matrices.are_half() { dispatch.multiplies_halves(factors) } else { dispatch }
            }
        }
    }
}

/// The tiled variants of a convolution.
pub(super) struct Tiled {
    /// In registers, best guess first.
    pub(super) registers: Vec<Variant>,
    /// On cooperative matrices with factors in half and in single precision.
    pub(super) cooperative: [Vec<Variant>; 2],
    /// Whether the tiles are mostly of use: in registers, and on cooperative matrices.
    pub(super) fills: [bool; 2],
}

impl Tiled {
    /// `variant` for each way to multiply.
    ///
    /// Errors as `variant` does.
    pub(super) fn new<E>(
        e: Extents,
        adapter: &Adapter,
        variant: impl Fn(Product) -> Result<Variant, E>,
    ) -> Result<Self, E> {
        let sizes = by_size(e, adapter);
        let registers = sizes.map(|tile| variant(Product::Registers(tile)));
        let mut fills = [Product::Registers(64).is_filled(e.rows), false];
        let mut cooperative = [vec![], vec![]];
        for (variants, matrices) in cooperative.iter_mut().zip(Matrices::of(adapter)) {
            if let Some(product) = matrices.map(Product::Cooperative) {
                fills[1] = product.is_filled(e.rows);
                variants.push(variant(product)?);
            }
        }
        let registers = registers.into_iter().collect::<Result<_, _>>()?;
        Ok(Tiled { registers, cooperative, fills })
    }
}

/// The sides of tiles, best guess first. Large ones load each element less often, but must be many enough
/// for all cores, and reach farther past the edges.
fn by_size(e: Extents, adapter: &Adapter) -> [usize; 2] {
    let [large, small] = [128, 64].map(|tile| {
        let groups = Product::Registers(tile).tiles(e.rows, e.columns) * e.count;
        (groups, groups * tile * tile)
    });
    let is_busy = large.0 * 2 >= adapter.busy_groups();
    if is_busy && large.1 * 4 <= small.1 * 5 { [128, 64] } else { [64, 128] }
}
