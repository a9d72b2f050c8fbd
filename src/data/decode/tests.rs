use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, RgbImage};

use super::*;

/// Red above, blue below, 6 wide and 4 high; a green pixel in the upper left corner.
fn flag() -> RgbImage {
    RgbImage::from_fn(6, 4, |x, y| match (x, y) {
        (0, 0) => image::Rgb([0, 255, 0]),
        (_, 0..2) => image::Rgb([255, 0, 0]),
        _ => image::Rgb([0, 0, 255]),
    })
}

fn png(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A JPEG file, with this EXIF orientation.
fn jpeg(image: &RgbImage, orientation: Option<u8>) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
    if let Some(orientation) = orientation {
        // A TIFF header, one entry: tag 0x0112, a short, once.
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        encoder.set_exif_metadata(exif).unwrap();
    }
    let (width, height) = image.dimensions();
    encoder.encode(image, width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
    let [_, _, width] = picture.shape();
    picture.bytes()[3 * (y * width + x)..][..3].try_into().unwrap()
}

fn near(a: [u8; 3], b: [u8; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 60)
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let flag = DynamicImage::ImageRgb8(flag());
    let plain = decode(&png(&flag), vec![]).unwrap();
    assert_eq!(plain.shape(), [3, 4, 6]);
    assert_eq!(pixel(&plain, 0, 0), [0, 255, 0]);
    for other in [
        DynamicImage::ImageRgb16(flag.to_rgb16()),
        DynamicImage::ImageRgba8(flag.to_rgba8()),
        DynamicImage::ImageRgba16(flag.to_rgba16()),
    ] {
        assert_eq!(decode(&png(&other), vec![]).unwrap(), plain);
    }
    let grey = GrayImage::from_fn(3, 2, |x, y| image::Luma([(40 * x + y) as u8]));
    for grey in [
        DynamicImage::ImageLuma8(grey.clone()),
        DynamicImage::ImageLumaA8(DynamicImage::ImageLuma8(grey.clone()).to_luma_alpha8()),
        DynamicImage::ImageLuma16(DynamicImage::ImageLuma8(grey.clone()).to_luma16()),
    ] {
        let picture = decode(&png(&grey), vec![]).unwrap();
        assert_eq!(picture.shape(), [3, 2, 3]);
        assert_eq!(pixel(&picture, 2, 1), [81; 3]);
    }
    // Half cyan, half light magenta, written by another program.
    let cmyk = decode(include_bytes!("../../../tests/data/files/cmyk.jpg"), vec![]).unwrap();
    assert_eq!(cmyk.shape(), [3, 16, 16]);
    assert!(near(pixel(&cmyk, 2, 2), [0, 255, 255]), "{:?}", pixel(&cmyk, 2, 2));
    assert!(near(pixel(&cmyk, 13, 3), [255, 127, 255]), "{:?}", pixel(&cmyk, 13, 3));
}

#[test]
fn orientation_is_honoured() {
    // A large flag, so that the corner survives compression: 48 x 32.
    let large = image::imageops::resize(&flag(), 48, 32, image::imageops::FilterType::Nearest);
    let (red, green) = ([255, 0, 0], [0, 255, 0]);
    // Where the upper left corner and the upper right one come to lie, by the EXIF standard.
    for (orientation, shape, corner, other) in [
        (None, [3, 32, 48], (3, 3), (44, 3)),
        (Some(1), [3, 32, 48], (3, 3), (44, 3)),
        (Some(2), [3, 32, 48], (44, 3), (3, 3)),
        (Some(3), [3, 32, 48], (44, 28), (3, 28)),
        (Some(4), [3, 32, 48], (3, 28), (44, 28)),
        (Some(5), [3, 48, 32], (3, 3), (3, 44)),
        (Some(6), [3, 48, 32], (28, 3), (28, 44)),
        (Some(7), [3, 48, 32], (28, 44), (28, 3)),
        (Some(8), [3, 48, 32], (3, 44), (3, 3)),
        (Some(99), [3, 32, 48], (3, 3), (44, 3)),
    ] {
        let picture = decode(&jpeg(&large, orientation), vec![]).unwrap();
        assert_eq!(picture.shape(), shape, "{orientation:?}");
        assert!(near(pixel(&picture, corner.0, corner.1), green), "{orientation:?}");
        assert!(near(pixel(&picture, other.0, other.1), red), "{orientation:?}");
    }
}

#[test]
fn an_end_is_told_from_that_of_a_thumbnail() {
    assert!(has_end(&[0xff, 0xd8, 0xff, 0xda, 7, 0xff, 0, 0xff, 0xd9, 0, 0]));
    assert!(!has_end(&[0xff, 0xd8, 0xff, 0xd9, 0xff, 0xda, 7, 0xff, 0]));
    assert!(!has_end(&[0xff, 0xd8]));
}

#[test]
fn damaged_pictures_never_panic() {
    for file in [png(&DynamicImage::ImageRgb8(flag())), jpeg(&flag(), Some(6))] {
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            for bytes in [&damaged[..], &file[..at]] {
                if let Err(problem) = decode(bytes, vec![]) {
                    assert!(!problem.contains('\n'), "{problem}");
                }
            }
            assert!(decode(&file[..at], vec![]).is_err() || at + 12 >= file.len(), "cut at {at}");
        }
    }
}
