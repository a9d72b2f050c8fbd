//! Which cooperative matrices a kernel multiplies, and how `shaders/lib/cooperative_tile.wgsl` is told.

use crate::kernel::{Adapter, Constant};

/// The matrices of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Matrices {
    /// Rows and columns: 8 or 16.
    side: u32,
    /// Whether the factors are in half precision.
    half: bool,
    /// The invocations of a workgroup, and the most subgroups that they are.
    threads: u32,
    subgroups: u32,
}

impl Matrices {
    /// Those with factors in half precision, and in single precision, that `adapter` has.
    pub fn of(adapter: &Adapter) -> [Option<Self>; 2] {
        let Some((least, most)) = adapter.subgroups else { return [None; 2] };
        // Subgroups may be smaller than that; there are then more than the 8 that are needed.
        let threads = 8 * most;
        let subgroups = threads / least.max(1);
        let sides = [(adapter.cooperative.half, true), (adapter.cooperative.single, false)];
        sides.map(|(side, half)| {
            let matrices = Matrices { side: side?, half, threads, subgroups };
            let fits = threads <= adapter.max_invocations
                && matrices.fetches() <= 4
                && matrices.workgroup_memory() <= adapter.workgroup_memory;
            (fits && matches!(matrices.side, 8 | 16)).then_some(matrices)
        })
    }

    /// What `kernels` are offered with them in half and in single precision, and the others, best guess
    /// first. Where factors are in half precision there is hardware for them; software adapters imitate it.
    pub fn ranked<T>(adapter: &Adapter, [half, single]: [Vec<T>; 2], others: Vec<T>) -> Vec<T> {
        let order =
            if adapter.is_software() { [others, half, single] } else { [half, others, single] };
        order.into_iter().flatten().collect()
    }

    /// Whether the factors are in half precision.
    pub fn are_half(self) -> bool {
        self.half
    }

    /// The name of a variant.
    pub fn name(self) -> &'static str {
        if self.half { "cooperative" } else { "cooperative_single" }
    }

    /// The name of a variant that sums in parts.
    pub fn split_name(self) -> &'static str {
        if self.half { "cooperative_split_k" } else { "cooperative_single_split_k" }
    }

    /// The side of a workgroup's block of the product.
    pub fn tile(self) -> u32 {
        8 * self.side
    }

    /// What the shader must be told.
    pub fn constants(self) -> [(&'static str, Constant); 3] {
        let file = match (self.side, self.half) {
            (16, _) => "lib/cooperative_16.wgsl",
            (_, true) => "lib/cooperative_8.wgsl",
            (_, false) => "lib/cooperative_8_single.wgsl",
        };
        let [threads, subgroups] = [self.threads, self.subgroups].map(Constant::U32);
        [("THREADS", threads), ("SUBGROUPS", subgroups), ("MATRICES", file.into())]
    }

    /// Blocks of 4 x 4 that an invocation fetches at a time.
    fn fetches(self) -> u32 {
        (2 * self.tile() * STEP / 16).div_ceil(self.threads)
    }

    /// In bytes.
    fn workgroup_memory(self) -> u32 {
        let size = if self.half { 2 } else { 4 };
        let left = self.tile() * (STEP + 8) * size;
        let right = STEP * (self.tile() + 8) * size;
        left + right + self.subgroups * self.side * self.side * 4
    }
}

/// Steps of k at a time.
const STEP: u32 = 32;
