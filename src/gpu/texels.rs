//! Copies of tensors in textures, for kernels that read texels: see
//! [`Dispatch::bind_texels`](crate::kernel::Dispatch::bind_texels).
//!
//! A copy is used by one dispatch only, the one after it, so a plan needs few textures: for the first
//! texels of a dispatch, for the second and so on, one of each number of columns, as high as the
//! highest copy.

use std::collections::HashMap;

use super::GpuEngine;
use crate::kernel::Adapter;

/// Four floats a texel.
pub(super) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

const TEXEL_BYTES: u64 = 16;

/// Columns that hold nothing. Rows whose distance is a power of two would share few places of a cache.
const SPARE_COLUMNS: u32 = 4;

/// A copy that a step makes.
#[derive(Clone, Debug)]
pub(super) struct TexelCopy {
    from: wgpu::Buffer,
    offset: u64,
    to: wgpu::Texture,
    columns: u32,
    texels: u32,
}

impl TexelCopy {
    pub(super) fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let rows = self.texels / self.columns;
        self.encode_rows(encoder, 0, [self.columns, rows]);
        self.encode_rows(encoder, rows, [self.texels % self.columns, 1]);
    }

    fn encode_rows(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        first: u32,
        [width, height]: [u32; 2],
    ) {
        if width == 0 || height == 0 {
            return;
        }
        let row_bytes = u64::from(self.columns) * TEXEL_BYTES;
        let from = wgpu::TexelCopyBufferInfo {
            buffer: &self.from,
            layout: wgpu::TexelCopyBufferLayout {
                offset: self.offset + u64::from(first) * row_bytes,
                bytes_per_row: Some(row_bytes as u32),
                rows_per_image: None,
            },
        };
        let to = wgpu::TexelCopyTextureInfo {
            texture: &self.to,
            mip_level: 0,
            origin: wgpu::Origin3d { x: 0, y: first, z: 0 },
            aspect: wgpu::TextureAspect::All,
        };
        let extent = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        encoder.copy_buffer_to_texture(from, to, extent);
    }
}

/// What is known of a copy before its texture is: the how-manieth of its dispatch, its columns.
pub(super) type Place = (usize, u32);

/// The textures of a plan.
#[derive(Default)]
pub(super) struct Texels {
    rows: HashMap<Place, u32>,
    textures: HashMap<Place, wgpu::Texture>,
}

impl Texels {
    /// Makes room for a copy of `bytes` bytes. What is wrong with it otherwise.
    pub(super) fn reserve(&mut self, place: Place, bytes: u64) -> Result<(), String> {
        let (_, columns) = place;
        if !columns.is_power_of_two() || columns < Adapter::LEAST_COLUMNS {
            return Err(format!("{columns} columns of texels are no power of two from 16 on"));
        }
        let rows = bytes.div_ceil(u64::from(columns) * TEXEL_BYTES);
        if rows > Adapter::MOST_ROWS.into() {
            return Err(format!("{bytes} bytes take {rows} rows of {columns} texels"));
        }
        let held = self.rows.entry(place).or_default();
        *held = (*held).max(rows as u32);
        Ok(())
    }

    /// The copy of a part of a buffer into a texture that was reserved, and the view to bind.
    pub(super) fn copy(
        &mut self,
        engine: &GpuEngine,
        place: Place,
        from: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> (TexelCopy, wgpu::TextureView) {
        let (_, columns) = place;
        let rows = self.rows.get(&place).copied().unwrap_or(1);
        let texture = self.textures.entry(place).or_insert_with(|| {
            engine.texture(wgpu::Extent3d {
                width: columns + SPARE_COLUMNS,
                height: rows,
                depth_or_array_layers: 1,
            })
        });
        let copy = TexelCopy {
            from: from.clone(),
            offset,
            to: texture.clone(),
            columns,
            texels: bytes.div_ceil(TEXEL_BYTES) as u32,
        };
        (copy, texture.create_view(&Default::default()))
    }
}
