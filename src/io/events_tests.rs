//! Event files read back by a reader of their own.

use super::*;

/// A field of a message: its number, and its value's bytes (of a varint, the number).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut found = vec![];
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            wire => panic!("wire type {wire}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

fn field(message: &[u8], number: u64) -> Vec<u8> {
    let found = fields(message).into_iter().find(|f| f.0 == number);
    found.unwrap_or_else(|| panic!("no field {number}")).1
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The CRC bit by bit, another way than by the table.
fn slow_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for bit in bytes.iter().flat_map(|b| (0..8).map(move |i| u32::from(b >> i & 1))) {
        let carry = (crc ^ bit) & 1;
        crc = crc >> 1 ^ if carry == 1 { 0x82f6_3b78 } else { 0 };
    }
    !crc
}

/// The records of a file, whose CRCs must be right.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut records = vec![];
    let unmasked = |bytes: &[u8]| {
        let masked = u32::from_le_bytes(bytes.try_into().unwrap());
        masked.wrapping_sub(0xa282_ead8).rotate_left(15)
    };
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(unmasked(&rest[8..12]), slow_crc(&rest[..8]));
        let record = &rest[12..12 + length];
        assert_eq!(unmasked(&rest[12 + length..16 + length]), slow_crc(record));
        records.push(record.to_vec());
        rest = &rest[16 + length..];
    }
    records
}

#[test]
fn the_crc_is_that_of_the_rfc() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path().join("tensorboard")).unwrap();
    writer.scalar("train/loss", 300, 0.625).unwrap();
    writer.picture("filters", 301, [40, 30], b"png").unwrap();
    let values = [-1.0, -0.5, 0.0, 0.25, 2.0, 2.0, f32::NAN, f32::INFINITY];
    writer.histogram("weights", 302, &values).unwrap();
    writer.histogram("constant", 303, &[0.0, 0.0]).unwrap();
    writer.histogram("nothing", 304, &[f32::NAN]).unwrap();
    writer.flush().unwrap();
    let name = writer.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("events.out.tfevents."), "{name}");

    let records = records(writer.path());
    assert_eq!(records.len(), 5, "a version, a number, a picture, two histograms");
    assert_eq!(field(&records[0], 3), b"brain.Event:2");
    let times: Vec<_> = records.iter().map(|r| doubles(&field(r, 1))[0]).collect();
    assert!(times[0] > 1.6e9 && times.is_sorted(), "{times:?}");
    let steps: Vec<_> = records[1..].iter().map(|r| field(r, 2)[..2].to_vec()).collect();
    assert_eq!(steps, [300u16, 301, 302, 303].map(|s| s.to_le_bytes().to_vec()));

    let entry = |record: &[u8]| field(&field(record, 5), 1);
    assert_eq!(field(&entry(&records[1]), 1), b"train/loss");
    assert_eq!(field(&entry(&records[1]), 2), 0.625f32.to_le_bytes());

    let image = field(&entry(&records[2]), 4);
    assert_eq!((field(&image, 1)[0], field(&image, 2)[0], field(&image, 3)[0]), (30, 40, 3));
    assert_eq!(field(&image, 4), b"png");

    let histogram = field(&entry(&records[3]), 5);
    let numbers: Vec<_> = (1..=5).map(|n| doubles(&field(&histogram, n))[0]).collect();
    assert_eq!(numbers, [-1.0, 2.0, 6.0, 2.75, 9.3125]);
    let (limits, counts) = (doubles(&field(&histogram, 6)), doubles(&field(&histogram, 7)));
    assert_eq!((limits.len(), counts.len()), (31, 31));
    assert!(limits.is_sorted_by(|a, b| a < b), "{limits:?}");
    assert_eq!((limits[30], counts[30], counts[0], counts[1]), (2.0, 2.0, 0.0, 1.0));
    assert_eq!(counts.iter().sum::<f64>(), 6.0);
    let constant = field(&entry(&records[4]), 5);
    assert_eq!(doubles(&field(&constant, 7)), [0.0, 2.0]);
}
