//! Kernels described as data: which shader, bound to what, with which constants, over which grid.
//!
//! An op answers [`Op::gpu`](crate::ops::Op::gpu) with [`Variant`]s; the GPU engine turns them into
//! pipelines and bind groups. No graphics API is named here, so that ops stay readable and testable
//! on a machine without one.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::tensor::TensorType;

/// A WGSL kernel: its name in messages and its source text, with one entry point `main`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shader {
    /// The path under `shaders/`, or a name of your own for a kernel outside the crate.
    pub name: &'static str,
    /// The WGSL text. A line `// import lib/NAME.wgsl` pulls in a file of `shaders/lib/`.
    pub source: &'static str,
    /// Whether the driver's run-time checks may be left out. Only this crate's own shaders, which
    /// its tests run both ways, are trusted.
    pub(crate) trusted: bool,
}

impl Shader {
    /// A kernel from outside the crate, run with all checks.
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Shader { name, source, trusted: false }
    }
}

/// A [`Shader`] from a file under `shaders/`.
macro_rules! shader {
    ($path:literal) => {
        $crate::kernel::Shader {
            name: $path,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            trusted: true,
        }
    };
}
pub(crate) use shader;

/// The value given to a `const` at the top of a shader.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Constant {
    /// `const NAME: u32`
    U32(u32),
    /// `const NAME: f32`
    F32(f32),
    /// `const NAME: bool`
    Bool(bool),
    /// `// import lib/... as NAME`: this file of `shaders/lib/` in its place.
    Import(&'static str),
}

/// What a binding refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// The op's input of this index. Not available for an input that is overwritten in place.
    Input(usize),
    /// The op's output of this index. For an in-place output it holds the input at the start.
    Output(usize),
    /// The variant's workspace of this index, shared by its dispatches and undefined before them.
    Workspace(usize),
}

/// A storage binding of a shader, found by the name of its variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The name of the `var<storage>` in the shader.
    pub name: &'static str,
    /// What is bound there.
    pub operand: Operand,
    /// The bound elements; `None` binds all. The start is a multiple of [`Adapter::ALIGNMENT`].
    pub range: Option<Range<usize>>,
    /// The columns of the texture that the elements are copied to before the dispatch, where the
    /// variable is one; see [`Dispatch::bind_texels`].
    pub columns: Option<u32>,
}

/// One dispatch of one shader.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub shader: Shader,
    /// Values for the shader's `const` declarations, by name.
    pub constants: Vec<(&'static str, Constant)>,
    /// The storage bindings, by name.
    pub bindings: Vec<Binding>,
    /// The bytes of the shader's `params` uniform; empty where it has none.
    pub params: Vec<u8>,
    /// How many workgroups run.
    pub grid: Grid,
    /// See [`Dispatch::reads_ahead`].
    pub(crate) reads_ahead: bool,
    /// See [`Dispatch::multiplies_halves`].
    pub(crate) halves: &'static [&'static str],
}

/// How many workgroups a dispatch runs. The engine knows the workgroup's size from the shader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grid {
    /// As many workgroups as hold this many invocations, laid out as [`Adapter::flat_grid`] says.
    Threads(usize),
    /// This many workgroups, laid out as [`Adapter::flat_grid`] says.
    Flat(usize),
    /// Exactly these along x, y and z.
    Groups([u32; 3]),
}

impl Dispatch {
    /// A dispatch of `shader` over a grid of one workgroup, with nothing bound yet.
    pub fn new(shader: Shader) -> Self {
        Dispatch {
            shader,
            constants: vec![],
            bindings: vec![],
            params: vec![],
            grid: Grid::Flat(1),
            reads_ahead: false,
            halves: &[],
        }
    }

    /// Binds all of `operand` to the variable `name`.
    pub fn bind(mut self, name: &'static str, operand: Operand) -> Self {
        self.bindings.push(Binding { name, operand, range: None, columns: None });
        self
    }

    /// Binds the elements `range` of `operand` to the variable `name`.
    pub fn bind_range(mut self, name: &'static str, operand: Operand, range: Range<usize>) -> Self {
        self.bindings.push(Binding { name, operand, range: Some(range), columns: None });
        self
    }

    /// Binds a copy of the elements `range` of `operand`, made before the dispatch, to the variable
    /// `name`, a `texture_storage_2d<rgba32float, read>`. Texel `i`, the four elements from
    /// `range.start + 4 * i` on, is at column `i % columns` of row `i / columns`. `columns` is a
    /// power of two, at least [`Adapter::LEAST_COLUMNS`], with which the rows are no more than
    /// [`Adapter::MOST_ROWS`].
    ///
    /// Software implementations read buffers lane by lane; for texels they have vector code.
    pub fn bind_texels(
        mut self,
        name: &'static str,
        operand: Operand,
        range: Range<usize>,
        columns: u32,
    ) -> Self {
        self.bindings.push(Binding { name, operand, range: Some(range), columns: Some(columns) });
        self
    }

    /// Says that no element of what the kernel writes is read after it was written, neither by the invocation
    /// that wrote it nor by another: reading a copy made before the dispatch gives the same. Kernels
    /// that go once over their tensors in place are such.
    pub fn reads_ahead(mut self) -> Self {
        self.reads_ahead = true;
        self
    }

    /// Says that the kernel multiplies these operands in half precision, and so is for operands only that are
    /// stored in it.
    pub fn multiplies_halves(mut self, names: &'static [&'static str]) -> Self {
        self.halves = names;
        self
    }

    /// The bindings that must be in half precision.
    pub fn halves(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(|binding| self.halves.contains(&binding.name))
    }

    /// The bindings that are textures, each with its number among them and its columns.
    pub fn texels(&self) -> impl Iterator<Item = (&Binding, (usize, u32))> {
        let textures = self.bindings.iter().filter_map(|b| Some((b, b.columns?)));
        textures.enumerate().map(|(number, (binding, columns))| (binding, (number, columns)))
    }

    /// Gives the constant `name` a value.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Sets the `params` uniform.
    pub fn params<P: bytemuck::NoUninit>(mut self, params: &P) -> Self {
        self.params = bytemuck::bytes_of(params).to_vec();
        self
    }

    /// One invocation for each of `threads`. Kernels find theirs with `flat_thread` of
    /// `lib/index.wgsl` and stop when it is past the end.
    pub fn threads(mut self, threads: usize) -> Self {
        self.grid = Grid::Threads(threads);
        self
    }

    /// This many workgroups in a row. Kernels find theirs with `flat_group` of `lib/index.wgsl` and
    /// stop when it is past the end.
    pub fn groups(mut self, groups: usize) -> Self {
        self.grid = Grid::Flat(groups);
        self
    }

    /// Exactly this many workgroups along x, y and z.
    pub fn grid(mut self, groups: [u32; 3]) -> Self {
        self.grid = Grid::Groups(groups);
        self
    }
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Constant::U32(value)
    }
}

impl From<f32> for Constant {
    fn from(value: f32) -> Self {
        Constant::F32(value)
    }
}

impl From<&'static str> for Constant {
    fn from(file: &'static str) -> Self {
        Constant::Import(file)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Constant::Bool(value)
    }
}

/// One way of computing an op: dispatches in order, and the workspace they share.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The name by which tests, benches and the log speak of it, such as `tiled`.
    pub name: &'static str,
    /// The dispatches, each seeing what those before it wrote.
    pub dispatches: Vec<Dispatch>,
    /// Buffers that live only for this op.
    pub workspace: Vec<TensorType>,
}

impl Variant {
    /// A variant without workspace.
    pub fn new(name: &'static str, dispatches: Vec<Dispatch>) -> Self {
        Variant { name, dispatches, workspace: vec![] }
    }
}

/// What an adapter is, as far as choosing kernels goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the machine's memory.
    Integrated,
    /// A software implementation on the CPU, such as lavapipe: wide SIMD, no real workgroup memory.
    Software,
    /// A virtual GPU, or one that does not say.
    Other,
}

impl AdapterKind {
    /// All.
    pub const ALL: [AdapterKind; 4] =
        [AdapterKind::Discrete, AdapterKind::Integrated, AdapterKind::Software, AdapterKind::Other];

    /// The one of this name.
    ///
    /// Errors where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = AdapterKind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            Error::unknown("kind of adapter", name, AdapterKind::ALL.map(AdapterKind::name))
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Software => "software",
            AdapterKind::Other => "other",
        }
    }
}

/// The facts about an adapter that kernels are chosen by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Adapter {
    /// The name that the driver gives.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The largest storage binding, in bytes (128 MiB is what WebGPU guarantees).
    pub max_binding_bytes: u64,
    /// The largest buffer, in bytes (256 MiB is what WebGPU guarantees).
    pub max_buffer_bytes: u64,
    /// The largest number of workgroups along one axis of a grid.
    pub max_groups: u32,
    /// The largest number of invocations in a workgroup.
    pub max_invocations: u32,
    /// Workgroup memory, in bytes.
    pub workgroup_memory: u32,
    /// Whether shaders may use subgroup operations, and the smallest and largest subgroup.
    pub subgroups: Option<(u32, u32)>,
    /// Whether shaders may use `f16`.
    pub f16: bool,
    /// The matrices that a subgroup multiplies as one.
    pub cooperative: Cooperative,
}

/// The square matrices that the lanes of a subgroup hold and multiply together (`VK_KHR_cooperative_matrix`,
/// Metal's `simdgroup_matrix`; the tensor cores of others), with sums in single precision: how many rows and
/// columns they have, where there are such.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Cooperative {
    /// Of factors in half precision: 8 or 16.
    pub half: Option<u32>,
    /// Of factors in single precision: 8.
    pub single: Option<u32>,
}

impl Adapter {
    /// Binding ranges start at multiples of this many elements (256 bytes in half precision).
    pub const ALIGNMENT: usize = 128;
    /// Rows of texels start at multiples of 256 bytes too.
    pub const LEAST_COLUMNS: u32 = 16;
    /// The rows that every adapter's textures may have.
    pub const MOST_ROWS: u32 = 8192;

    /// An adapter with exactly the limits that WebGPU guarantees and no optional feature.
    pub fn webgpu_default() -> Self {
        Adapter {
            name: "WebGPU defaults".into(),
            kind: AdapterKind::Other,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            max_groups: 65_535,
            max_invocations: 256,
            workgroup_memory: 16 << 10,
            subgroups: None,
            f16: false,
            cooperative: Cooperative::default(),
        }
    }

    /// Whether this is a software implementation, on which kernels for wide SIMD are best.
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }

    /// Enough workgroups to keep the adapter busy.
    pub fn busy_groups(&self) -> usize {
        match self.kind {
            AdapterKind::Discrete => 256,
            AdapterKind::Integrated | AdapterKind::Other => 64,
            AdapterKind::Software => 8,
        }
    }

    /// The largest number of four-byte elements that one binding can hold, a multiple of
    /// [`Adapter::ALIGNMENT`].
    pub fn max_binding_elements(&self) -> usize {
        let elements = (self.max_binding_bytes / 4) as usize;
        (elements - elements % Self::ALIGNMENT).max(Self::ALIGNMENT)
    }

    /// A grid of at least `groups` workgroups, two-dimensional where one axis does not hold them.
    /// Kernels find theirs with `flat_group` of `lib/index.wgsl` and stop when it is past the end.
    pub fn flat_grid(&self, groups: usize) -> [u32; 3] {
        let max = self.max_groups as usize;
        if groups <= max {
            return [groups.max(1) as u32, 1, 1];
        }
        let rows = groups.div_ceil(max);
        [groups.div_ceil(rows) as u32, rows as u32, 1]
    }

    /// Cuts `0..elements` into ranges for a kernel that goes once over its tensors: each fits a binding, and
    /// on software adapters, which copy what they read, the copies stay small.
    pub fn pieces(&self, elements: usize) -> Vec<Range<usize>> {
        let most = if self.is_software() { 4 << 20 } else { usize::MAX };
        let piece = self.max_binding_elements().min(most);
        let starts = (0..elements.max(1)).step_by(piece);
        starts.map(|start| start..elements.min(start + piece)).collect()
    }

    /// Cuts `0..elements` into ranges that each fit a binding.
    pub fn chunks(&self, elements: usize) -> Vec<Range<usize>> {
        self.chunk_items("elementwise", elements, &[1]).unwrap_or_default()
    }

    /// Cuts `0..items` into ranges such that for each of `sizes` (elements an item) the range fits a
    /// binding and starts aligned. One range where everything fits.
    ///
    /// Errors where no aligned range fits: the tensors need to be smaller, which a smaller batch
    /// gives.
    pub fn chunk_items(
        &self,
        op: &'static str,
        items: usize,
        sizes: &[usize],
    ) -> Result<Vec<Range<usize>>> {
        let largest = sizes.iter().copied().max().unwrap_or(1).max(1);
        let fits = self.max_binding_elements() / largest;
        if items <= fits {
            return Ok(std::iter::once(0..items).collect());
        }
        // The smallest step at which every tensor's range starts aligned.
        let step = sizes.iter().map(|&s| Self::ALIGNMENT / gcd(s, Self::ALIGNMENT)).max();
        let step = step.unwrap_or(1);
        let per_chunk = fits - fits % step;
        if per_chunk == 0 {
            return Err(Error::Memory {
                what: format!("one aligned part of {op} ({step} items of {largest} elements)"),
                needed: (step * largest * 4) as u64,
                device: self.name.clone(),
                available: self.max_binding_bytes,
                remedy: "use a smaller batch, or an adapter with larger storage bindings".into(),
            });
        }
        Ok((0..items).step_by(per_chunk).map(|i| i..(i + per_chunk).min(items)).collect())
    }
}

/// The range of elements that `items` take at `size` elements an item.
pub fn scaled(items: &Range<usize>, size: usize) -> Range<usize> {
    items.start * size..items.end * size
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_grids_cover_every_group() {
        let adapter = Adapter::webgpu_default();
        for groups in [1, 2, 65_535, 65_536, 147_457, 1 << 24] {
            let [x, y, z] = adapter.flat_grid(groups);
            assert!(x <= 65_535 && y <= 65_535 && z == 1);
            assert!(x as usize * y as usize >= groups);
        }
    }

    #[test]
    fn chunks_are_aligned_and_cover_everything_once() {
        let adapter = Adapter { max_binding_bytes: 8192, ..Adapter::webgpu_default() };
        for (items, sizes) in [(100, vec![96, 24]), (4096, vec![1]), (37, vec![48]), (640, vec![3])]
        {
            let chunks = adapter.chunk_items("test", items, &sizes).unwrap();
            let mut next = 0;
            for chunk in &chunks {
                assert_eq!(chunk.start, next);
                next = chunk.end;
                for &size in &sizes {
                    assert_eq!(chunk.start * size % Adapter::ALIGNMENT, 0);
                    assert!(chunk.len() * size <= adapter.max_binding_elements());
                }
            }
            assert_eq!(next, items);
        }
        assert!(adapter.chunk_items("test", 64, &[1023]).is_err());
    }
}
