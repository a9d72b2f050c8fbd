use proptest::prelude::*;

use super::*;

/// Random bit patterns: among them NaN payloads, infinities and subnormals, which must survive.
fn sample() -> Vec<(String, Tensor)> {
    let mut stream = crate::philox::Stream::new(11, [0; 3]);
    let mut tensor = |dims: &[usize], float: bool| {
        let words: Vec<u32> = (0..dims.iter().product()).map(|_| stream.word()).collect();
        match float {
            true => Tensor::f32(dims, words.into_iter().map(f32::from_bits).collect()).unwrap(),
            false => Tensor::u32(dims, words).unwrap(),
        }
    };
    vec![
        ("features/conv1.weight".into(), tensor(&[5, 3, 7, 7], true)),
        ("features/conv1.bias".into(), tensor(&[5], true)),
        ("step".into(), tensor(&[], false)),
        ("counter".into(), tensor(&[4], false)),
        ("nothing".into(), tensor(&[3, 0], true)),
        ("odd name \"\n\u{e9}".into(), tensor(&[3], true)),
    ]
}

fn meta() -> BTreeMap<String, String> {
    let pairs = [("model", "alexnet"), ("config", "a = 1\nb = \"2\"\n"), ("ümlaut", "→ ok")];
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn saved() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    save(&path, sample(), &meta()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes)
}

#[test]
fn everything_comes_back_bit_for_bit() {
    let (_folder, path, _) = saved();
    let file = load(&path).unwrap();
    assert_eq!(file.tensors().len(), sample().len());
    for (name, tensor) in sample() {
        let loaded = file.get_as(&name, &tensor.ty()).unwrap();
        assert_eq!(loaded.bytes(), tensor.bytes(), "{name}");
    }
    assert_eq!(file.metadata(), &meta());
    assert_eq!(file.meta("model").unwrap(), "alexnet");
    assert_eq!(file.path(), path);
}

#[test]
fn the_same_content_gives_the_same_bytes_in_any_order() {
    let (folder, _, bytes) = saved();
    let again = folder.path().join("again.safetensors");
    save(&again, sample().into_iter().rev(), &meta()).unwrap();
    assert_eq!(std::fs::read(again).unwrap(), bytes);
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0);
}

/// The format's own crate writes the same tensors; we read them.
#[test]
fn files_written_by_others_are_read() {
    let sample = sample();
    let views = sample.iter().map(|(name, tensor)| {
        let dtype = match tensor.dtype() {
            DType::F32 | DType::F16 => ::safetensors::Dtype::F32,
            DType::U32 => ::safetensors::Dtype::U32,
        };
        let shape = tensor.shape().dims().to_vec();
        (name, ::safetensors::tensor::TensorView::new(dtype, shape, tensor.bytes()).unwrap())
    });
    let bytes = ::safetensors::serialize(views, None).unwrap();
    let file = parse(Path::new("theirs"), &bytes).unwrap();
    for (name, tensor) in &sample {
        assert_eq!(file.get(name).unwrap().bytes(), tensor.bytes());
    }
    assert!(file.metadata().is_empty());
}

#[test]
fn names_must_be_distinct_and_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let tensor = Tensor::scalar(0.5);
    let twice = [("a", &tensor), ("a", &tensor)];
    assert_eq!(save(&path, twice, &meta()).unwrap_err().to_string(), "two tensors are named `a`");
    let error = save(&path, [("__metadata__", &tensor)], &meta()).unwrap_err();
    assert!(error.to_string().contains("reserves"), "{error}");
    assert!(!path.exists());
}

#[test]
fn every_truncation_is_noticed() {
    let (_folder, path, bytes) = saved();
    for length in 0..bytes.len() {
        let message = parse(&path, &bytes[..length]).unwrap_err().to_string();
        assert!(message.contains("not a whole safetensors file"), "{length}: {message}");
        assert!(message.starts_with(&*path.to_string_lossy()), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(parse(&path, &longer).is_err());
}

#[test]
fn errors_name_file_and_tensor() {
    let (_folder, path, _) = saved();
    let file = load(&path).unwrap();
    let at = path.to_string_lossy();
    assert_eq!(
        file.get_as("step", &TensorType::f32([4])).unwrap_err().to_string(),
        format!("{at}: tensor `step`: u32[] in the file, f32[4] is needed")
    );
    let message = file.get("conv9.weight").unwrap_err().to_string();
    assert!(message.starts_with(&format!("{at}: tensor `conv9.weight`: not in the file")));
    assert!(message.contains("features/conv1.bias"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    let message = file.meta("epoch").unwrap_err().to_string();
    assert_eq!(message, format!("{at}: has no metadata `epoch`"));

    let message = load(path.with_extension("none")).unwrap_err().to_string();
    assert!(message.contains("w.none") && message.contains("check the path"), "{message}");
}

fn one_tensor(dtype: &str, elements: usize, data: &[u8]) -> Vec<u8> {
    let end = data.len();
    let header =
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":[{elements}],"data_offsets":[0,{end}]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn other_element_types_are_converted() {
    let halves = [0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00]; // 1, -2, the smallest above 0
    let file = parse(Path::new("w"), &one_tensor("F16", 3, &halves)).unwrap();
    assert_eq!(file.get("x").unwrap().as_f32().unwrap(), [1.0, -2.0, 2f32.powi(-24)]);
    let file = parse(Path::new("w"), &one_tensor("BF16", 1, &[0x80, 0xbf])).unwrap();
    assert_eq!(file.get("x").unwrap().as_f32().unwrap(), [-1.0]);
    let file = parse(Path::new("w"), &one_tensor("F64", 1, &1e-3f64.to_le_bytes())).unwrap();
    assert_eq!(file.get("x").unwrap().as_f32().unwrap(), [1e-3]);
    let file = parse(Path::new("w"), &one_tensor("I64", 1, &(-100i64).to_le_bytes())).unwrap();
    assert_eq!(file.get("x").unwrap().as_u32().unwrap(), [-100i32 as u32]);
    let message = parse(Path::new("w"), &one_tensor("I64", 1, &(1i64 << 40).to_le_bytes()));
    assert!(message.unwrap_err().to_string().contains("does not fit 32 bits"));
}

#[test]
fn element_types_without_a_number_are_refused_by_name() {
    let message =
        parse(Path::new("w"), &one_tensor("F8_E4M3", 2, &[1, 2])).unwrap_err().to_string();
    assert!(message.starts_with("w: tensor `x`: its elements are F8_E4M3"), "{message}");
}

proptest! {
    /// A damaged file is an error or other content, and never a panic.
    #[test]
    fn damage_never_panics(at in 0usize..1500, value: u8, length in 0usize..1500) {
        let (_folder, path, mut bytes) = saved();
        let at = at.min(bytes.len() - 1);
        bytes[at] = value;
        let _ = parse(&path, &bytes);
        let _ = parse(&path, &bytes[..length.min(bytes.len())]);
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(Path::new("noise"), &bytes).is_err());
    }
}
