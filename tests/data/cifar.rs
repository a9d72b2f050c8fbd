//! CIFAR's binary files and archives.

use std::path::Path;

use gabor::data::{self, Source};
use tempfile::TempDir;

use super::{content, gzip, random_bytes};

const PIXELS: usize = 3072;

/// The names and contents of a small CIFAR-10: two records a file.
fn ten() -> Vec<(String, Vec<u8>)> {
    let record = |file: u32, index: u32| {
        let label = ((3 * file + index) % 10) as u8;
        [vec![label], random_bytes(PIXELS, 256, 100 + 2 * file + index)].concat()
    };
    let file = |i: u32| [record(i, 0), record(i, 1)].concat();
    let mut files: Vec<_> = (1..6).map(|i| (format!("data_batch_{i}.bin"), file(i))).collect();
    files.push(("test_batch.bin".into(), file(0)));
    let names = "airplane automobile bird cat deer dog frog horse ship truck";
    files.push(("batches.meta.txt".into(), (names.replace(' ', "\n") + "\n\n").into_bytes()));
    files
}

/// A small CIFAR-100: three records and one.
fn hundred() -> Vec<(String, Vec<u8>)> {
    let record = |coarse: u8, fine: u8, stream: u32| {
        [vec![coarse, fine], random_bytes(PIXELS, 256, stream)].concat()
    };
    let train = [record(0, 99, 1), record(19, 0, 2), record(7, 50, 3)].concat();
    vec![("train.bin".into(), train), ("test.bin".into(), record(5, 98, 4))]
}

fn folder(files: &[(String, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// A tar archive with these files in a folder.
fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("some-folder/{name}"), &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn open(kind: &str, path: &Path) -> gabor::error::Result<Source> {
    data::open(&format!("{kind}:{}", path.display()))
}

fn check_ten(path: &Path) {
    let source = open("cifar10", path).unwrap();
    assert_eq!(source.train.shape(), [3, 32, 32]);
    assert_eq!(source.train.classes()[9], "truck");
    let (pixels, labels) = content(&*source.train);
    let files = ten();
    let expected: Vec<u8> = files[..5].iter().flat_map(|(_, f)| f.clone()).collect();
    let records = expected.chunks(PIXELS + 1);
    assert!(records.clone().map(|r| r[0]).eq(labels));
    assert!(records.flat_map(|r| r[1..].to_vec()).eq(pixels));
    assert_eq!(content(&*source.test).1, [files[5].1[0], files[5].1[PIXELS + 1]]);
}

#[test]
fn cifar_is_read_from_folders_and_archives() {
    let dir = folder(&ten());
    check_ten(dir.path());
    // The folder above it, and the archive by its path and in its folder.
    let above = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path(), above.path().join("cifar-10-batches-bin")).unwrap();
    check_ten(above.path());
    let archive = above.path().join("cifar-10-binary.tar.gz");
    std::fs::remove_dir_all(above.path().join("cifar-10-batches-bin")).unwrap();
    std::fs::write(&archive, gzip(&tar(&ten()))).unwrap();
    check_ten(&archive);
    check_ten(above.path());
}

#[test]
fn cifar_100_has_two_kinds_of_labels() {
    let dir = folder(&hundred());
    let labels = |kind: &str| content(&*open(kind, dir.path()).unwrap().train).1;
    assert_eq!(labels("cifar100"), [99, 0, 50]);
    assert_eq!(labels("cifar100-coarse"), [0, 19, 7]);
    let fine = open("cifar100", dir.path()).unwrap();
    assert_eq!((fine.train.classes().len(), fine.train.classes()[42].as_str()), (100, "42"));
    assert_eq!(content(&*fine.train).0[..PIXELS], hundred()[0].1[2..2 + PIXELS]);
}

#[test]
fn malformed_cifar_files_are_one_line_errors() {
    let files = ten();
    let test = &files[5].1;
    let edited = |at: usize, byte: u8| {
        let mut file = test.clone();
        file[at] = byte;
        file
    };
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("empty", "test_batch.bin", vec![], "0 bytes"),
        ("one byte", "test_batch.bin", vec![3], "1 bytes"),
        ("one byte less", "test_batch.bin", test[..test.len() - 1].to_vec(), "6145 bytes"),
        ("one byte more", "test_batch.bin", [&test[..], &[0]].concat(), "6147 bytes"),
        ("no label", "test_batch.bin", test[..PIXELS].to_vec(), "3072 bytes"),
        ("CIFAR-100's records", "data_batch_2.bin", hundred()[0].1.clone(), "9222 bytes"),
        ("text", "data_batch_1.bin", b"<html>404 not found</html>".to_vec(), "26 bytes"),
        ("gzip", "data_batch_1.bin", gzip(test), "bytes are not a row"),
        ("label 10", "test_batch.bin", edited(0, 10), "label 10 of record 0"),
        ("label 255", "test_batch.bin", edited(PIXELS + 1, 255), "label 255 of record 1"),
        ("zero names", "batches.meta.txt", vec![], "0 names"),
        ("nine names", "batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni".to_vec(), "9 names"),
        ("names that are not text", "batches.meta.txt", vec![0xff, 0xfe, 10], "not text"),
    ];
    for (case, name, content, word) in cases {
        let dir = folder(&files);
        std::fs::write(dir.path().join(name), content).unwrap();
        let error = open("cifar10", dir.path()).expect_err(case).to_string();
        assert!(error.contains(word) && error.contains(name), "{case}: {error}");
        assert!(!error.contains('\n'), "{case}: {error}");
        println!("{case}: {error}");
    }
    for missing in ["data_batch_3.bin", "test_batch.bin"] {
        let dir = folder(&files);
        std::fs::remove_file(dir.path().join(missing)).unwrap();
        let error = open("cifar10", dir.path()).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
    let dir = folder(&hundred());
    std::fs::write(dir.path().join("train.bin"), [vec![20, 5], vec![0; PIXELS]].concat()).unwrap();
    let error = open("cifar100-coarse", dir.path()).unwrap_err().to_string();
    assert!(error.contains("label 20"), "{error}");
    std::fs::remove_file(dir.path().join("train.bin")).unwrap();
    std::fs::create_dir(dir.path().join("train.bin")).unwrap();
    let error = open("cifar100", dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not a file"), "{error}");
    assert!(
        open("cifar10", Path::new("/nowhere/at/all")).unwrap_err().to_string().contains("give")
    );
}

#[test]
fn malformed_cifar_archives_are_one_line_errors() {
    let whole = tar(&ten());
    let zipped = gzip(&whole);
    let without =
        |name: &str| gzip(&tar(&ten().into_iter().filter(|(n, _)| n != name).collect::<Vec<_>>()));
    let twice = [ten(), ten()[..1].to_vec()].concat();
    // The first header's size field, in octal digits at 124, and its sum, made right again.
    let claims = |size: &[u8; 11]| {
        let mut archive = whole.clone();
        archive[124..135].copy_from_slice(size);
        let others = archive[..148].iter().chain(&archive[156..512]);
        let sum = others.map(|&b| u32::from(b)).sum::<u32>() + 8 * 32;
        archive[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        gzip(&archive)
    };
    let mut links = tar::Builder::new(vec![]);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    links.append_link(&mut header, "data_batch_1.bin", "/etc/passwd").unwrap();
    let mut bad_sum = whole.clone();
    bad_sum[150] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "cannot be unpacked"),
        ("no gzip", whole.clone(), "cannot be unpacked"),
        ("gzip header only", zipped[..10].to_vec(), "cannot be unpacked"),
        ("cut", zipped[..zipped.len() / 2].to_vec(), "cannot be unpacked"),
        ("cut at the end", zipped[..zipped.len() - 9].to_vec(), "cannot be unpacked"),
        ("no tar", gzip(&random_bytes(2000, 256, 9)), "cannot be unpacked"),
        ("header's sum", gzip(&bad_sum), "cannot be unpacked"),
        ("zeros", gzip(&[0; 4096]), "is missing"),
        ("a batch is missing", without("data_batch_4.bin"), "data_batch_4.bin"),
        ("no test", without("test_batch.bin"), "test_batch.bin"),
        ("a file twice", gzip(&tar(&twice)), "twice"),
        ("8 GiB", claims(b"77777777777"), "claims"),
        ("more than there is", claims(b"00000377777"), "cut short"),
        ("a link", gzip(&links.into_inner().unwrap()), "is missing"),
        ("the other set", gzip(&tar(&hundred())), "is missing"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (case, content, word) in cases {
        let path = dir.path().join("archive.tar.gz");
        std::fs::write(&path, content).unwrap();
        let error = open("cifar10", &path).expect_err(case).to_string();
        println!("{case}: {error}");
        assert!(error.contains("archive.tar.gz") && !error.contains('\n'), "{case}: {error}");
        assert!(error.contains(word), "{case}: {error}");
    }
}
