//! Curves as SVG, drawn in the page's own colours.

use std::fmt::Write;

use crate::viz::axis::Axis;
use crate::viz::html::escaped;
use crate::viz::series;

/// The drawing in its own units; the page scales it.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 250.0;
/// Around the curves.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Columns of points along a curve; more are thinned out.
const COLUMNS: usize = 400;

/// A curve. Points that are not finite are gaps.
pub(super) struct Series {
    pub name: &'static str,
    /// The CSS class: `a` and `b` are strong colours, `faint` is behind them.
    pub class: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// How the vertical axis goes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From the least to the greatest value.
    Linear,
    /// By decades, where all values are above zero.
    Decades,
    /// From 0 to 1, in percent.
    Share,
}

/// A drawing of `series` over steps, with a legend; empty where there is nothing to draw.
pub(super) fn chart(title: &str, scale: Scale, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|s| &s.points).filter(|p| p.1.is_finite());
    let Some((first, last)) = series::between(&points().map(|p| p.0).collect::<Vec<_>>()) else {
        return String::new();
    };
    let values: Vec<f64> = points().map(|p| p.1).collect();
    let Some((low, high)) = series::between(&values) else { return String::new() };
    let logarithmic = scale == Scale::Decades && low > 0.0;
    let y = match scale {
        Scale::Share => Axis::linear(0.0, 100.0, 1.0),
        _ if logarithmic => Axis::logarithmic(low, high),
        _ => Axis::linear(low.min(0.0), high, 1e-9),
    };
    let x = Axis::linear(first.min(0.0), last, 1.0);
    let across = |v: f64| LEFT + x.place(v) * (WIDTH - LEFT - RIGHT);
    let at_height = |v: f64| HEIGHT - BOTTOM - y.place(v) * (HEIGHT - TOP - BOTTOM);
    let place = |v: f64| match scale {
        Scale::Share => 100.0 * v,
        _ if logarithmic => v.log10(),
        _ => v,
    };
    let mut svg = format!(
        "<figure><figcaption><b>{}</b>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{}\">\n",
        escaped(title),
        legend(series),
        escaped(title)
    );
    // Writing to a string cannot fail.
    for (value, label) in &y.ticks {
        let (at, unit) = (at_height(*value), if scale == Scale::Share { " %" } else { "" });
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" \
             y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            escaped(label)
        );
    }
    for (value, label) in &x.ticks {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            across(*value),
            HEIGHT - 8.0,
            escaped(label)
        );
    }
    for Series { class, points, .. } in series {
        for run in gapless(&series::decimate(points, COLUMNS)) {
            let places: Vec<_> =
                run.iter().map(|&(x, y)| (across(x), at_height(place(y)))).collect();
            let list: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", list.join(" "));
            // A curve of a few points shows them: one point alone would be no line.
            if run.len() <= 40 && *class != "faint" {
                for (x, y) in places {
                    let _ = write!(
                        svg,
                        "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
                    );
                }
            }
        }
    }
    svg + "</svg></figure>\n"
}

fn legend(series: &[Series]) -> String {
    let entries = series.iter().filter(|s| !s.name.is_empty()).map(|s| {
        format!(" <span class=\"key\"><i class=\"{}\"></i>{}</span>", s.class, escaped(s.name))
    });
    entries.collect()
}

/// The stretches of finite points.
fn gapless(points: &[(f64, f64)]) -> Vec<&[(f64, f64)]> {
    points.split(|p| !p.1.is_finite()).filter(|run| !run.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: Vec<(f64, f64)>) -> Series {
        Series { name: "a<b", class: "a", points }
    }

    #[test]
    fn curves_lie_within_the_drawing_and_gaps_stay() {
        let points = (1..=900).map(f64::from).map(|x| (x, (x * 0.37).sin() + 1.5));
        let mut points: Vec<_> = points.collect();
        points[400..500].iter_mut().for_each(|p| p.1 = f64::NAN);
        for scale in [Scale::Linear, Scale::Decades, Scale::Share] {
            let svg = chart("loss & more", scale, &[series(points.clone())]);
            assert_eq!(svg.matches("<polyline").count(), 2, "two stretches");
            assert!(svg.contains("loss &amp; more") && svg.contains("a&lt;b"), "{svg}");
            for list in svg.split("points=\"").skip(1) {
                for place in list[..list.find('"').unwrap()].split(' ') {
                    let (x, y) = place.split_once(',').unwrap();
                    let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                    assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{place}");
                    assert!((TOP..=HEIGHT - BOTTOM).contains(&y), "{place}");
                }
            }
        }
    }

    #[test]
    fn higher_values_lie_higher() {
        let svg = chart("t", Scale::Decades, &[series(vec![(1.0, 0.01), (2.0, 10.0)])]);
        let list = svg.split("points=\"").nth(1).unwrap();
        let heights: Vec<f64> = list[..list.find('"').unwrap()]
            .split(' ')
            .map(|place| place.split_once(',').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(heights, [HEIGHT - BOTTOM, TOP]);
    }

    #[test]
    fn nothing_gives_nothing_and_one_point_is_seen() {
        assert_eq!(chart("t", Scale::Linear, &[]), "");
        assert_eq!(chart("t", Scale::Linear, &[series(vec![(1.0, f64::NAN)])]), "");
        assert!(chart("t", Scale::Decades, &[series(vec![(1.0, 0.5)])]).contains("<circle"));
    }
}
