//! Data sets through the public interface, and files that are not what they should be.

mod cifar;
#[cfg(feature = "download")]
mod download;
#[cfg(feature = "images")]
mod folder;

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gabor::data::{self, Dataset, Loader, LoaderConfig, Source};
use gabor::philox::Stream;
use tempfile::TempDir;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
const IMAGES: usize = 0;
const LABELS: usize = 1;
const TEST_IMAGES: usize = 2;
const TEST_LABELS: usize = 3;

/// An IDX file of unsigned bytes with this header.
fn idx(extents: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, extents.len() as u8];
    for extent in extents {
        file.extend(extent.to_be_bytes());
    }
    file.extend(elements);
    file
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn random_bytes(count: usize, below: u32, stream: u32) -> Vec<u8> {
    let mut random = Stream::new(23, [stream, 0, 0]);
    (0..count).map(|_| random.below(below) as u8).collect()
}

/// Twelve training and five test images of 4x3, labels 0 to 6.
fn good() -> [Vec<u8>; 4] {
    let mut labels = random_bytes(12, 7, 1);
    labels[4] = 6;
    [
        idx(&[12, 4, 3], &random_bytes(144, 256, 0)),
        idx(&[12], &labels),
        idx(&[5, 4, 3], &random_bytes(60, 256, 2)),
        idx(&[5], &random_bytes(5, 7, 3)),
    ]
}

fn write(files: &[Vec<u8>; 4]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in NAMES.iter().zip(files) {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn open(dir: &Path) -> gabor::error::Result<Source> {
    data::open(&format!("idx:{}", dir.display()))
}

/// All bytes and labels of a set.
fn content(dataset: &dyn Dataset) -> (Vec<u8>, Vec<u8>) {
    let size: usize = dataset.shape().iter().product();
    let mut pixels = vec![0; size * dataset.len()];
    let labels = pixels
        .chunks_exact_mut(size)
        .enumerate()
        .map(|(index, image)| dataset.load(index, image).unwrap() as u8)
        .collect();
    (pixels, labels)
}

fn check_good(dir: &Path) {
    let source = open(dir).unwrap();
    let files = good();
    assert_eq!(source.train.shape(), [1, 4, 3]);
    assert_eq!(source.train.classes(), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(source.test.classes(), source.train.classes());
    assert_eq!(content(&*source.train), (files[0][16..].to_vec(), files[1][8..].to_vec()));
    assert_eq!(content(&*source.test), (files[2][16..].to_vec(), files[3][8..].to_vec()));
}

#[test]
fn reads_plain_files() {
    check_good(write(&good()).path());
}

#[test]
fn reads_gzip_by_content_whatever_the_name() {
    let dir = write(&good().map(|file| gzip(&file)));
    check_good(dir.path());
    for (name, file) in NAMES.iter().zip(good()) {
        std::fs::remove_file(dir.path().join(name)).unwrap();
        // A plain file whose name says otherwise.
        std::fs::write(dir.path().join(format!("{name}.gz")), file).unwrap();
    }
    check_good(dir.path());
}

#[test]
fn reads_names_with_a_dot_and_gzip_in_several_members() {
    let dir = write(&good());
    for (name, file) in NAMES.iter().zip(good()) {
        std::fs::remove_file(dir.path().join(name)).unwrap();
        let dotted = name.replace("-idx", ".idx") + ".gz";
        let members = [gzip(&file[..9]), gzip(&file[9..])].concat();
        std::fs::write(dir.path().join(dotted), members).unwrap();
    }
    check_good(dir.path());
}

/// The error of a folder in which file `which` is replaced: one line that names the file.
fn error_with(which: usize, file: Vec<u8>) -> String {
    let mut files = good();
    files[which] = file;
    let dir = write(&files);
    let error = open(dir.path()).expect_err("an error").to_string();
    assert!(!error.contains('\n'), "{error}");
    assert!(error.contains(NAMES[which]), "{error} does not name {}", NAMES[which]);
    error
}

#[test]
fn malformed_files_are_one_line_errors() {
    let [images, labels, ..] = good();
    let edited = |file: &[u8], at: usize, bytes: &[u8]| {
        let mut file = file.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let zipped = gzip(&images);
    let mut bad_checksum = zipped.clone();
    let checksum = bad_checksum.len() - 8;
    bad_checksum[checksum] ^= 1;
    let bomb = gzip(&[idx(&[12, 4, 3], &[]), vec![0; 50_000_000]].concat());
    let cases: Vec<(&str, usize, Vec<u8>, &str)> = vec![
        ("empty", IMAGES, vec![], "cut short"),
        ("half a magic number", IMAGES, images[..3].to_vec(), "cut short"),
        ("half a header", IMAGES, images[..14].to_vec(), "cut short"),
        ("no elements", IMAGES, images[..16].to_vec(), "12 x 4 x 3"),
        ("one byte less", IMAGES, images[..images.len() - 1].to_vec(), "159 bytes"),
        ("one byte more", IMAGES, [&images[..], &[1]].concat(), "goes on after the 144"),
        ("labels for images", IMAGES, labels.clone(), "a label file"),
        ("images for labels", LABELS, images.clone(), "an image file"),
        ("floats", IMAGES, edited(&images, 2, &[0x0d]), "another type or rank"),
        ("rank 2", IMAGES, edited(&images, 3, &[2]), "another type or rank"),
        ("text", IMAGES, b"<html>404 not found</html>".to_vec(), "not an IDX file"),
        ("little-endian", IMAGES, edited(&images, 0, &[3, 8, 0, 0]), "not an IDX file"),
        ("no images", IMAGES, idx(&[0, 4, 3], &[]), "may be 0"),
        ("height 0", IMAGES, idx(&[12, 0, 3], &[]), "may be 0"),
        ("no labels", LABELS, idx(&[0], &[]), "may be 0"),
        ("count overflows", IMAGES, edited(&images, 4, &[0xff; 12]), "corrupt"),
        ("count wraps to 0", IMAGES, idx(&[1 << 31, 1 << 31, 4], &[1; 144]), "corrupt"),
        ("count beyond the file", IMAGES, edited(&images, 4, &[0x7f; 4]), "a file of this size"),
        ("labels beyond the file", LABELS, edited(&labels, 4, &[0xff; 4]), "a file of this size"),
        ("gzip cut", IMAGES, zipped[..zipped.len() / 2].to_vec(), "cut short"),
        ("gzip without its end", IMAGES, zipped[..zipped.len() - 4].to_vec(), "cut short"),
        ("gzip header only", IMAGES, zipped[..2].to_vec(), "cut short"),
        ("gzip checksum", IMAGES, bad_checksum, "a whole IDX file was expected"),
        ("gzip and more", IMAGES, [&zipped[..], b"more"].concat(), "a whole IDX file was expected"),
        ("gzip in gzip", IMAGES, gzip(&zipped), "gzip within gzip"),
        ("gzip of too little", IMAGES, gzip(&images[..80]), "ends after 64 of the 144"),
        ("gzip bomb", IMAGES, bomb, "goes on after the 144"),
        ("gzip, huge count", IMAGES, gzip(&edited(&images, 4, &[0xff; 4])), "a file of this size"),
        ("fewer images", IMAGES, idx(&[11, 4, 3], &[5; 132]), "11 images"),
        ("more test labels", TEST_IMAGES, idx(&[4, 4, 3], &[5; 48]), "5 labels"),
        ("other size", TEST_IMAGES, idx(&[5, 3, 4], &[5; 60]), "3x4"),
        ("new class in the test", TEST_LABELS, idx(&[5], &[0, 1, 2, 7, 3]), "label 7 at index 3"),
    ];
    for (case, which, file, expected) in cases {
        let error = error_with(which, file);
        assert!(error.contains(expected), "{case}: {error}");
        println!("{case}: {error}");
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let dir = write(&good());
    std::fs::remove_file(dir.path().join(NAMES[LABELS])).unwrap();
    std::fs::remove_file(dir.path().join(NAMES[TEST_IMAGES])).unwrap();
    let error = open(dir.path()).err().unwrap().to_string();
    assert!(error.contains(NAMES[LABELS]) && error.contains(NAMES[TEST_IMAGES]), "{error}");
    assert!(!error.contains(NAMES[IMAGES]), "{error}");

    let nowhere = open(&dir.path().join("nowhere")).err().unwrap().to_string();
    assert!(nowhere.contains("nowhere") && nowhere.contains("folder"), "{nowhere}");
    let file = open(&dir.path().join(NAMES[IMAGES])).err().unwrap().to_string();
    assert!(file.contains("is not a folder"), "{file}");

    std::fs::create_dir(dir.path().join(NAMES[LABELS])).unwrap();
    std::fs::write(dir.path().join(NAMES[TEST_IMAGES]), &good()[TEST_IMAGES]).unwrap();
    let folder = open(dir.path()).err().unwrap().to_string();
    assert!(folder.contains(NAMES[LABELS]) && folder.contains("is not a file"), "{folder}");
}

#[test]
fn damaged_files_never_panic() {
    // Every byte of header and elements changed, and every length.
    let files = good();
    for which in [IMAGES, LABELS] {
        let original = &files[which];
        for at in 0..original.len() {
            for change in [1u8, 0x80, 0xff] {
                let mut file = original.clone();
                file[at] ^= change;
                try_open(which, file, &files);
            }
            try_open(which, original[..at].to_vec(), &files);
        }
        let zipped = gzip(original);
        for at in 0..zipped.len() {
            let mut file = zipped.clone();
            file[at] ^= 0x55;
            try_open(which, file, &files);
            try_open(which, zipped[..at].to_vec(), &files);
        }
    }
}

/// Opens a folder with one file replaced; an error must be one line.
fn try_open(which: usize, file: Vec<u8>, files: &[Vec<u8>; 4]) {
    let mut files = files.clone();
    files[which] = file;
    let dir = write(&files);
    if let Err(error) = open(dir.path()) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn the_embedded_digits_are_the_files_in_assets() {
    let assets: PathBuf = [env!("CARGO_MANIFEST_DIR"), "assets", "mnist5k"].iter().collect();
    let (embedded, read) = (data::open("digits").unwrap(), open(&assets).unwrap());
    assert_eq!(content(&*embedded.train), content(&*read.train));
    assert_eq!(content(&*embedded.test), content(&*read.test));
    assert_eq!(embedded.normalise, read.normalise);
}

#[test]
fn a_loader_batches_an_opened_source() {
    for name in ["digits", "photos"] {
        if name == "photos" && !cfg!(feature = "images") {
            continue;
        }
        let source = data::open(name).unwrap();
        let config = LoaderConfig {
            seed: 1,
            shuffle: true,
            transforms: source.augment.clone().into(),
            ..LoaderConfig::new(128, source.normalise.clone())
        };
        let loader = Loader::new(source.train.clone(), config).unwrap();
        let (mut images, mut sum, mut squares) = (0, 0f64, 0f64);
        let mut counts = vec![0usize; source.train.classes().len()];
        let start = std::time::Instant::now();
        for batch in loader.epoch(0) {
            let batch = batch.unwrap();
            images += batch.len;
            for &label in &batch.labels {
                counts[label as usize] += 1;
            }
            for &value in &batch.images {
                assert!(value.is_finite());
                sum += f64::from(value);
                squares += f64::from(value).powi(2);
            }
        }
        println!("{name}: {images} images in {:?}", start.elapsed());
        assert_eq!(images, source.train.len());
        assert!(counts.iter().all(|&count| count == images / counts.len()), "{counts:?}");
        // Augmentation moves mean and deviation a little.
        let n = (images * source.train.shape().iter().product::<usize>()) as f64;
        let (mean, std) = (sum / n, (squares / n - (sum / n).powi(2)).sqrt());
        assert!(mean.abs() < 0.1 && (std - 1.0).abs() < 0.1, "{name}: {mean} {std}");
    }
}
