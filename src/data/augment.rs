//! Random changes to training images that do not change what they show.

use serde::{Deserialize, Serialize};

use super::Normalise;
use crate::error::{Error, Result};
use crate::philox::Stream;

/// How far training images are changed at random. Every draw is uniform within its range and the
/// number of draws is always the same, so that one setting does not change what another draws.
///
/// An image is flipped, then sheared, scaled and turned about its centre, then shifted; what comes
/// from outside of it is 0 (black). Then contrast and brightness change, on a scale of 0 to 1:
/// `value = clamp((pixel / 255 - 0.5) * contrast + 0.5 + brightness, 0, 1)`. Last, where there are
/// three channels, the distance from grey: `value = clamp(grey + (value - grey) * saturation, 0, 1)`
/// with `grey = 0.299 red + 0.587 green + 0.114 blue` (ITU-R BT.601).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Augment {
    /// The most pixels, whole ones, that an image is shifted along each axis.
    pub max_shift: usize,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// The most degrees that an image is turned, either way.
    pub rotate_degrees: f32,
    /// The part by which an image grows or shrinks at most: 0.1 is a size from 0.9 to 1.1.
    pub scale: f32,
    /// The most that is added to or taken from the brightness, of a range of 1.
    pub brightness: f32,
    /// The part by which the contrast changes at most: 0.2 is a factor from 0.8 to 1.2.
    pub contrast: f32,
    /// The most degrees that vertical lines lean, either way.
    pub shear_degrees: f32,
    /// The part by which the distance from grey changes at most: 0.2 is a factor from 0.8 to 1.2.
    pub saturation: f32,
}

/// What was drawn for one image.
pub(super) struct Draw {
    pub flip: bool,
    /// Pixels to the right and down.
    pub shift: [i64; 2],
    /// Radians, clockwise as the image is seen (rows go down).
    pub angle: f32,
    pub scale: f32,
    pub brightness: f32,
    pub contrast: f32,
    /// The tangent of the angle by which vertical lines lean.
    pub shear: f32,
    pub saturation: f32,
}

impl Augment {
    /// No change at all.
    pub fn none() -> Self {
        Augment::default()
    }

    /// Errors where a setting is outside of its range: `rotate_degrees` 0 to 180, `shear_degrees` 0
    /// to 80, `brightness` 0 to 1, `scale`, `contrast` and `saturation` 0 to less than 1, `max_shift`
    /// less than 2^31.
    pub fn check(&self) -> Result<()> {
        if self.max_shift > i32::MAX as usize {
            let remedy = "must be less than the image's size";
            return Err(Error::setting("augment.max-shift", self.max_shift, remedy));
        }
        for (setting, value, most, remedy) in [
            ("augment.rotate-degrees", self.rotate_degrees, 180.0, "must be from 0 to 180"),
            ("augment.brightness", self.brightness, 1.0, "must be from 0 to 1"),
            ("augment.scale", self.scale, 0.99, "must be from 0 to 0.99"),
            ("augment.contrast", self.contrast, 0.99, "must be from 0 to 0.99"),
            ("augment.saturation", self.saturation, 0.99, "must be from 0 to 0.99"),
            ("augment.shear-degrees", self.shear_degrees, 80.0, "must be from 0 to 80"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::setting(setting, value, remedy));
            }
        }
        Ok(())
    }

    /// Changes one image and normalises it: bytes of `shape` `[channels, height, width]` to values
    /// in the same order. `random` alone decides what is drawn. `output` holds as many values as
    /// `pixels` holds bytes, `channels * height * width`.
    pub fn apply(
        &self,
        pixels: &[u8],
        shape: [usize; 3],
        random: &mut Stream,
        normalise: &Normalise,
        output: &mut [f32],
    ) {
        self.change(pixels, shape, random, output);
        normalise.apply_in_place(output);
    }

    /// [`Augment::apply`] without normalisation: values stay in the range 0 to 255.
    pub(super) fn change<T: Copy + Into<f32>>(
        &self,
        pixels: &[T],
        shape: [usize; 3],
        random: &mut Stream,
        output: &mut [f32],
    ) {
        let draw = self.draw(random);
        let [_, height, width] = shape;
        let plane = (height * width).max(1);
        for (from, to) in pixels.chunks_exact(plane).zip(output.chunks_exact_mut(plane)) {
            if draw.angle == 0.0 && draw.scale == 1.0 && draw.shear == 0.0 {
                draw.shift_plane(from, to, height, width);
            } else {
                draw.turn_plane(from, to, height, width);
            }
        }
        if draw.contrast != 1.0 || draw.brightness != 0.0 {
            let offset = draw.offset();
            for value in output.iter_mut() {
                *value = (*value * draw.contrast + offset).clamp(0.0, 255.0);
            }
        }
        if draw.saturation != 1.0 {
            saturate(draw.saturation, plane, output);
        }
    }

    /// Whether images are ever anything else than mirrored and shifted by whole pixels.
    pub(super) fn turns(&self) -> bool {
        self.rotate_degrees != 0.0 || self.scale != 0.0 || self.shear_degrees != 0.0
    }

    pub(super) fn draw(&self, random: &mut Stream) -> Draw {
        let reach = self.max_shift as i64;
        let mut shift = || i64::from(random.below(2 * reach as u32 + 1)) - reach;
        Draw {
            shift: [shift(), shift()],
            flip: random.word() & 1 == 1 && self.flip,
            angle: (random.signed() * self.rotate_degrees).to_radians(),
            scale: 1.0 + random.signed() * self.scale,
            brightness: random.signed() * self.brightness,
            contrast: 1.0 + random.signed() * self.contrast,
            // Drawn last, so that the draws before stay what they were without these two.
            shear: (random.signed() * self.shear_degrees).to_radians().tan(),
            saturation: 1.0 + random.signed() * self.saturation,
        }
    }
}

/// Moves the colours of an image of three planes away from their grey or towards it.
fn saturate(factor: f32, plane: usize, image: &mut [f32]) {
    if image.len() != 3 * plane {
        return;
    }
    let (red, rest) = image.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let grey = 0.299 * *red + 0.587 * *green + 0.114 * *blue;
        for value in [red, green, blue] {
            *value = (grey + (*value - grey) * factor).clamp(0.0, 255.0);
        }
    }
}

impl Draw {
    /// What is added to a byte after the contrast.
    pub fn offset(&self) -> f32 {
        127.5 * (1.0 - self.contrast) + 255.0 * self.brightness
    }

    /// Flips and shifts by whole pixels, exactly.
    fn shift_plane<T: Copy + Into<f32>>(
        &self,
        from: &[T],
        to: &mut [f32],
        height: usize,
        width: usize,
    ) {
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let source_y = usize::try_from(y as i64 - self.shift[1]).ok().filter(|&v| v < height);
            for (x, value) in row.iter_mut().enumerate() {
                let source_x =
                    usize::try_from(x as i64 - self.shift[0]).ok().filter(|&v| v < width);
                *value = match (source_y, source_x) {
                    (Some(y), Some(x)) => {
                        let x = if self.flip { width - 1 - x } else { x };
                        from[y * width + x].into()
                    }
                    _ => 0.0,
                };
            }
        }
    }

    /// Flips, shears, scales, turns and shifts: every output pixel goes back to where it comes from and
    /// takes the four pixels around it by their distance (bilinear).
    fn turn_plane<T: Copy + Into<f32>>(
        &self,
        from: &[T],
        to: &mut [f32],
        height: usize,
        width: usize,
    ) {
        let centre = [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0];
        let (sin, cos) = self.angle.sin_cos();
        let (sin, cos) = (sin / self.scale, cos / self.scale);
        let mirror = if self.flip { -1.0 } else { 1.0 };
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let dy = y as f32 - centre[1] - self.shift[1] as f32;
            for (x, value) in row.iter_mut().enumerate() {
                let dx = x as f32 - centre[0] - self.shift[0] as f32;
                let (across, down) = (cos * dx + sin * dy, cos * dy - sin * dx);
                let source_x = mirror * (across - self.shear * down) + centre[0];
                *value = bilinear(from, height, width, source_x, down + centre[1]);
            }
        }
    }
}

/// The plane's value at column `x`, row `y`; pixels outside of it are 0.
fn bilinear<T: Copy + Into<f32>>(plane: &[T], height: usize, width: usize, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (right_part, bottom_part) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    let at = |x: i64, y: i64| {
        if (0..width as i64).contains(&x) && (0..height as i64).contains(&y) {
            plane[y as usize * width + x as usize].into()
        } else {
            0.0
        }
    };
    let upper = at(left, top) * (1.0 - right_part) + at(left + 1, top) * right_part;
    let lower = at(left, top + 1) * (1.0 - right_part) + at(left + 1, top + 1) * right_part;
    upper * (1.0 - bottom_part) + lower * bottom_part
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 7, 9];

    fn image() -> Vec<u8> {
        let mut random = Stream::new(11, [0; 3]);
        (0..SHAPE.iter().product()).map(|_| 1 + random.below(255) as u8).collect()
    }

    /// Leaves pixel values as they are, 0 to 255.
    fn plain() -> Normalise {
        Normalise::new(vec![0.0; 2], vec![1.0 / 255.0; 2]).unwrap()
    }

    fn apply(augment: &Augment, pixels: &[u8], stream: u32) -> Vec<f32> {
        let mut output = vec![f32::NAN; pixels.len()];
        let mut random = Stream::new(3, [stream, 0, 0]);
        augment.apply(pixels, SHAPE, &mut random, &plain(), &mut output);
        output
    }

    fn close(a: &[f32], b: impl IntoIterator<Item = f32>) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-2)
    }

    #[test]
    fn none_normalises_only() {
        let pixels = image();
        let normalise = Normalise::new(vec![0.3, 0.6], vec![0.2, 0.5]).unwrap();
        let (mut direct, mut output) = (vec![0.0; pixels.len()], vec![1.0; pixels.len()]);
        normalise.apply(&pixels, &mut direct);
        let mut random = Stream::new(3, [0; 3]);
        Augment::none().apply(&pixels, SHAPE, &mut random, &normalise, &mut output);
        assert_eq!(direct, output);
    }

    #[test]
    fn shifts_and_flips_are_exact_and_all_of_them_occur() {
        let pixels = image();
        let augment = Augment { max_shift: 1, flip: true, ..Augment::none() };
        let [channels, height, width] = SHAPE;
        let mut seen = std::collections::BTreeSet::new();
        for stream in 0..300 {
            let output = apply(&augment, &pixels, stream);
            let found = (0..18).find(|&case| {
                let (flip, dy, dx) = (case / 9 == 1, case / 3 % 3, case % 3);
                // By definition: place the flipped image on a black, larger one and look at a window.
                let mut larger = vec![0u8; channels * (height + 2) * (width + 2)];
                for c in 0..channels {
                    for y in 0..height {
                        for x in 0..width {
                            let from = if flip { width - 1 - x } else { x };
                            larger[(c * (height + 2) + y + dy) * (width + 2) + x + dx] =
                                pixels[(c * height + y) * width + from];
                        }
                    }
                }
                let window = (0..channels * height * width).map(|i| {
                    let (c, y, x) = (i / (height * width), i / width % height, i % width);
                    f32::from(larger[(c * (height + 2) + y + 1) * (width + 2) + x + 1])
                });
                close(&output, window)
            });
            seen.insert(found.expect("an image that is neither shifted nor flipped"));
        }
        assert_eq!(seen.len(), 18, "some shift or flip never occurs: {seen:?}");
    }

    #[test]
    fn quarter_turn_moves_every_pixel_to_its_place() {
        let size = 5;
        let pixels: Vec<u8> = image()[..25].to_vec();
        let draw = Draw {
            flip: false,
            shift: [0, 0],
            angle: std::f32::consts::FRAC_PI_2,
            scale: 1.0,
            brightness: 0.0,
            contrast: 1.0,
            shear: 0.0,
            saturation: 1.0,
        };
        let mut output = vec![0.0; 25];
        draw.turn_plane(&pixels, &mut output, size, size);
        // Clockwise as seen: the first row becomes the last column.
        let expected = (0..25).map(|i| f32::from(pixels[(size - 1 - i % size) * size + i / size]));
        assert!(close(&output, expected), "{output:?} {pixels:?}");
    }

    #[test]
    fn turning_by_nothing_is_the_exact_path() {
        let pixels = image();
        let (height, width) = (SHAPE[1], SHAPE[2]);
        for (flip, shift) in [(false, [0, 0]), (true, [1, -2]), (true, [0, 3]), (false, [-9, 0])] {
            let draw = Draw {
                flip,
                shift,
                angle: 0.0,
                scale: 1.0,
                brightness: 0.0,
                contrast: 1.0,
                shear: 0.0,
                saturation: 1.0,
            };
            let (mut exact, mut turned) = (vec![0.0; 63], vec![0.0; 63]);
            draw.shift_plane(&pixels[..63], &mut exact, height, width);
            draw.turn_plane(&pixels[..63], &mut turned, height, width);
            assert!(close(&exact, turned.iter().copied()), "{flip} {shift:?}");
        }
    }

    #[test]
    fn doubling_shows_the_middle() {
        // A ramp along x stays a ramp, half as steep, when it is doubled about its centre.
        let (height, width) = (9, 9);
        let pixels: Vec<u8> = (0..81).map(|i| 20 * (i % 9) as u8).collect();
        let draw = Draw {
            flip: false,
            shift: [0, 0],
            angle: 0.0,
            scale: 2.0,
            brightness: 0.0,
            contrast: 1.0,
            shear: 0.0,
            saturation: 1.0,
        };
        let mut output = vec![0.0; 81];
        draw.turn_plane(&pixels, &mut output, height, width);
        assert!(
            close(&output, (0..81).map(|i| 80.0 + 10.0 * ((i % 9) as f32 - 4.0))),
            "{output:?}"
        );
    }

    #[test]
    fn brightness_and_contrast_stay_in_range_and_act_alike_on_all_pixels() {
        let pixels = image();
        let augment = Augment { brightness: 0.3, contrast: 0.5, ..Augment::none() };
        let (mut brighter, mut darker) = (0, 0);
        for stream in 0..50 {
            let output = apply(&augment, &pixels, stream);
            assert!(output.iter().all(|v| (-1e-3..=255.001).contains(v)));
            // Order is kept: the map is monotone.
            let mut pairs: Vec<_> = pixels.iter().zip(&output).collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            assert!(pairs.windows(2).all(|w| w[0].1 <= w[1].1));
            let change: f32 = output.iter().zip(&pixels).map(|(o, &p)| o - f32::from(p)).sum();
            if change > 0.0 { brighter += 1 } else { darker += 1 }
        }
        assert!(brighter > 10 && darker > 10, "{brighter} {darker}");
    }

    #[test]
    fn one_setting_does_not_change_what_another_draws() {
        let all = Augment {
            max_shift: 3,
            flip: true,
            rotate_degrees: 20.0,
            scale: 0.3,
            brightness: 0.1,
            contrast: 0.1,
            shear_degrees: 5.0,
            saturation: 0.3,
        };
        let turn = Augment { rotate_degrees: 20.0, max_shift: 3, ..Augment::none() };
        for stream in 0..20 {
            let a = all.draw(&mut Stream::new(1, [stream, 0, 0]));
            let b = turn.draw(&mut Stream::new(1, [stream, 0, 0]));
            assert_eq!((a.angle, a.shift), (b.angle, b.shift));
        }
    }

    #[test]
    fn draws_are_those_that_they_always_were() {
        let augment = Augment {
            max_shift: 3,
            flip: true,
            rotate_degrees: 20.0,
            scale: 0.3,
            brightness: 0.1,
            contrast: 0.2,
            ..Augment::none()
        };
        let draw = augment.draw(&mut Stream::new(9, [4, 2, 7]));
        // The words of the stream by hand, in the order of the first version.
        let mut random = Stream::new(9, [4, 2, 7]);
        let shift = [random.below(7), random.below(7)].map(|v| i64::from(v) - 3);
        assert_eq!((draw.shift, draw.flip), (shift, random.word() & 1 == 1));
        let signed: Vec<f32> = (0..4).map(|_| random.signed()).collect();
        assert_eq!(draw.angle, (signed[0] * 20.0).to_radians());
        assert_eq!(draw.scale, 1.0 + signed[1] * 0.3);
        assert_eq!([draw.brightness, draw.contrast], [signed[2] * 0.1, 1.0 + signed[3] * 0.2]);
        assert_eq!([draw.shear, draw.saturation], [0.0, 1.0]);
    }

    #[test]
    fn shear_moves_rows_against_each_other() {
        let (height, width) = (5, 9);
        let pixels: Vec<u8> = (0..45).map(|i| 20 * (i % 9) as u8).collect();
        let mut draw = Augment::none().draw(&mut Stream::new(1, [0; 3]));
        draw.shear = 0.5;
        let mut output = vec![0.0; 45];
        draw.turn_plane(&pixels, &mut output, height, width);
        // Half a pixel a row from the middle, so the ramp moves by 10 a row.
        for y in 0..5 {
            for x in 2..7 {
                let expected = 20.0 * x as f32 - 10.0 * (y as f32 - 2.0);
                assert!((output[y * 9 + x] - expected).abs() < 1e-3, "{output:?}");
            }
        }
    }

    #[test]
    fn saturation_keeps_grey_and_brightness() {
        let mut image = vec![100.0, 200.0, 100.0, 50.0, 100.0, 80.0];
        let grey = |image: &[f32], at: usize| {
            0.299 * image[at] + 0.587 * image[at + 2] + 0.114 * image[at + 4]
        };
        let before = [grey(&image, 0), grey(&image, 1)];
        saturate(0.5, 2, &mut image);
        assert!(close(&[image[0], image[2], image[4]], [100.0; 3]), "grey stays: {image:?}");
        assert!(close(&before, [grey(&image, 0), grey(&image, 1)]), "{image:?}");
        assert!((image[1] - (before[1] + 200.0) / 2.0).abs() < 1e-3, "{image:?}");
        let mut other = vec![1.0, 2.0];
        saturate(0.5, 1, &mut other);
        assert_eq!(other, [1.0, 2.0], "two channels have no grey");
    }

    #[test]
    fn bad_settings_are_refused() {
        let none = Augment::none();
        for bad in [
            Augment { rotate_degrees: f32::NAN, ..none.clone() },
            Augment { rotate_degrees: -1.0, ..none.clone() },
            Augment { scale: 1.0, ..none.clone() },
            Augment { contrast: f32::INFINITY, ..none.clone() },
            Augment { brightness: 1.5, ..none.clone() },
            Augment { max_shift: usize::MAX, ..none.clone() },
            Augment { shear_degrees: 90.0, ..none.clone() },
            Augment { saturation: -0.1, ..none.clone() },
        ] {
            assert!(bad.check().unwrap_err().to_string().contains("augment."), "{bad:?}");
        }
        none.check().unwrap();
        let text = toml::to_string(&Augment { max_shift: 2, flip: true, ..none }).unwrap();
        assert_eq!(toml::from_str::<Augment>(&text).unwrap().max_shift, 2);
        assert!(toml::from_str::<Augment>("flips = true").is_err());
    }
}
