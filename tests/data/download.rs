//! Downloads from a server on this machine, and archives that mean harm.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use gabor::data::download::{RemoteFile, RemoteSet, SETS, fetch, unpack};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::{gzip, random_bytes};

/// What the server does with the requests that come one after another; the last for all further ones.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// All of it, or the part that is asked for.
    Whole,
    /// That too, but the connection ends after so many bytes.
    Cut(usize),
    /// All of it, whatever part is asked for.
    NoRanges,
    /// A part that was not asked for.
    WrongRange,
    /// Only a status.
    Status(u16),
    /// All of it with more behind it.
    TooLong,
}

/// A path, and the byte from which it was asked for.
type Request = (String, Option<usize>);

/// A server, its address, and the first lines and ranges of the requests it got.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

fn serve(content: Vec<u8>, answers: &'static [Answer]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(vec![]));
    let log = requests.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let answer = answers[number.min(answers.len() - 1)];
            // The client may go away at any time.
            let _ = respond(stream.unwrap(), &content, answer, &log);
        }
    });
    Server { address, requests }
}

fn respond(
    mut stream: TcpStream,
    content: &[u8],
    answer: Answer,
    log: &Mutex<Vec<(String, Option<usize>)>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    let mut start = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push((first, start));
    let (mut from, mut status) = match start {
        Some(start) => (start.min(content.len()), "206 Partial Content".to_owned()),
        None => (0, "200 OK".to_owned()),
    };
    match answer {
        Answer::NoRanges => (from, status) = (0, "200 OK".into()),
        Answer::WrongRange => from += 1,
        Answer::Status(code) => status = format!("{code} Something"),
        _ => {}
    }
    let mut body = content[from..].to_vec();
    match answer {
        Answer::Status(_) => body.clear(),
        Answer::TooLong => body.extend([7; 100]),
        _ => {}
    }
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len())?;
    if status.starts_with("206") {
        write!(stream, "Content-Range: bytes {from}-{0}/{0}\r\n", content.len())?;
    }
    write!(stream, "Connection: close\r\n\r\n")?;
    let most = if let Answer::Cut(most) = answer { most.min(body.len()) } else { body.len() };
    stream.write_all(&body[..most])?;
    stream.flush()
}

fn content() -> Vec<u8> {
    random_bytes(300_000, 256, 77)
}

fn file(content: &[u8]) -> RemoteFile {
    let sum: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    RemoteFile { name: "file.bin", bytes: content.len() as u64, sha256: sum.leak() }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn downloads_whatever_the_server_does() {
    let content = content();
    let cases: &[(&'static [Answer], &[Option<usize>])] = &[
        (&[Answer::Whole], &[None]),
        (&[Answer::Cut(100_000), Answer::Whole], &[None, Some(100_000)]),
        (
            &[
                Answer::Cut(1000),
                Answer::Cut(2000),
                Answer::Cut(3000),
                Answer::Cut(0),
                Answer::Whole,
            ],
            &[None, Some(1000), Some(3000), Some(6000), Some(6000)],
        ),
        (&[Answer::Status(503), Answer::Whole], &[None, None]),
        (&[Answer::Cut(5000), Answer::NoRanges], &[None, Some(5000)]),
        (&[Answer::Cut(5000), Answer::WrongRange, Answer::Whole], &[None, Some(5000), None]),
        (&[Answer::Cut(5000), Answer::Status(416), Answer::Whole], &[None, Some(5000), None]),
    ];
    for (answers, ranges) in cases {
        let server = serve(content.clone(), answers);
        let dir = tempfile::tempdir().unwrap();
        let url = format!("{}/file.bin", server.address);
        let mut told = vec![];
        let path = fetch(&file(&content), &url, dir.path(), |done| told.push(done)).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content, "{answers:?}");
        assert_eq!(names(dir.path()), ["file.bin"]);
        let requests = server.requests.lock().unwrap().clone();
        assert_eq!(requests.iter().map(|r| r.1).collect::<Vec<_>>(), *ranges, "{answers:?}");
        assert_eq!(told.last(), Some(&300_000));
    }
}

#[test]
fn a_later_call_goes_on_where_the_first_ended() {
    let (content, dir) = (content(), tempfile::tempdir().unwrap());
    let server = serve(content.clone(), &[Answer::Cut(70_000), Answer::Cut(0)]);
    let url = format!("{}/file.bin", server.address);
    let error = fetch(&file(&content), &url, dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("70000 of 300000 bytes") && !error.contains('\n'), "{error}");
    assert_eq!(names(dir.path()), ["file.bin.part"]);
    let server = serve(content.clone(), &[Answer::Whole]);
    let url = format!("{}/file.bin", server.address);
    fetch(&file(&content), &url, dir.path(), |_| {}).unwrap();
    assert_eq!(server.requests.lock().unwrap()[0].1, Some(70_000));
    // What is there and right is not asked for again; what is there and wrong is.
    fetch(&file(&content), &url, dir.path(), |_| {}).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    std::fs::write(dir.path().join("file.bin"), "something else").unwrap();
    let path = fetch(&file(&content), &url, dir.path(), |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
}

#[test]
fn what_is_wrong_is_not_kept() {
    let content = content();
    let mut other = content.clone();
    other[1234] ^= 1;
    let cases: &[(Vec<u8>, &'static [Answer], &str)] = &[
        (other, &[Answer::Whole], "SHA-256"),
        (content.clone(), &[Answer::TooLong], "longer than the 300000 bytes"),
        (content.clone(), &[Answer::Status(404)], "404"),
        (content[..1000].to_vec(), &[Answer::Whole], "1000 of 300000 bytes"),
        (content.clone(), &[Answer::Status(500)], "500"),
    ];
    for (served, answers, word) in cases {
        let (server, dir) = (serve(served.clone(), answers), tempfile::tempdir().unwrap());
        let url = format!("{}/file.bin", server.address);
        let error = fetch(&file(&content), &url, dir.path(), |_| {}).unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(word) && !error.contains('\n'), "{error}");
        assert!(!dir.path().join("file.bin").exists());
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&file(&content), &format!("http://{nobody}/x"), dir.path(), |_| {});
    assert!(error.unwrap_err().to_string().contains("0 of 300000 bytes"));
}

#[test]
fn sets_come_from_mirrors_and_are_checked_there_too() {
    let mnist = RemoteSet::named("mnist").unwrap();
    let (mirror, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = mirror.path().to_str().unwrap();
    let error = mnist.get(Some(from), to.path(), |_, _, _| {}).unwrap_err().to_string();
    assert!(error.contains("train-images-idx3-ubyte.gz"), "{error}");
    let first = mirror.path().join(mnist.files[0].name);
    std::fs::write(&first, [1; 100]).unwrap();
    let error = mnist.get(Some(from), to.path(), |_, _, _| {}).unwrap_err().to_string();
    assert!(error.contains("a file of 9912422 bytes"), "{error}");
    std::fs::File::create(&first).unwrap().set_len(mnist.files[0].bytes).unwrap();
    let error = mnist.get(Some(from), to.path(), |_, _, _| {}).unwrap_err().to_string();
    assert!(error.contains("SHA-256") && names(to.path()).is_empty(), "{error}");
    // An address of a mirror is followed by the file's name.
    let server = serve(vec![], &[Answer::Status(404)]);
    let url = format!("{}/copies/", server.address);
    let cifar = RemoteSet::named("cifar10").unwrap();
    assert!(cifar.get(Some(&url), to.path(), |_, _, _| {}).is_err());
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].0.starts_with("GET /copies/cifar-10-binary.tar.gz "), "{requests:?}");
    assert!(RemoteSet::named("cifar").unwrap_err().to_string().contains("fashion-mnist, cifar10"));
    for set in SETS {
        for file in set.files {
            let digits = file.sha256.bytes();
            assert!(digits.clone().all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(&d)));
            assert_eq!(digits.len(), 64, "{}", file.name);
        }
    }
}

/// One entry of an archive, written without the checks that the writer would make.
fn entry(kind: EntryType, name: &[u8], link: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

fn regular(name: &[u8], content: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name, b"", content.len() as u64, content)
}

#[test]
fn hostile_archives_are_refused_whole() {
    let good = regular(b"set/good.bin", b"content");
    let end = vec![0; 1024];
    let archive = |entries: &[Vec<u8>]| gzip(&[&entries.concat()[..], &end].concat());
    let link = |kind, name: &[u8], to: &[u8]| entry(kind, name, to, 0, b"");
    let whole = archive(std::slice::from_ref(&good));
    let many: Vec<_> = (0..10_002).map(|i| regular(format!("f{i}").as_bytes(), b"")).collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("up", archive(&[good.clone(), regular(b"../evil", b"x")]), "leaves the folder"),
        ("up within", archive(&[good.clone(), regular(b"set/../../evil", b"x")]), "leaves"),
        ("up and back", archive(&[good.clone(), regular(b"set/../evil", b"x")]), "leaves"),
        ("absolute", archive(&[good.clone(), regular(b"/tmp/evil", b"x")]), "leaves the folder"),
        (
            "folder up",
            archive(&[good.clone(), link(EntryType::Directory, b"../evil", b"")]),
            "leaves the folder",
        ),
        (
            "link",
            archive(&[good.clone(), link(EntryType::Symlink, b"evil", b"/etc/passwd")]),
            "no file or folder",
        ),
        (
            "link to a folder, then a file through it",
            archive(&[link(EntryType::Symlink, b"out", b"/tmp"), regular(b"out/evil", b"x")]),
            "no file or folder",
        ),
        (
            "hard link",
            archive(&[good.clone(), link(EntryType::Link, b"evil", b"/etc/passwd")]),
            "no file or folder",
        ),
        ("device", archive(&[link(EntryType::Char, b"null", b"")]), "no file or folder"),
        ("pipe", archive(&[link(EntryType::Fifo, b"pipe", b"")]), "no file or folder"),
        (
            "8 EiB",
            archive(&[good.clone(), entry(EntryType::Regular, b"huge", b"", 1 << 63, b"")]),
            "more than 2 GiB",
        ),
        (
            "3 GiB that are not there",
            archive(&[good.clone(), entry(EntryType::Regular, b"huge", b"", 3 << 30, b"")]),
            "more than 2 GiB",
        ),
        (
            "longer than it is",
            archive(&[entry(EntryType::Regular, b"short", b"", 1 << 20, b"x")]),
            "nothing was unpacked",
        ),
        ("too many", archive(&many), "more than 10000"),
        ("twice", archive(&[good.clone(), good.clone()]), "cannot be written"),
        (
            "a file as a folder",
            archive(&[regular(b"a", b"x"), regular(b"a/b", b"x")]),
            "cannot be written",
        ),
        ("no name", archive(&[regular(b".", b"x")]), "no file or folder"),
        ("nothing", archive(&[]), "holds no files"),
        ("cut", whole[..whole.len() / 2].to_vec(), "cannot be unpacked"),
        ("without its sum", whole[..whole.len() - 6].to_vec(), "cannot be unpacked"),
        ("no gzip", good.clone(), "cannot be unpacked"),
        ("noise", gzip(&random_bytes(4096, 256, 5)), "cannot be unpacked"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("archive.tar.gz"), dir.path().join("to"));
    std::fs::create_dir(&to).unwrap();
    for (case, content, word) in cases {
        std::fs::write(&path, content).unwrap();
        let error = unpack(&path, &to).expect_err(case).to_string();
        println!("{case}: {error}");
        assert!(error.contains(word) && error.contains("archive.tar.gz"), "{case}: {error}");
        assert!(!error.contains('\n'), "{case}: {error}");
        assert_eq!(names(&to), Vec::<String>::new(), "{case}");
        assert_eq!(names(dir.path()), ["archive.tar.gz", "to"], "{case}");
    }
    std::fs::write(&path, whole).unwrap();
    for _ in 0..2 {
        assert_eq!(unpack(&path, &to).unwrap(), [to.join("set/good.bin")]);
        assert_eq!(std::fs::read(to.join("set/good.bin")).unwrap(), b"content");
        assert_eq!(names(&to), ["set"]);
    }
}
