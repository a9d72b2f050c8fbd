//! A bitmap to draw lines and text on, smoothed by drawing at several times the size.

use std::fmt::Display;
use std::sync::OnceLock;

use image::{Rgb, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, Circle, DrawingArea, IntoDrawingArea, IntoFont, Polygon, RGBColor, Rectangle,
    Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, TextStyle, register_font};

use crate::error::{Error, Result};

/// Drawn pixels along each side of a final pixel.
const OVERSAMPLING: u32 = 4;
/// The embedded font, so that the pictures need nothing from the system.
const FONT: &str = "gabor";
static REGULAR: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold-subset.ttf");
/// The font's ascent plus descent over its em: the font library counts sizes in the former.
const LINE_PER_EM: f64 = (1901.0 + 483.0) / 2048.0;
/// Half the height of a capital over the em.
const HALF_CAPITAL_PER_EM: f64 = 0.729 / 2.0;

/// A colour, red, green and blue.
pub(super) type Colour = RGBColor;
/// The colour of plain text.
pub(super) const BLACK: Colour = RGBColor(20, 20, 20);

/// Where a text lies as seen from its anchor point.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    /// The em in final pixels.
    pub size: f64,
    pub bold: bool,
    pub colour: Colour,
}

/// A white canvas. All coordinates and lengths are in final pixels from the upper left corner.
pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
}

/// Draws a picture of `width` x `height` pixels with `draw`.
pub(super) fn paint(
    width: u32,
    height: u32,
    draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<RgbImage> {
    let fonts = FONTS.get_or_init(|| {
        register_font(FONT, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FONT, FontStyle::Bold, BOLD).is_ok()
    });
    if !fonts {
        return Err(failure("the embedded font is damaged"));
    }
    let large = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![255u8; large.0 as usize * large.1 as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, large).into_drawing_area();
    let canvas = Canvas { area };
    draw(&canvas)?;
    canvas.area.present().map_err(failure)?;
    drop(canvas);
    Ok(shrink(&pixels, width, height))
}

static FONTS: OnceLock<bool> = OnceLock::new();

fn failure(problem: impl Display) -> Error {
    Error::Usage(format!("the picture cannot be drawn: {problem}"))
}

/// The mean of every block of [`OVERSAMPLING`] x [`OVERSAMPLING`] pixels.
fn shrink(pixels: &[u8], width: u32, height: u32) -> RgbImage {
    let (side, row) = (OVERSAMPLING as usize, (width * OVERSAMPLING) as usize);
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|channel| {
            let (left, top) = (x as usize * side, y as usize * side);
            let block = (0..side * side).map(|i| {
                let at = (top + i / side) * row + left + i % side;
                u32::from(pixels[3 * at + channel])
            });
            let sum: u32 = block.sum();
            ((sum + OVERSAMPLING * OVERSAMPLING / 2) / (OVERSAMPLING * OVERSAMPLING)) as u8
        }))
    })
}

fn scaled(v: f64) -> i32 {
    (v * f64::from(OVERSAMPLING)).round() as i32
}

impl Canvas<'_> {
    /// A line through `points` with round joints.
    pub fn line(&self, points: &[(f64, f64)], width: f64, colour: Colour) -> Result<()> {
        let half = width / 2.0;
        for pair in points.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let length = (bx - ax).hypot(by - ay);
            if length > 0.0 {
                // The segment as a rectangle: the rasteriser's own thick lines have gaps and
                // spikes where the direction changes sharply.
                let (nx, ny) = ((by - ay) / length * half, (ax - bx) / length * half);
                let corners = [
                    (ax + nx, ay + ny),
                    (bx + nx, by + ny),
                    (bx - nx, by - ny),
                    (ax - nx, ay - ny),
                ];
                let corners: Vec<_> =
                    corners.iter().map(|&(x, y)| (scaled(x), scaled(y))).collect();
                self.area.draw(&Polygon::new(corners, colour.filled())).map_err(failure)?;
            }
            self.disc(pair[1], half, colour)?;
        }
        if let Some(&first) = points.first() {
            self.disc(first, half, colour)?;
        }
        Ok(())
    }

    /// A filled circle.
    pub fn disc(&self, (x, y): (f64, f64), radius: f64, colour: Colour) -> Result<()> {
        let circle = Circle::new((scaled(x), scaled(y)), scaled(radius), colour.filled());
        self.area.draw(&circle).map_err(failure)
    }

    /// A filled rectangle between two corners.
    pub fn rectangle(&self, a: (f64, f64), b: (f64, f64), colour: Colour) -> Result<()> {
        let corner = |(x, y): (f64, f64)| (scaled(x), scaled(y));
        let rectangle = Rectangle::new([corner(a), corner(b)], colour.filled());
        self.area.draw(&rectangle).map_err(failure)
    }

    /// One line of text whose capitals are centred on the height of `at`.
    pub fn text(
        &self,
        text: &str,
        (x, y): (f64, f64),
        align: Align,
        lettering: Lettering,
    ) -> Result<()> {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = style(lettering).pos(Pos::new(h_pos, VPos::Top));
        // The backend puts the baseline half a line below the upper edge that it is given.
        let line = lettering.size * LINE_PER_EM;
        let top = y + lettering.size * HALF_CAPITAL_PER_EM - line / 2.0;
        let text = Text::new(text.to_owned(), (scaled(x), scaled(top)), style);
        self.area.draw(&text).map_err(failure)
    }

    /// The width of a text.
    pub fn text_width(&self, text: &str, lettering: Lettering) -> Result<f64> {
        let (width, _) = self.area.estimate_text_size(text, &style(lettering)).map_err(failure)?;
        Ok(f64::from(width) / f64::from(OVERSAMPLING))
    }
}

fn style(lettering: Lettering) -> TextStyle<'static> {
    let size = lettering.size * LINE_PER_EM * f64::from(OVERSAMPLING);
    let weight = if lettering.bold { FontStyle::Bold } else { FontStyle::Normal };
    (FONT, size, weight).into_font().color(&lettering.colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INK: Colour = RGBColor(10, 60, 110);

    fn inked(picture: &RgbImage) -> Vec<(u32, u32)> {
        picture.enumerate_pixels().filter(|p| p.2.0[0] < 200).map(|p| (p.0, p.1)).collect()
    }

    #[test]
    fn rectangles_and_lines_fill_whole_pixels() {
        let picture = paint(40, 30, |canvas| {
            canvas.rectangle((3.0, 4.0), (7.0, 6.0), INK)?;
            canvas.line(&[(20.0, 10.0), (30.0, 10.0)], 2.0, INK)
        });
        let picture = picture.unwrap();
        assert_eq!(picture.dimensions(), (40, 30));
        for (x, y, pixel) in picture.enumerate_pixels() {
            let inside = (3..7).contains(&x) && (4..6).contains(&y);
            if y < 8 {
                assert_eq!(pixel.0, if inside { [10, 60, 110] } else { [255; 3] }, "{x} {y}");
            }
            if (21..29).contains(&x) && y > 11 {
                assert_eq!(pixel.0[0] < 250, (9..11).contains(&y), "{x} {y}");
            }
        }
    }

    #[test]
    fn text_is_centred_on_its_point() {
        let lettering = Lettering { size: 20.0, bold: false, colour: INK };
        let picture =
            paint(200, 60, |canvas| canvas.text("HHHH", (100.0, 30.0), Align::Centre, lettering));
        let ink = inked(&picture.unwrap());
        let (x0, x1) = (ink.iter().map(|p| p.0).min(), ink.iter().map(|p| p.0).max());
        let (y0, y1) = (ink.iter().map(|p| p.1).min(), ink.iter().map(|p| p.1).max());
        let centre = |a: Option<u32>, b: Option<u32>| f64::from(a.unwrap() + b.unwrap() + 1) / 2.0;
        // The font library leaves out the first letter's side bearing, about a tenth of an em.
        assert!((centre(x0, x1) - 100.0).abs() <= 2.5, "{x0:?} {x1:?}");
        assert!((centre(y0, y1) - 30.0).abs() <= 1.0, "{y0:?} {y1:?}");
        // A capital is 0.729 em high.
        assert!((y1.unwrap() - y0.unwrap() + 1).abs_diff(15) <= 1, "{y0:?} {y1:?}");
    }

    #[test]
    fn widths_grow_with_the_text() {
        let lettering = Lettering { size: 12.0, bold: true, colour: INK };
        paint(10, 10, |canvas| {
            let (one, two) =
                (canvas.text_width("a", lettering)?, canvas.text_width("aa", lettering)?);
            assert!(one > 4.0 && (two - 2.0 * one).abs() < 0.6, "{one} {two}");
            Ok(())
        })
        .unwrap();
    }
}
