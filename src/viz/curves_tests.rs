use super::*;

/// A plausible run: a loss that falls from 2.3 to about 0.03 with noise, and rising accuracies.
fn run(steps: usize) -> (Vec<u64>, Vec<f32>) {
    let noise = |i: usize| ((i * 7919 % 1013) as f32 / 1013.0 - 0.5) * 1.2;
    let loss = |i: usize| {
        let t = i as f32 / steps as f32;
        (2.3 * (-t * 6.0).exp() + 0.02 + 0.03 * (1.0 - t)) * noise(i).exp()
    };
    ((1..=steps as u64).collect(), (0..steps).map(loss).collect())
}

const TEST_TOP1: [f32; 8] = [0.905, 0.951, 0.966, 0.972, 0.974, 0.979, 0.981, 0.982];
const TRAIN_TOP1: [f32; 8] = [0.712, 0.931, 0.962, 0.975, 0.983, 0.988, 0.991, 0.993];

fn pixels_of(picture: &RgbImage, colour: Colour) -> usize {
    picture.pixels().filter(|p| p.0 == [colour.0, colour.1, colour.2]).count()
}

#[test]
fn the_file_is_a_png_of_the_set_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curves.png");
    let (steps, losses) = run(400);
    let epochs: Vec<u64> = (1..=8).collect();
    let curves = Curves {
        title: "alexnet on digits",
        steps: &steps,
        losses: &losses,
        epochs: &epochs,
        train_top1: &TRAIN_TOP1,
        test_top1: &TEST_TOP1,
    };
    curves.save(&path).unwrap();
    let picture = image::open(&path).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
    for colour in [RAW, TRAIN, TEST] {
        assert!(pixels_of(&picture, colour) > 100, "{colour:?}");
    }
    assert_eq!(picture, curves.draw(WIDTH, HEIGHT).unwrap(), "drawing is repeatable");
    assert_eq!(curves.draw(613, 401).unwrap().dimensions(), (613, 401));
}

/// On a linear axis from zero a loss of half the maximum is drawn at half its height.
#[test]
fn heights_are_in_proportion() {
    let steps: Vec<u64> = (1..=10).collect();
    let height_of = |low: f32| {
        let losses: Vec<f32> = (1..=10).map(|s| if s <= 5 { 2.0 } else { low }).collect();
        let curves = Curves { steps: &steps, losses: &losses, ..Curves::default() };
        let picture = curves.draw(WIDTH, HEIGHT).unwrap();
        // The column of step 9, in the flat part at `low`; the frame has no blue pixel.
        let axis = step_axis(&steps);
        let (x0, x1) = (22.0 + 44.0 + 8.0, f64::from(WIDTH) / 2.0 - 12.0 - 8.0);
        let column = (x0 + axis.place(9.0) * (x1 - x0)).round() as u32;
        let rows: Vec<f64> = (60..HEIGHT)
            .filter(|&y| picture.get_pixel(column + 2, y).0 == [TRAIN.0, TRAIN.1, TRAIN.2])
            .map(f64::from)
            .collect();
        rows.iter().sum::<f64>() / rows.len() as f64
    };
    let (top, middle, quarter) = (height_of(2.0), height_of(1.0), height_of(0.5));
    let ratio = (quarter - middle) / (middle - top);
    assert!((ratio - 0.5).abs() < 0.02, "{top} {middle} {quarter}");
}

#[test]
fn the_axis_turns_logarithmic_where_the_loss_falls_far() {
    let (steps, losses) = run(300);
    let panel =
        |losses: &[f32]| Curves { steps: &steps, losses, ..Curves::default() }.loss_panel(400);
    assert!(panel(&losses).logarithmic);
    let near: Vec<f32> = losses.iter().map(|l| l + 0.3).collect();
    assert!(!panel(&near).logarithmic);
}

#[test]
fn odd_series_are_drawn_too() {
    let extreme = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -3.0, f32::MAX, 1e-38, 0.5];
    let many: Vec<f32> = (0..5000).map(|i| extreme[i % 8]).collect();
    let zeros: Vec<f32> = (0..500).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 / i as f32 }).collect();
    let series: [&[f32]; 9] = [
        &[],
        &[0.7],
        &[0.0],
        &[f32::NAN],
        &[f32::NAN, 0.4, f32::NAN],
        &[0.5, 0.5, 0.5],
        &extreme,
        &many,
        &zeros,
    ];
    for values in series {
        for first in [0, 1, 1 << 40, u64::MAX - 5000] {
            let counts: Vec<u64> = (0..values.len() as u64).map(|i| first + i).collect();
            let curves = Curves {
                steps: &counts,
                losses: values,
                epochs: &counts,
                test_top1: values,
                ..Curves::default()
            };
            let picture = curves.draw(420, 220).unwrap();
            assert_eq!(picture.dimensions(), (420, 220));
            let drawn = values.iter().any(|v| v.is_finite());
            let ink = pixels_of(&picture, TRAIN) + pixels_of(&picture, TEST);
            assert_eq!(ink > 0, drawn, "{} values from {first}", values.len());
        }
    }
}

#[test]
fn lengths_and_sizes_are_checked() {
    let curves = Curves { steps: &[1, 2], losses: &[0.5], ..Curves::default() };
    let message = curves.draw(WIDTH, HEIGHT).unwrap_err().to_string();
    assert!(message.contains("as many losses as steps; 1 and 2"), "{message}");
    let curves = Curves { epochs: &[1, 2], test_top1: &[0.5], ..Curves::default() };
    assert!(curves.draw(WIDTH, HEIGHT).is_err());
    for (width, height) in [(0, 0), (399, 200), (9000, 450), (1000, 100)] {
        let message = Curves::default().draw(width, height).unwrap_err().to_string();
        assert!(message.contains(&format!("{width}x{height}")), "{message}");
    }
}
