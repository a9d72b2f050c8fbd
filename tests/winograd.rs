//! Winograd convolution beyond the op suite: random shapes, the error bound of `docs/winograd.md`, the
//! same bits each run, and large images in parts that fit a binding.

mod common;

use gabor::check;
use gabor::device::Device;
use gabor::kernel::{Adapter, Operand, Variant};
use gabor::ops::case::{Case, Draw, oracle};
use gabor::ops::conv::{Conv2d, Conv2dGradInput, Conv2dRelu, ConvTranspose2d, Winograd};
use gabor::ops::{Op, Types};
use gabor::tensor::{Tensor, TensorType};

/// One of the ops that are offered the variants, on random extents and paddings.
fn random_case(draw: &mut Draw) -> Case {
    let groups = draw.pick(&[1, 1, 2, 3]);
    let [inputs, outputs] = [draw.size(4, 11), draw.size(4, 40)];
    let mut padding = [0; 4];
    padding.iter_mut().for_each(|side| *side = draw.size(0, 4));
    let conv = Conv2d { padding, groups, ..Conv2d::default() };
    let batch = draw.size(1, 3);
    let input = [draw.size(3, 14), draw.size(3, 14)];
    let output = [0, 1].map(|axis| input[axis] + padding[2 * axis] + padding[2 * axis + 1] - 2);
    let image = draw.normal([batch, groups * inputs, input[0], input[1]]);
    let weight = draw.normal([groups * outputs, inputs, 3, 3]);
    let grad = draw.normal([batch, groups * outputs, output[0], output[1]]);
    let bias = draw.normal([groups * outputs]);
    let label = format!("{conv:?} of {:?} with {:?}", image.shape(), weight.shape());
    match draw.size(0, 4) {
        0 => Case::new(label, conv, vec![image, weight]),
        1 => Case::new(label, conv, vec![image, weight, bias]),
        2 => Case::new(label, Conv2dRelu(conv), vec![image, weight, bias]),
        3 => Case::new(label, Conv2dGradInput { conv, input }, vec![grad, weight]),
        _ => {
            let transposed =
                ConvTranspose2d { padding: [0, 1, 2, 0], groups, ..Default::default() };
            let bias = draw.normal([groups * inputs]);
            Case::new(label, transposed, vec![grad, weight, bias])
        }
    }
}

fn random_cases(device: Option<Device>, seed: u64, count: usize) {
    let Some(device) = device else { return };
    let mut draw = Draw::new(seed);
    for _ in 0..count {
        let case = random_case(&mut draw);
        for winograd in Winograd::ALL {
            let outcome = check::run(&case, &device, Some(winograd.name()))
                .and_then(|outputs| check::compare(&case, &outputs, Some(winograd.name())));
            outcome.unwrap_or_else(|e| panic!("{}: {e}", winograd.name()));
        }
    }
}

#[test]
fn random_shapes_agree_with_the_oracle_under_webgpu_limits() {
    random_cases(common::gpu(), 11, 12);
}

#[test]
fn random_shapes_agree_with_the_oracle_with_all_features() {
    random_cases(common::full_gpu(), 12, 24);
}

/// `M x M^T` of a square `x` with rows of `side`, where `M` holds the absolute values of `matrix`.
fn both_axes(matrix: &[&[f64]], x: &[f64], side: usize) -> Vec<f64> {
    let mut result = vec![];
    for left in matrix {
        for right in matrix {
            let terms =
                (0..side * side).map(|at| (left[at / side] * right[at % side]).abs() * x[at]);
            result.push(terms.sum());
        }
    }
    result
}

/// The bound on the error of each output of a convolution without padding:
/// `gamma_n |A^T| (sum over channels of |G||g||G^T| * |B^T||d||B|) |A|`.
fn bounds(winograd: Winograd, image: &Tensor, weight: &Tensor) -> Vec<f64> {
    let [batch, channels, height, width] = <[usize; 4]>::try_from(image.shape().dims()).unwrap();
    let outputs = weight.shape().dims()[0];
    let (rows, columns) = (height - 2, width - 2);
    let (tile, side) = (winograd.tile(), winograd.side());
    let absolute = |x: &f32| f64::from(x.abs());
    let image: Vec<f64> = image.as_f32().unwrap().iter().map(absolute).collect();
    let weight: Vec<f64> = weight.as_f32().unwrap().iter().map(absolute).collect();
    let unit = f64::from(f32::EPSILON) / 2.0;
    let n = winograd.roundings(channels) as f64 * unit;
    let gamma = n / (1.0 - n);
    let kernels: Vec<_> =
        weight.chunks(9).map(|g| both_axes(winograd.weight_transform(), g, 3)).collect();
    let mut result = vec![0.0; batch * outputs * rows * columns];
    for member in 0..batch {
        for (top, left) in (0..rows.div_ceil(tile) * columns.div_ceil(tile))
            .map(|t| (t / columns.div_ceil(tile) * tile, t % columns.div_ceil(tile) * tile))
        {
            let patches: Vec<_> = (0..channels)
                .map(|channel| {
                    let pixel = |at: usize| {
                        let (y, x) = (top + at / side, left + at % side);
                        let place = ((member * channels + channel) * height + y) * width + x;
                        if y < height && x < width { image[place] } else { 0.0 }
                    };
                    let patch: Vec<_> = (0..side * side).map(pixel).collect();
                    both_axes(winograd.input_transform(), &patch, side)
                })
                .collect();
            for output in 0..outputs {
                let mut sums = vec![0.0; side * side];
                for (channel, patch) in patches.iter().enumerate() {
                    let kernel = &kernels[output * channels + channel];
                    for ((sum, g), d) in sums.iter_mut().zip(kernel).zip(patch) {
                        *sum += g * d;
                    }
                }
                let errors = both_axes(winograd.output_transform(), &sums, side);
                for (at, error) in errors.iter().enumerate() {
                    let (y, x) = (top + at / tile, left + at % tile);
                    if y < rows && x < columns {
                        let place = ((member * outputs + output) * rows + y) * columns + x;
                        result[place] = gamma * error;
                    }
                }
            }
        }
    }
    result
}

/// The largest error of an output over its bound, for random inputs.
fn share_of_bound(device: &Device, winograd: Winograd, channels: usize) -> f64 {
    let mut draw = Draw::new(21);
    let (image, weight) = (draw.normal([2, channels, 15, 18]), draw.normal([9, channels, 3, 3]));
    let bounds = bounds(winograd, &image, &weight);
    let case = Case::new("", Conv2d::default(), vec![image, weight]);
    let expected = &oracle(case.op.as_ref(), &case.inputs).unwrap()[0].data;
    let actual = check::run(&case, device, Some(winograd.name())).unwrap();
    let errors = actual[0].as_f32().unwrap().iter().zip(expected);
    let errors: Vec<f64> = errors.map(|(&y, r)| (f64::from(y) - r).abs()).collect();
    let rms = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
    let largest = errors.iter().zip(&bounds).map(|(e, b)| e / b).fold(0.0, f64::max);
    println!(
        "{}, {channels} channels: errors up to 1/{:.0} of the bound, rms {:.1e} of the outputs'",
        winograd.name(),
        1.0 / largest,
        rms(&errors) / rms(expected),
    );
    largest
}

#[test]
fn errors_stay_under_the_bound_and_not_far_under() {
    let Some(device) = common::full_gpu() else { return };
    for winograd in Winograd::ALL {
        for channels in [4, 64] {
            let largest = share_of_bound(&device, winograd, channels);
            assert!(largest <= 1.0, "{} with {channels} channels: {largest}", winograd.name());
            // In the bound every rounding and every product pushes the same way. At random they add up
            // as a walk does, to the root of their number.
            let steps = (winograd.roundings(channels) * 9 * channels) as f64;
            let least = 1.0 / (4.0 * steps.sqrt());
            assert!(largest >= least, "{} with {channels} channels: {largest}", winograd.name());
        }
    }
}

#[test]
fn each_run_gives_the_same_bits() {
    let Some(device) = common::full_gpu() else { return };
    let mut draw = Draw::new(31);
    let inputs = vec![draw.normal([2, 40, 13, 13]), draw.normal([48, 40, 3, 3])];
    let case = Case::new("", Conv2d::new(1, 1), inputs);
    for winograd in Winograd::ALL {
        let bits = || {
            let outputs = check::run(&case, &device, Some(winograd.name())).unwrap();
            outputs[0].as_f32().unwrap().iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(), bits(), "{}", winograd.name());
    }
}

fn variants(op: &dyn Op, inputs: [&[usize]; 2], adapter: &Adapter) -> Vec<Variant> {
    let inputs = inputs.map(TensorType::f32);
    let types = Types::infer(op, inputs.to_vec()).unwrap();
    let variants = op.variants(&types, adapter).unwrap().into_iter();
    variants.filter(|v| Winograd::named(v.name).is_some()).collect()
}

#[test]
fn what_is_transformed_fits_a_binding() {
    let adapter = Adapter::webgpu_default();
    let conv = Conv2d::new(1, 1);
    let variants = variants(&conv, [&[32, 64, 224, 224], &[64, 64, 3, 3]], &adapter);
    assert_eq!(variants.len(), 2);
    for variant in &variants {
        assert!(variant.dispatches.len() > 4, "{} is not cut", variant.name);
        let types = variant.workspace.iter().map(|ty| ty.elements());
        assert!(types.max().unwrap() <= adapter.max_binding_elements());
        for binding in variant.dispatches.iter().flat_map(|d| &d.bindings) {
            let Some(range) = &binding.range else { continue };
            assert!(range.len() <= adapter.max_binding_elements());
            if let Operand::Workspace(i) = binding.operand {
                assert!(range.end <= variant.workspace[i].elements());
            }
        }
    }
}

#[test]
fn it_is_offered_only_where_it_computes_the_same() {
    let adapter = Adapter::webgpu_default();
    let offered = |conv: Conv2d, kernel: [usize; 2], channels: usize| {
        let weight = [12, channels / conv.groups, kernel[0], kernel[1]];
        variants(&conv, [&[1, channels, 20, 20], &weight], &adapter).len()
    };
    let plain = Conv2d::default();
    assert_eq!(offered(plain, [3, 3], 12), 2);
    assert_eq!(offered(plain.groups(3), [3, 3], 12), 2);
    assert_eq!(offered(plain, [3, 2], 12), 0);
    assert_eq!(offered(plain, [5, 5], 12), 0);
    assert_eq!(offered(Conv2d::new(2, 1), [3, 3], 12), 0);
    assert_eq!(offered(Conv2d { dilation: [1, 2], ..plain }, [3, 3], 12), 0);
    assert_eq!(offered(plain.groups(6), [3, 3], 12), 0);
    assert_eq!(offered(plain, [3, 3], 3), 0);
    // The weights of one convolution are not cut.
    assert!(variants(&plain, [&[1, 1024, 8, 8], &[4096, 1024, 3, 3]], &adapter).is_empty());
}
