//! The worked examples of the lecture that the project began with, on every device. All values are
//! whole numbers, so that results are exact and compared as such.

mod common;

use gabor::check::run;
use gabor::data;
use gabor::device::Device;
use gabor::nn::{Conv2d, Linear, Model};
use gabor::ops::case::{Case, Draw, oracle};
use gabor::ops::conv;
use gabor::ops::pool::MaxPool2d;
use gabor::tensor::Tensor;

/// What an op gives by its oracle, on the CPU and on the GPU with each variant; all the same.
fn everywhere(case: &Case) -> Tensor {
    let expected = oracle(case.op.as_ref(), &case.inputs).unwrap();
    let (shape, data) = (expected[0].shape.clone(), expected[0].data.iter().map(|&x| x as f32));
    let expected = Tensor::f32(shape, data.collect()).unwrap();
    assert_eq!(run(case, &Device::cpu(), None).unwrap()[0], expected, "{} on the CPU", case.label);
    if let Some(device) = common::gpu() {
        for variant in common::variants(case, &device) {
            let actual = run(case, &device, Some(&variant)).unwrap();
            assert_eq!(actual[0], expected, "{} by {variant}", case.label);
        }
    }
    expected
}

/// A picture's first channel, 32x32, from the photographs in the program.
fn picture() -> Vec<i32> {
    let photos = data::open("photos").unwrap();
    let mut pixels = vec![0; photos.test.shape().iter().product()];
    photos.test.load(7, &mut pixels).unwrap();
    let picture: Vec<_> = pixels[..32 * 32].iter().map(|&p| i32::from(p)).collect();
    assert!(picture.iter().any(|&p| p != picture[0]), "an empty picture shows nothing");
    picture
}

/// The 3x3 filter at every pixel of the 32x32 picture, zero outside, in whole numbers.
fn filtered(picture: &[i32], filter: [i32; 9]) -> Vec<f32> {
    let at = |y: i32, x: i32| match (0..32).contains(&y) && (0..32).contains(&x) {
        true => picture[(y * 32 + x) as usize],
        false => 0,
    };
    let pixel = |y, x| (0..9).map(|i| filter[i as usize] * at(y + i / 3 - 1, x + i % 3 - 1)).sum();
    (0..32)
        .flat_map(|y| (0..32).map(move |x| (y, x)))
        .map(|(y, x)| pixel(y, x))
        .map(|p: i32| p as f32)
        .collect()
}

#[test]
fn filters_on_a_picture() {
    let filters = [
        ("identity", [0, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("edges, diagonal", [1, 0, -1, 0, 0, 0, -1, 0, 1]),
        ("edges, four neighbours", [0, 1, 0, 1, -4, 1, 0, 1, 0]),
        ("edges, eight neighbours", [-1, -1, -1, -1, 8, -1, -1, -1, -1]),
        ("sharpen", [0, -1, 0, -1, 5, -1, 0, -1, 0]),
        // Divided by 9 and 16 in the lecture; the sums are compared, which are whole.
        ("box blur", [1; 9]),
        ("Gaussian blur", [1, 2, 1, 2, 4, 2, 1, 2, 1]),
    ];
    let picture = picture();
    let input = picture.iter().map(|&p| p as f32).collect();
    let input = Tensor::f32([1, 1, 32, 32], input).unwrap();
    // All filters at once, as a bank of one input channel.
    let bank = filters.iter().flat_map(|(_, f)| f.map(|w| w as f32)).collect();
    let bank = Tensor::f32([filters.len(), 1, 3, 3], bank).unwrap();
    let case = Case::new("filters", conv::Conv2d::new(1, 1), vec![input, bank]);
    let output = everywhere(&case).into_f32();
    for ((name, filter), channel) in filters.iter().zip(output.chunks(32 * 32)) {
        assert_eq!(channel, filtered(&picture, *filter), "{name}");
    }
    assert_eq!(output[..32 * 32], filtered(&picture, filters[0].1)[..]);
    let picture: Vec<f32> = picture.iter().map(|&p| p as f32).collect();
    assert_eq!(output[..32 * 32], picture[..], "the identity changes nothing");
}

#[test]
fn max_pooling_of_four_by_four() {
    #[rustfmt::skip]
    let input = vec![
        1.0, 1.0, 2.0, 4.0,
        5.0, 6.0, 7.0, 8.0,
        3.0, 2.0, 1.0, 0.0,
        1.0, 2.0, 3.0, 4.0,
    ];
    let pool = MaxPool2d::new(2, 2);
    let case = Case::new("pool", pool, vec![Tensor::f32([1, 1, 4, 4], input).unwrap()]);
    let output = everywhere(&case);
    assert_eq!(output, Tensor::f32([1, 1, 2, 2], vec![6.0, 8.0, 3.0, 4.0]).unwrap());
}

fn whole(draw: &mut Draw, shape: [usize; 4]) -> Tensor {
    let values = (0..shape.iter().product()).map(|_| draw.size(0, 8) as f32 - 4.0).collect();
    Tensor::f32(shape, values).unwrap()
}

/// cs231n's animation: two 3x3x3 filters over a 5x5x3 volume, padded by 1 to 7x7x3, at stride 2.
#[test]
fn two_filters_over_a_padded_volume() {
    let mut draw = Draw::new(231);
    let (x, w) = (whole(&mut draw, [1, 3, 5, 5]), whole(&mut draw, [2, 3, 3, 3]));
    let bias = Tensor::f32([2], vec![1.0, 0.0]).unwrap();
    let (input, weight) = (x.clone().into_f32(), w.clone().into_f32());
    let case = Case::new("animation", conv::Conv2d::new(2, 1), vec![x, w, bias]);
    let output = everywhere(&case);
    assert_eq!(output.shape().dims(), [1, 2, 3, 3]);
    let mut expected = vec![];
    for filter in 0..2 {
        for (top, left) in (0..9).map(|i| (2 * (i / 3), 2 * (i % 3))) {
            let mut sum = if filter == 0 { 1.0 } else { 0.0 };
            for (c, v, u) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                // In the padded volume the picture starts at row and column 1.
                let (row, column): (usize, usize) = (top + v, left + u);
                if (1..6).contains(&row) && (1..6).contains(&column) {
                    let pixel = input[c * 25 + (row - 1) * 5 + column - 1];
                    sum += pixel * weight[filter * 27 + c * 9 + v * 3 + u];
                }
            }
            expected.push(sum);
        }
    }
    assert_eq!(output.into_f32(), expected);
}

/// The matrix product over unfolded patches and the direct loop are the same sums. The CPU engine
/// unfolds; the oracle loops; the GPU has a variant of either kind.
#[test]
fn convolution_is_a_matrix_product() {
    let mut draw = Draw::new(5);
    let (x, w) = (whole(&mut draw, [2, 4, 9, 7]), whole(&mut draw, [6, 2, 3, 2]));
    let op = conv::Conv2d { padding: [1, 0, 2, 1], stride: [2, 1], ..Default::default() }.groups(2);
    let case = Case::new("unfolded", op, vec![x, w]);
    everywhere(&case);
    if let Some(device) = common::gpu() {
        let variants = common::variants(&case, &device);
        assert!(
            ["direct", "im2col"].iter().all(|v| variants.iter().any(|n| n == v)),
            "{variants:?}"
        );
    }
}

/// A million hidden units on a 1000x1000 image: 10^12 weights where each unit sees each pixel, 10^8
/// where each sees 10x10 pixels, 100 where they all share one filter.
#[test]
fn sharing_saves_weights() {
    let image = [1, 1000, 1000];
    let filter = Conv2d::new(1, 10).padding([4, 5, 4, 5]).no_bias();
    let summary = Model::new("shared", image).with(filter).summary(1).unwrap();
    let layer = &summary.layers[0];
    assert_eq!(layer.output.per_sample(), 1_000_000);
    assert_eq!(layer.fully_connected, Some(1_000_000_000_000));
    assert_eq!(layer.locally_connected, Some(100_000_000));
    assert_eq!(layer.parameters, 100);
    let dense =
        Model::new("dense", [1, 30, 30]).with(Linear::new(900).no_bias()).summary(1).unwrap();
    assert_eq!(dense.layers[0].parameters, 810_000);
    assert_eq!(dense.layers[0].fully_connected, Some(810_000));
}
