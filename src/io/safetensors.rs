//! Named tensors in the `safetensors` format: an 8-byte little-endian header length, a JSON header
//! with type, shape and byte range of every tensor, then the elements. Other frameworks read these
//! files, and gabor reads theirs, whatever their floating-point or integer type.
//!
//! Format: <https://github.com/huggingface/safetensors>.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use ::safetensors::Dtype;
use serde_json::json;

use super::atomic::{io_error, write_atomic_with};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor, TensorType};

/// The header key that holds the metadata; no tensor may have this name.
const METADATA: &str = "__metadata__";

/// Bytes of the header's length, and what the header is padded to a multiple of.
const ALIGNMENT: usize = 8;

/// The content of one file: tensors by name and string metadata by key.
#[derive(Clone, PartialEq, Debug)]
pub struct TensorFile {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

/// Writes `tensors` and `metadata` to `path`, whole or not at all. The same content gives the same
/// bytes: tensors and metadata are in the order of their names.
///
/// # Errors
/// [`Error::Usage`] for a name that is given twice or reserved; [`Error::Io`] where the file cannot
/// be written.
pub fn save<N: Into<String>, T: Borrow<Tensor>>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (N, T)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let mut sorted = BTreeMap::new();
    for (name, tensor) in tensors {
        let name = name.into();
        if name == METADATA {
            return Err(Error::Usage(format!(
                "`{METADATA}` cannot be a tensor's name, the file format reserves it"
            )));
        }
        if sorted.contains_key(&name) {
            return Err(Error::Usage(format!("two tensors are named `{}`", name.escape_debug())));
        }
        sorted.insert(name, tensor);
    }

    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), json!(metadata));
    }
    let mut offset = 0;
    for (name, tensor) in &sorted {
        let tensor: &Tensor = tensor.borrow();
        let end = offset + tensor.bytes().len();
        let entry = json!({
            "dtype": dtype_name(tensor.dtype()),
            "shape": tensor.shape().dims(),
            "data_offsets": [offset, end],
        });
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');

    write_atomic_with(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.values().try_for_each(|tensor| out.write_all(tensor.borrow().bytes()))
    })
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it is truncated, damaged, or
/// holds a tensor of a type other than F32 and U32.
pub fn load(path: impl AsRef<Path>) -> Result<TensorFile> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<TensorFile> {
    let damaged = |error: ::safetensors::SafeTensorError| {
        let cause = error.to_string().replace(['\n', '\r'], " ");
        let problem = format!(
            "not a whole safetensors file ({cause}; {} bytes); copy it again or fall back on an older one",
            bytes.len()
        );
        Error::data(path, problem)
    };
    let (_, header) = ::safetensors::SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = ::safetensors::SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let tensor = tensor(view.dtype(), view.shape(), view.data());
        let tensor = tensor.map_err(|error| tensor_error(path, name, &error.to_string()))?;
        tensors.insert(name.to_owned(), tensor);
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { path: path.to_owned(), tensors, metadata })
}

impl TensorFile {
    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The metadata by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// [`Error::Data`] where the file has no such tensor; the message lists those it has.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| {
            let known: Vec<_> =
                self.tensors.keys().take(8).map(|n| n.escape_debug().to_string()).collect();
            let rest = match self.tensors.len() - known.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            tensor_error(&self.path, name, &format!("not in the file, which has {known}{rest}"))
        })
    }

    /// The tensor `name`, which must have the type `ty`.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`Error::Data`] where shape or element type differ.
    pub fn get_as(&self, name: &str, ty: &TensorType) -> Result<&Tensor> {
        let tensor = self.get(name)?;
        if tensor.ty() != *ty {
            let problem = format!("{} in the file, {ty} is needed", tensor.ty());
            return Err(tensor_error(&self.path, name, &problem));
        }
        Ok(tensor)
    }

    /// The metadata value of `key`.
    ///
    /// # Errors
    /// [`Error::Data`] where the file has no such key.
    pub fn meta(&self, key: &str) -> Result<&str> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| {
            Error::data(&self.path, format!("has no metadata `{}`", key.escape_debug()))
        })
    }

    /// The tensors and the metadata, for a caller that wants to own them.
    pub fn into_parts(self) -> (BTreeMap<String, Tensor>, BTreeMap<String, String>) {
        (self.tensors, self.metadata)
    }
}

fn tensor_error(path: &Path, name: &str, problem: &str) -> Error {
    Error::data(path, format!("tensor `{}`: {problem}", name.escape_debug()))
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::F16 => "F32",
        DType::U32 => "U32",
    }
}

/// Elements as gabor computes with them: floating-point ones as `f32`, rounded where they are wider,
/// and integers as `u32`, negative ones in two's complement.
fn tensor(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    match dtype {
        Dtype::F64 => Tensor::f32(shape, words(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F32 => Tensor::f32(shape, words(bytes, f32::from_le_bytes)),
        Dtype::F16 => Tensor::f32(shape, words(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Tensor::f32(shape, words(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::U32 => Tensor::u32(shape, words(bytes, u32::from_le_bytes)),
        Dtype::I32 => Tensor::u32(shape, words(bytes, |b| i32::from_le_bytes(b) as u32)),
        Dtype::U8 | Dtype::BOOL => Tensor::u32(shape, words(bytes, |[b]| u32::from(b))),
        Dtype::I64 => {
            let wide = words(bytes, i64::from_le_bytes);
            let narrow = wide.iter().map(|&x| i32::try_from(x).map(|x| x as u32));
            let narrow = narrow.collect::<Result<_, _>>().map_err(|_| {
                Error::Usage("an integer does not fit 32 bits; convert the file".into())
            })?;
            Tensor::u32(shape, narrow)
        }
        other => Err(Error::Usage(format!(
            "its elements are {other}, gabor reads floating-point and integer ones; convert the file"
        ))),
    }
}

fn words<T, const N: usize>(bytes: &[u8], word: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&b| word(b)).collect()
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
