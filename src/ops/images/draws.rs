//! What is drawn for an image, as a row of numbers.

use bytemuck::{Pod, Zeroable};

/// A part of an image, or more than it, mirrored or not: column `u` of what comes out is column `left +
/// u`, or `left - u` where mirrored, of what goes in, and row `v` is row `top + v`. All numbers are whole
/// and less than 2^24 in size.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
pub struct Window {
    /// 1, or -1 where left and right are exchanged.
    pub step: f32,
    /// The column from which column 0 comes.
    pub left: f32,
    /// The row from which row 0 comes.
    pub top: f32,
    /// The columns that come out, from the first to before the last; others are 0. What they come
    /// from is inside of what goes in.
    pub columns: [f32; 2],
    /// The rows that come out.
    pub rows: [f32; 2],
}

/// How an image is turned about its centre: with `x` and `y` from the centre of what comes out, less
/// `shift`, `across = cos x + sin y` and `down = cos y - sin x`, the place in what goes in is `mirror (across
/// - shear down)` to the right of its centre and `down` below it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
pub struct Turn {
    /// The cosine of the angle over the scale.
    pub cos: f32,
    /// The sine of the angle over the scale.
    pub sin: f32,
    /// The tangent of the angle by which vertical lines lean.
    pub shear: f32,
    /// 1, or -1 where left and right are exchanged.
    pub mirror: f32,
    /// Pixels to the right and down.
    pub shift: [f32; 2],
}

/// What happens to an image; see [`PrepareImages`](super::PrepareImages). The factor and the addend of each
/// channel follow it in a row of draws.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
pub struct ImageDraws {
    /// What is left of the image, its colours done.
    pub last: Window,
    /// Not used where nothing is turned.
    pub turn: Turn,
    /// The part of the bytes that is turned.
    pub first: Window,
    /// The factor of the contrast.
    pub contrast: f32,
    /// What is added after it, in steps of a byte.
    pub offset: f32,
    /// The factor of the distance from grey.
    pub saturation: f32,
    /// What is added to each of three channels.
    pub colour: [f32; 3],
    /// The columns that are hidden, from the first to before the last.
    pub hidden_columns: [f32; 2],
    /// The rows that are hidden.
    pub hidden_rows: [f32; 2],
}

impl Window {
    /// All of an image of this height and width.
    pub fn whole([height, width]: [usize; 2]) -> Self {
        let (columns, rows) = ([0.0, width as f32], [0.0, height as f32]);
        Window { step: 1.0, left: 0.0, top: 0.0, columns, rows }
    }

    /// Whether the pixel is one that comes out.
    pub(super) fn shows(&self, row: f32, column: f32) -> bool {
        holds(self.rows, row) && holds(self.columns, column)
    }
}

/// Whether `at` is from the first to before the last.
pub(super) fn holds([first, last]: [f32; 2], at: f32) -> bool {
    first <= at && at < last
}

impl Turn {
    /// The middle of a side.
    pub(super) fn centre(side: usize) -> f32 {
        (side as f32 - 1.0) / 2.0
    }
}

impl ImageDraws {
    /// The numbers of a row before the factors.
    pub const LEN: usize = size_of::<Self>() / size_of::<f32>();

    /// Nothing but the bytes of an image of this height and width.
    pub fn none(size: [usize; 2]) -> Self {
        ImageDraws {
            last: Window::whole(size),
            turn: Turn { cos: 1.0, sin: 0.0, shear: 0.0, mirror: 1.0, shift: [0.0; 2] },
            first: Window::whole(size),
            contrast: 1.0,
            offset: 0.0,
            saturation: 1.0,
            colour: [0.0; 3],
            hidden_columns: [0.0; 2],
            hidden_rows: [0.0; 2],
        }
    }

    /// The numbers, in the order of the fields.
    pub fn as_row(&self) -> &[f32] {
        bytemuck::cast_slice(std::slice::from_ref(self))
    }

    /// The draws in a row, and the factors and addends.
    pub(super) fn read(row: &[f32]) -> (Self, &[[f32; 2]]) {
        let (draws, lines) = row.split_at(Self::LEN);
        (bytemuck::pod_read_unaligned(bytemuck::cast_slice(draws)), bytemuck::cast_slice(lines))
    }
}
