//! Matrix products on the GPU: one description of a product, and the dispatches that compute it.
//!
//! Products whose matrices do not fit a binding are computed in blocks, so that callers need not
//! think of an adapter's limits.

use std::ops::Range;

use super::cut::{evened, fit, halved, steps};
use super::kernels::{Kernel, Method};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::cooperative::Matrices;
use crate::tensor::TensorType;

/// Where the matrices of an operand lie: element `(i, j)` of batch member `s` is at
/// `offset + s * stride + i * ld + j`, with `i` and `j` exchanged where `transposed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The tensor.
    pub operand: Operand,
    /// The place of the first element.
    pub offset: usize,
    /// The leading dimension: the distance from one stored row to the next.
    pub ld: usize,
    /// The distance from one batch member to the next; 0 where the batch shares one matrix.
    pub stride: usize,
    /// Whether the stored rows are the matrix' columns.
    pub transposed: bool,
}

impl Stored {
    /// A dense row-major matrix with rows of `ld` elements that fills its tensor.
    pub fn rows(operand: Operand, ld: usize) -> Self {
        Stored { operand, offset: 0, ld, stride: 0, transposed: false }
    }

    /// The same memory with rows and columns exchanged where `transposed`.
    pub fn transposed_if(self, transposed: bool) -> Self {
        Stored { transposed: self.transposed != transposed, ..self }
    }

    /// The same for a batch of matrices, `stride` elements apart.
    pub fn batched(self, stride: usize) -> Self {
        Stored { stride, ..self }
    }

    /// The same, from the element `offset` on.
    pub fn at(self, offset: usize) -> Self {
        Stored { offset, ..self }
    }

    /// The extents (or indices) of the stored rows and columns.
    fn stored<T>(&self, row: T, column: T) -> [T; 2] {
        if self.transposed { [column, row] } else { [row, column] }
    }

    fn index(&self, member: usize, row: usize, column: usize) -> usize {
        let [i, j] = self.stored(row, column);
        self.offset + member * self.stride + i * self.ld + j
    }
}

/// Which axis of C a bias belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BiasAxis {
    /// One value for each row.
    Row,
    /// One value for each column.
    Column,
}

/// A vector that is added to each column or each row of C, the same for all batch members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bias {
    /// The tensor.
    pub operand: Operand,
    /// The place of the first value.
    pub offset: usize,
    /// What the values belong to.
    pub axis: BiasAxis,
}

/// `C = A * B (+ C) (+ bias) (then ReLU)` for each member of a batch; A is m x k, B is k x n.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// The number of products.
    pub batch: usize,
    /// The left factor.
    pub a: Stored,
    /// The right factor.
    pub b: Stored,
    /// The product. Its tensor is neither that of A nor that of B.
    pub c: Stored,
    /// The bias.
    pub bias: Option<Bias>,
    /// Whether the product is added to what C holds.
    pub accumulate: bool,
    /// Whether negative results become zero.
    pub relu: bool,
}

/// Extents of a product, or of one of its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extents {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) batch: usize,
}

/// A block of a product: rows and columns of C, steps of k, batch members.
#[derive(Clone, Debug)]
struct Block {
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
    batch: Range<usize>,
}

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldb: u32,
    ldc: u32,
    batch: u32,
    stride_a: u32,
    stride_b: u32,
    stride_c: u32,
    offset_a: u32,
    offset_b: u32,
    offset_c: u32,
    accumulate: u32,
    k_part: u32,
    offset_bias: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct SumParams {
    m: u32,
    n: u32,
    batch: u32,
    parts: u32,
    ldc: u32,
    stride_c: u32,
    offset_partial: u32,
    offset_c: u32,
    accumulate: u32,
    offset_bias: u32,
}

impl Problem {
    /// A product of one pair of matrices, without bias, that overwrites C.
    pub fn new([m, n, k]: [usize; 3], a: Stored, b: Stored, c: Stored) -> Self {
        Problem { m, n, k, batch: 1, a, b, c, bias: None, accumulate: false, relu: false }
    }

    /// A product for each member of a batch.
    pub fn batch(self, batch: usize) -> Self {
        Problem { batch, ..self }
    }

    /// Adds `bias`.
    pub fn bias(self, bias: Option<Bias>) -> Self {
        Problem { bias, ..self }
    }

    /// The kernels that `adapter` can run, best guess first, never empty.
    pub fn kernels(&self, adapter: &Adapter) -> Vec<Kernel> {
        super::kernels::choose(&self.row_major(), adapter)
    }

    /// One variant for each of [`Problem::kernels`], and those on cooperative matrices, where operands may be
    /// in half precision.
    ///
    /// Errors as [`Problem::dispatches`].
    pub fn variants(&self, adapter: &Adapter) -> Result<Vec<Variant>> {
        let e = self.row_major().extents();
        let cooperative = Matrices::of(adapter)
            .map(|matrices| matrices.map_or(vec![], |m| Kernel::cooperative(m, e, adapter)));
        let kernels = Matrices::ranked(adapter, cooperative, self.kernels(adapter));
        let variants = kernels.into_iter().map(|kernel| {
            let dispatches = self.dispatches(kernel, adapter, Operand::Workspace(0))?;
            let workspace = self.workspace(kernel).into_iter().collect();
            Ok(Variant { name: kernel.name, dispatches, workspace })
        });
        variants.collect()
    }

    /// The workspace that `kernel` needs for this product, if any.
    pub fn workspace(&self, kernel: Kernel) -> Option<TensorType> {
        let elements = kernel.parts * self.batch * self.m * self.n;
        (kernel.parts > 1).then(|| TensorType::f32([elements]))
    }

    /// The dispatches that compute the product with `kernel`, in order. `workspace` is of the type
    /// that [`Problem::workspace`] says.
    ///
    /// Errors where an extent does not fit the kernels' 32-bit arithmetic.
    pub fn dispatches(
        &self,
        kernel: Kernel,
        adapter: &Adapter,
        workspace: Operand,
    ) -> Result<Vec<Dispatch>> {
        let problem = self.row_major();
        problem.check(adapter)?;
        let extents = problem.block_extents(kernel, adapter);
        let mut dispatches = vec![];
        for block in problem.blocks(extents) {
            if kernel.parts > 1 {
                problem.split(&block, kernel, workspace, &mut dispatches);
            } else {
                let whole = problem.part(&block);
                dispatches.push(whole.product(kernel, whole.k));
            }
        }
        Ok(dispatches)
    }

    pub(super) fn extents(&self) -> Extents {
        Extents { m: self.m, n: self.n, k: self.k, batch: self.batch }
    }

    /// The same product with C stored by rows: `C' = B' * A'` where it is stored by columns.
    fn row_major(&self) -> Problem {
        if self.c.transposed { self.flipped() } else { *self }
    }

    /// `C' = B' * A'`, on the same memory.
    fn flipped(&self) -> Problem {
        let axis = |axis| match axis {
            BiasAxis::Row => BiasAxis::Column,
            BiasAxis::Column => BiasAxis::Row,
        };
        Problem {
            m: self.n,
            n: self.m,
            a: self.b.transposed_if(true),
            b: self.a.transposed_if(true),
            c: self.c.transposed_if(true),
            bias: self.bias.map(|bias| Bias { axis: axis(bias.axis), ..bias }),
            ..*self
        }
    }

    /// Errors unless every number that a kernel is given fits 32 bits.
    fn check(&self, adapter: &Adapter) -> Result<()> {
        let Extents { m, n, k, batch } = self.extents();
        let largest = [m, n, k, batch, self.a.ld, self.b.ld, self.c.ld].into_iter().max();
        let largest = largest.unwrap_or(0);
        if largest <= INDEX_LIMIT {
            return Ok(());
        }
        Err(Error::Memory {
            what: format!("a row of the matrix product {m} x {n} x {k}"),
            needed: largest as u64 * 4,
            device: adapter.name.clone(),
            available: INDEX_LIMIT as u64 * 4,
            remedy: "use a smaller batch or fewer features".into(),
        })
    }

    /// The largest block of which every matrix fits a binding and whose grid fits the adapter.
    fn block_extents(&self, kernel: Kernel, adapter: &Adapter) -> Extents {
        let limit = adapter.max_binding_elements().min(INDEX_LIMIT);
        let mut e = self.extents();
        fit(&self.a, limit, &mut e.batch, self.a.stored(&mut e.m, &mut e.k));
        fit(&self.b, limit, &mut e.batch, self.b.stored(&mut e.k, &mut e.n));
        fit(&self.c, limit, &mut e.batch, self.c.stored(&mut e.m, &mut e.n));
        let whole = self.extents();
        e.m = evened(whole.m, e.m);
        e.n = evened(whole.n, e.n);
        e.k = evened(whole.k, e.k);
        e.batch = whole.batch.div_ceil(whole.batch.div_ceil(e.batch));
        let max_groups = (adapter.max_groups as usize).saturating_pow(2);
        while kernel.groups(e) > max_groups {
            let [tiles_m, tiles_n] = kernel.tiles(e);
            if e.batch > 1 {
                e.batch = e.batch.div_ceil(2);
            } else if tiles_m >= tiles_n && e.m > 1 {
                e.m = halved(e.m);
            } else if e.n > 1 {
                e.n = halved(e.n);
            } else {
                break;
            }
        }
        e
    }

    /// The product cut into blocks of these extents; those that add to each other follow each other.
    fn blocks(&self, size: Extents) -> Vec<Block> {
        let mut blocks = vec![];
        for batch in steps(self.batch, size.batch) {
            for m in steps(self.m, size.m) {
                for n in steps(self.n, size.n) {
                    for k in steps(self.k, size.k) {
                        let (batch, m, n) = (batch.clone(), m.clone(), n.clone());
                        blocks.push(Block { m, n, k, batch });
                    }
                }
            }
        }
        blocks
    }

    /// A block as a product of its own: the first along k starts C, the last one finishes it.
    fn part(&self, block: &Block) -> Problem {
        let Block { m, n, k, batch } = block;
        let is_last = k.end == self.k;
        let bias = self.bias.filter(|_| is_last).map(|bias| {
            let start = match bias.axis {
                BiasAxis::Row => m.start,
                BiasAxis::Column => n.start,
            };
            Bias { offset: bias.offset + start, ..bias }
        });
        Problem {
            m: m.len(),
            n: n.len(),
            k: k.len(),
            batch: batch.len(),
            a: self.a.at(self.a.index(batch.start, m.start, k.start)),
            b: self.b.at(self.b.index(batch.start, k.start, n.start)),
            c: self.c.at(self.c.index(batch.start, m.start, n.start)),
            bias,
            accumulate: self.accumulate || k.start > 0,
            relu: self.relu && is_last,
        }
    }

    /// A block whose k is summed in parts, which are then added up in order.
    fn split(
        &self,
        block: &Block,
        kernel: Kernel,
        workspace: Operand,
        dispatches: &mut Vec<Dispatch>,
    ) {
        let whole = self.part(block);
        let k_part = whole.k.div_ceil(kernel.parts).next_multiple_of(PART_STEP);
        let parts = whole.k.div_ceil(k_part);
        let size = whole.m * whole.n;
        let partial = Stored::rows(workspace, whole.n).batched(size);
        let products = Problem { c: partial, bias: None, accumulate: false, relu: false, ..whole };
        dispatches.push(products.product(kernel, k_part));

        let total = parts * whole.batch * size;
        let c = whole.c;
        let range = whole.range(&c, whole.m, whole.n);
        let (bias, axis, offset_bias) = whole.bias_binding(workspace, &(0..total));
        let params = SumParams {
            m: whole.m as u32,
            n: whole.n as u32,
            batch: whole.batch as u32,
            parts: parts as u32,
            ldc: c.ld as u32,
            stride_c: c.stride as u32,
            offset_partial: 0,
            offset_c: (c.offset - range.start) as u32,
            accumulate: whole.accumulate.into(),
            offset_bias,
        };
        let sum = Dispatch::new(shader!("gemm/splitk_reduce.wgsl"))
            .constant("BIAS", axis)
            .constant("RELU", whole.relu)
            .bind_range("partial", workspace, 0..total)
            .bind_range("bias", bias.0, bias.1)
            .bind_range("c", c.operand, range)
            .params(&params)
            .threads(whole.batch * size);
        dispatches.push(sum);
    }

    /// One dispatch for all of this product, with k in parts of `k_part`.
    fn product(&self, kernel: Kernel, k_part: usize) -> Dispatch {
        let p = if kernel.flip { self.flipped() } else { *self };
        let parts = p.k.div_ceil(k_part);
        let ranges = [p.range(&p.a, p.m, p.k), p.range(&p.b, p.k, p.n), {
            let slices = Problem { batch: parts * p.batch, ..p };
            slices.range(&p.c, p.m, p.n)
        }];
        let [offset_a, offset_b, offset_c] =
            [(&p.a, 0), (&p.b, 1), (&p.c, 2)].map(|(m, i)| (m.offset - ranges[i].start) as u32);
        let (bias, axis, offset_bias) = p.bias_binding(p.b.operand, &ranges[1]);
        let params = Params {
            m: p.m as u32,
            n: p.n as u32,
            k: p.k as u32,
            lda: p.a.ld as u32,
            ldb: p.b.ld as u32,
            ldc: p.c.ld as u32,
            batch: p.batch as u32,
            stride_a: p.a.stride as u32,
            stride_b: p.b.stride as u32,
            stride_c: p.c.stride as u32,
            offset_a,
            offset_b,
            offset_c,
            accumulate: p.accumulate.into(),
            k_part: k_part as u32,
            offset_bias,
        };
        let [range_a, range_b, range_c] = ranges;
        let mut dispatch = Dispatch::new(kernel.shader())
            .constant("TRANS_A", p.a.transposed)
            .constant("TRANS_B", p.b.transposed)
            .constant("BIAS", axis)
            .constant("RELU", p.relu)
            .bind_range("bias", bias.0, bias.1)
            .bind_range("c", p.c.operand, range_c)
            .params(&params);
        if kernel.method == Method::Texels {
            let [columns_a, columns_b] =
                [(&p.a, &range_a), (&p.b, &range_b)].map(|(m, r)| texel_columns(m.ld, r.len()));
            dispatch = dispatch
                .bind_texels("a", p.a.operand, range_a, columns_a)
                .bind_texels("b", p.b.operand, range_b, columns_b)
                .constant("SHIFT_A", columns_a.ilog2())
                .constant("SHIFT_B", columns_b.ilog2());
        } else {
            dispatch = dispatch.bind_range("a", p.a.operand, range_a).bind_range(
                "b",
                p.b.operand,
                range_b,
            );
        }
        if kernel.method != Method::Naive {
            dispatch = dispatch
                .constant("TRANS_C", p.c.transposed)
                .constant("ALIGNED_A", p.is_aligned(&p.a, p.m, p.k))
                .constant("ALIGNED_B", p.is_aligned(&p.b, p.k, p.n));
        }
        for (name, value) in kernel.tile_constants() {
            dispatch = dispatch.constant(name, value);
        }
        dispatch
            .multiplies_halves(kernel.halves())
            .groups(kernel.groups(self.extents()) / kernel.parts * parts)
    }

    /// The elements to bind for a matrix of these extents: from an aligned place to its last.
    fn range(&self, matrix: &Stored, rows: usize, columns: usize) -> Range<usize> {
        let [i, j] = matrix.stored(rows, columns);
        let start = matrix.offset - matrix.offset % Adapter::ALIGNMENT;
        start..matrix.offset + (self.batch - 1) * matrix.stride + (i - 1) * matrix.ld + j
    }

    /// What to bind as `bias`, the constant `BIAS`, and the place of the first value in the range.
    /// Without a bias, something that the kernel reads anyway.
    fn bias_binding(
        &self,
        other: Operand,
        range: &Range<usize>,
    ) -> ((Operand, Range<usize>), u32, u32) {
        let Some(bias) = self.bias else { return ((other, range.clone()), 0, 0) };
        let (axis, len) = match bias.axis {
            BiasAxis::Row => (1, self.m),
            BiasAxis::Column => (2, self.n),
        };
        let start = bias.offset - bias.offset % Adapter::ALIGNMENT;
        ((bias.operand, start..bias.offset + len), axis, (bias.offset - start) as u32)
    }

    /// Whether every row of a matrix starts at a whole vector of four.
    fn is_aligned(&self, matrix: &Stored, rows: usize, columns: usize) -> bool {
        let [rows, _] = matrix.stored(rows, columns);
        (rows == 1 || matrix.ld.is_multiple_of(4))
            && (self.batch == 1 || matrix.stride.is_multiple_of(4))
            && matrix.offset.is_multiple_of(4)
    }
}

/// The kernels count elements in 32 bits; this leaves room for the last tile to reach past the end.
const INDEX_LIMIT: usize = 1 << 30;

/// Parts of k are multiples of this many steps: whole tiles of every kernel.
const PART_STEP: usize = 32;

/// The columns of the texture that a matrix is copied to: the texture's rows, which are never a power of
/// two apart, end with the matrix' own where these would be.
fn texel_columns(ld: usize, elements: usize) -> u32 {
    let texels = elements.div_ceil(4);
    let least = texels.div_ceil(Adapter::MOST_ROWS as usize).next_power_of_two();
    let own = 1 << (ld / 4).max(1).trailing_zeros();
    let columns = if own >= 64 { own } else { 1024 };
    columns.clamp(Adapter::LEAST_COLUMNS as usize, 4096).max(least) as u32
}
