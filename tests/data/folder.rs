//! Folders of pictures.

use std::collections::HashSet;
use std::path::Path;

use gabor::data::{
    self, Dataset, Loader, LoaderConfig, Normalise, OpenOptions, Source, Transform, Transforms,
};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

use super::random_bytes;

/// A picture of one colour with some noise.
fn picture(width: u32, height: u32, colour: [u8; 3], stream: u32) -> RgbImage {
    let noise = random_bytes((width * height) as usize, 8, stream);
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(colour.map(|c| c.saturating_add(noise[(y * width + x) as usize])))
    })
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// `count` pictures of two classes, red ones under `a` and blue ones under `b`.
fn write(dir: &Path, count: u32) {
    for (class, colour) in [("a", [200, 10, 10]), ("b", [10, 10, 200])] {
        std::fs::create_dir_all(dir.join(class)).unwrap();
        for i in 0..count {
            let image = picture(20 + 7 * i % 30, 20 + 5 * i % 20, colour, i);
            let (end, format) = match i % 2 {
                0 => ("JPEG", ImageFormat::Jpeg),
                _ => ("png", ImageFormat::Png),
            };
            let path = dir.join(class).join(format!("{i:03}.{end}"));
            std::fs::write(path, encoded(&image, format)).unwrap();
        }
    }
}

fn folder(count: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), count);
    dir
}

fn options(max_bad: usize) -> OpenOptions {
    OpenOptions { max_bad, image_size: 16, ..OpenOptions::default() }
}

fn open(dir: &Path, max_bad: usize) -> gabor::error::Result<Source> {
    data::open_with(&format!("folder:{}", dir.display()), &options(max_bad))
}

/// How many images of each class there are, checked by their colour.
fn counts(set: &dyn Dataset) -> [usize; 2] {
    let (mut counts, mut pixels) = ([0; 2], vec![0; 3 * 16 * 16]);
    for index in 0..set.len() {
        let Some(label) = set.try_load(index, &mut pixels).unwrap() else { continue };
        assert_eq!(label, set.label(index).unwrap());
        assert_eq!(pixels[0] < pixels[512], label == 1, "{pixels:?}");
        counts[label as usize] += 1;
    }
    counts
}

#[test]
fn a_folder_is_split_alike_every_time() {
    let dir = folder(10);
    std::fs::write(dir.path().join("a/notes.txt"), "not a picture").unwrap();
    std::fs::write(dir.path().join("a/.hidden.png"), "not a picture").unwrap();
    std::fs::write(dir.path().join("readme.md"), "not a class").unwrap();
    let source = open(dir.path(), 0).unwrap();
    assert_eq!(source.train.classes(), ["a", "b"]);
    assert_eq!((source.train.shape(), source.test.shape()), ([3, 16, 16], [3, 16, 16]));
    assert_eq!((counts(&*source.train), counts(&*source.test)), ([8, 8], [2, 2]));
    let images = |set: &dyn Dataset| {
        let image = |i| set.picture(i, vec![]).unwrap().unwrap().0.bytes().to_vec();
        (0..set.len()).map(image).collect::<HashSet<_>>()
    };
    let (train, test) = (images(&*source.train), images(&*source.test));
    assert!(train.is_disjoint(&test) && train.len() + test.len() == 20);
    assert_eq!(images(&*open(dir.path(), 0).unwrap().test), test);
    let other = OpenOptions { seed: 1, ..options(0) };
    let other = data::open_with(&format!("folder:{}", dir.path().display()), &other).unwrap();
    assert_ne!(images(&*other.test), test);
}

#[test]
fn train_and_val_are_taken_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("train"), 5);
    write(&dir.path().join("val"), 3);
    std::fs::create_dir(dir.path().join("val/a/more")).unwrap();
    std::fs::rename(dir.path().join("val/a/001.png"), dir.path().join("val/a/more/x.png")).unwrap();
    let source = open(dir.path(), 0).unwrap();
    assert_eq!((counts(&*source.train), counts(&*source.test)), ([5, 5], [3, 3]));
    let class = dir.path().join("val/c");
    std::fs::create_dir(&class).unwrap();
    std::fs::copy(dir.path().join("val/a/000.JPEG"), class.join("0.jpg")).unwrap();
    let error = open(dir.path(), 0).unwrap_err().to_string();
    assert!(error.contains("class `c` has no training pictures"), "{error}");
}

#[test]
fn pictures_go_through_transforms_from_their_own_size() {
    let dir = folder(6);
    let source = open(dir.path(), 0).unwrap();
    let list = vec![
        Transform::Resize { size: 32, exact: false },
        Transform::Crop { size: 24, padding: 0 },
        Transform::Flip { chance: 0.5 },
    ];
    let transforms = Transforms::new(list).unwrap();
    let batches = |threads| {
        let config = LoaderConfig {
            transforms: transforms.clone(),
            shuffle: true,
            threads,
            ..LoaderConfig::new(4, source.normalise.clone())
        };
        let loader = Loader::new(source.train.clone(), config).unwrap();
        assert_eq!(loader.shape(), [3, 24, 24]);
        loader.epoch(0).map(|b| b.unwrap().images.clone()).collect::<Vec<_>>()
    };
    assert_eq!(batches(1), batches(3));
}

/// A PNG file that says it has this many pixels and holds none to speak of.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(&picture(2, 2, [1, 2, 3], 0), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

/// The sum of a PNG chunk, by definition.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    })
}

#[test]
fn broken_files_are_named_counted_and_left_out() {
    let image = picture(24, 24, [200, 10, 10], 1);
    let (jpeg, png) = (encoded(&image, ImageFormat::Jpeg), encoded(&image, ImageFormat::Png));
    let edited = |file: &[u8], at: usize, bytes: &[u8]| {
        let mut file = file.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    // The JPEG's frame header, with height and width at 5 and 7.
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty.jpg", vec![]),
        ("zeros.jpg", vec![0; 1000]),
        ("text.jpg", b"<html>404 not found</html>".to_vec()),
        ("half a magic number.jpg", vec![0xff]),
        ("magic number only.jpg", jpeg[..3].to_vec()),
        ("half a header.jpg", jpeg[..frame + 6].to_vec()),
        ("header only.jpg", jpeg[..frame + 19].to_vec()),
        ("half.jpg", jpeg[..jpeg.len() / 2].to_vec()),
        ("without its end.jpg", jpeg[..jpeg.len() - 2].to_vec()),
        ("zero height.jpg", edited(&jpeg, frame + 5, &[0, 0])),
        ("zero width.jpg", edited(&jpeg, frame + 7, &[0, 0])),
        ("bomb.jpg", edited(&jpeg, frame + 5, &[0xff; 4])),
        ("wrong magic.png", edited(&png, 0, &[0x88])),
        ("wrong header.png", edited(&png, 12, b"IHDX")),
        ("half.png", png[..png.len() / 2].to_vec()),
        ("header only.png", png[..33].to_vec()),
        ("wrong sum.png", edited(&png, 30, &[png[30] ^ 1])),
        ("damaged data.png", edited(&png, 60, &[png[60] ^ 0xff; 40])),
        ("wide bomb.png", bomb(40_000, 2)),
        ("square bomb.png", bomb(30_000, 30_000)),
        ("overflow.png", bomb(u32::MAX, u32::MAX)),
        ("no pixels.png", bomb(0, 5)),
        ("a gif.png", b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0;".to_vec()),
    ];
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("train"), 4);
    write(&dir.path().join("val"), 2);
    for (name, content) in &cases {
        std::fs::write(dir.path().join("train/a").join(name), content).unwrap();
    }
    let bad = cases.len();
    let source = open(dir.path(), bad).unwrap();
    assert_eq!(source.train.len(), 8 + bad);
    assert_eq!(counts(&*source.train), [4, 4]);
    let skipped = source.train.skipped();
    assert_eq!(skipped.len(), bad, "{skipped:?}");
    for (name, _) in &cases {
        let found = skipped.iter().find(|s| s.path.ends_with(format!("train/a/{name}")));
        let problem = &found.unwrap_or_else(|| panic!("{name} is not named")).problem;
        assert!(!problem.is_empty() && !problem.contains('\n'), "{name}: {problem}");
        println!("{name}: {problem}");
    }
    // The same images come whatever the number of threads; batches are shorter.
    let labels = |threads| {
        let config = LoaderConfig { threads, ..LoaderConfig::new(4, source.normalise.clone()) };
        let loader = Loader::new(source.train.clone(), config).unwrap();
        let batches = loader.epoch(0).map(|b| b.unwrap());
        batches.map(|b| (b.images.len(), b.len, b.labels.clone())).collect::<Vec<_>>()
    };
    let batches = labels(1);
    assert_eq!(batches, labels(3));
    assert_eq!(batches.iter().map(|b| b.1).sum::<usize>(), 8);
    assert!(batches.iter().all(|b| b.1 > 0 && b.0 == b.1 * 768 && b.2.len() == b.1));

    // One more than may be broken ends it, with the file's name and the remedy.
    let end = |max_bad: usize| {
        let normalise = Normalise::new(vec![0.5; 3], vec![0.5; 3]).unwrap();
        let source = open(dir.path(), max_bad);
        let error = match source {
            Err(error) => error,
            Ok(source) => {
                let loader = Loader::new(source.train, LoaderConfig::new(4, normalise)).unwrap();
                loader.epoch(0).find_map(Result::err).expect("an error")
            }
        };
        error.to_string()
    };
    for (max_bad, word) in [(0, "--max-bad N"), (bad - 1, "more than the 22 of --max-bad")] {
        let error = end(max_bad);
        assert!(error.contains("train/a/") && error.contains(word), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn folders_that_cannot_be_used_are_refused() {
    let refused = |change: &dyn Fn(&Path), word: &str| {
        let dir = folder(3);
        change(dir.path());
        let error = open(dir.path(), 0).expect_err(word).to_string();
        println!("{error}");
        assert!(error.contains(word) && !error.contains('\n'), "{error}");
    };
    let remove = |path: &Path| std::fs::remove_dir_all(path).unwrap();
    refused(&|dir| remove(dir), "give a folder");
    refused(
        &|dir| {
            remove(&dir.join("a"));
            remove(&dir.join("b"));
        },
        "holds no folders",
    );
    refused(&|dir| std::fs::create_dir(dir.join("c")).unwrap(), "holds no PNG or JPEG files");
    refused(
        &|dir| {
            std::fs::create_dir(dir.join("c")).unwrap();
            std::fs::copy(dir.join("a/001.png"), dir.join("c/1.png")).unwrap();
        },
        "one image only",
    );
    let file = folder(1).path().join("a/000.JPEG");
    assert!(open(&file, 0).is_err());
    let size = OpenOptions { image_size: 0, ..options(0) };
    let dir = folder(2);
    let error = data::open_with(&format!("folder:{}", dir.path().display()), &size);
    assert!(error.unwrap_err().to_string().contains("image-size"));
}

#[cfg(unix)]
#[test]
fn links_and_strange_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    // Links to files and folders elsewhere are followed; file names need not be text.
    let (dir, elsewhere) = (folder(3), folder(2));
    symlink(elsewhere.path().join("a"), dir.path().join("a/more")).unwrap();
    symlink(elsewhere.path().join("b/000.JPEG"), dir.path().join("b/linked.jpg")).unwrap();
    let strange = OsStr::from_bytes(b"\xff\xfe name.png");
    std::fs::copy(dir.path().join("b/001.png"), dir.path().join("b").join(strange)).unwrap();
    let source = open(dir.path(), 0).unwrap();
    let sum = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
    assert_eq!(sum(counts(&*source.train), counts(&*source.test)), [5, 5]);

    // A link that leads nowhere is a broken file; a pipe is not opened.
    let read_all = |dir: &Path| {
        let source = open(dir, 0)?;
        let mut pixels = vec![0; 768];
        for set in [source.train, source.test] {
            (0..set.len()).try_for_each(|i| set.load(i, &mut pixels).map(drop))?;
        }
        Ok::<(), gabor::error::Error>(())
    };
    read_all(dir.path()).unwrap();
    symlink("nowhere", dir.path().join("a/dead.png")).unwrap();
    let error = read_all(dir.path()).unwrap_err().to_string();
    assert!(error.contains("dead.png"), "{error}");
    std::fs::remove_file(dir.path().join("a/dead.png")).unwrap();
    let pipe = dir.path().join("a/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        let error = read_all(dir.path()).unwrap_err().to_string();
        assert!(error.contains("pipe.png: is not a file"), "{error}");
        std::fs::remove_file(pipe).unwrap();
    }

    // Circles, and a class whose name is not text.
    for (from, to) in [(".", "a/loop"), ("a", "a/self")] {
        let link = dir.path().join(to);
        symlink(dir.path().join(from), &link).unwrap();
        let error = open(dir.path(), 0).unwrap_err().to_string();
        assert!(error.contains("in which it lies"), "{error}");
        std::fs::remove_file(link).unwrap();
    }
    symlink("self", dir.path().join("self")).unwrap();
    open(dir.path(), 0).unwrap();
    std::fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xff"))).unwrap();
    let error = open(dir.path(), 0).unwrap_err().to_string();
    assert!(error.contains("UTF-8"), "{error}");
}
