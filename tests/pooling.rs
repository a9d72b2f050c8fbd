//! NaNs and ties in max pooling, on every device as in PyTorch 2.15: the expected values are its.

mod common;

use gabor::call;
use gabor::device::Device;
use gabor::ops::case::Case;
use gabor::ops::pool::AdaptiveMaxPool2d;
use gabor::tensor::Tensor;
use serde_json::{Value, json};

const NAN: f32 = f32::NAN;

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), common::gpu(), common::checked_gpu()].into_iter().flatten().collect()
}

/// Checks maxima and indices of one plane.
fn check(name: &str, attributes: &Value, plane: Tensor, maxima: &[f32], indices: &[u32]) {
    let inputs = [("input".to_owned(), plane)];
    for device in devices() {
        let outputs = call::run(name, attributes, &inputs, &[], &device).unwrap();
        let bits = |values: &[f32]| -> Vec<Option<u32>> {
            values.iter().map(|v| (!v.is_nan()).then(|| v.to_bits())).collect()
        };
        let context = format!("{name} {attributes} on {device:?}");
        assert_eq!(bits(outputs[0].1.as_f32().unwrap()), bits(maxima), "{context}");
        assert_eq!(outputs[1].1.as_u32().unwrap(), indices, "{context}");
    }
}

#[test]
fn a_nan_is_larger_than_any_number_and_the_last_one_counts() {
    let negative_nan = f32::from_bits(0xffc0_0001);
    let row = vec![1.0, NAN, 3.0, NAN, negative_nan, 2.0, 0.0, 0.0, -0.0, f32::INFINITY];
    let row = || Tensor::f32([1, 1, 1, 10], row.clone()).unwrap();
    let attributes = json!({ "kernel_size": [1, 3], "stride": 1 });
    let maxima = [NAN, NAN, NAN, NAN, NAN, 2.0, 0.0, f32::INFINITY];
    check("max_pool2d", &attributes, row(), &maxima, &[1, 3, 4, 4, 4, 5, 6, 9]);
    let attributes = json!({ "output_size": [1, 3] });
    let maxima = [NAN, NAN, f32::INFINITY];
    check("adaptive_max_pool2d", &attributes, row(), &maxima, &[3, 4, 9]);
    check("global_max_pool2d", &json!({}), row(), &[NAN], &[4]);
}

#[test]
fn the_last_nan_of_a_large_plane_is_found() {
    let mut plane: Vec<f32> = (0..17 * 19).map(|i| (i * 37 % 101) as f32).collect();
    for at in [200, 64, 129] {
        plane[at] = NAN;
    }
    let plane = Tensor::f32([1, 1, 17, 19], plane).unwrap();
    check("global_max_pool2d", &json!({}), plane.clone(), &[NAN], &[200]);
    // The kernel that is no software adapter's first choice.
    let case = Case::new("", AdaptiveMaxPool2d::default(), vec![plane]);
    for device in [common::gpu(), common::checked_gpu()].into_iter().flatten() {
        let outputs = gabor::check::run(&case, &device, Some("workgroup")).unwrap();
        assert!(outputs[0].as_f32().unwrap()[0].is_nan());
        assert_eq!(outputs[1].as_u32().unwrap(), [200]);
    }
}

#[test]
fn the_first_of_equal_values_counts() {
    let equal = || Tensor::f32([1, 1, 9, 9], vec![-2.5; 81]).unwrap();
    check("global_max_pool2d", &json!({}), equal(), &[-2.5], &[0]);
    let attributes = json!({ "window": 3, "padding": 1, "stride": 4 });
    check("max_pool2d", &attributes, equal(), &[-2.5; 9], &[0, 3, 7, 27, 30, 34, 63, 66, 70]);
    let lowest = || Tensor::f32([1, 1, 1, 3], vec![f32::NEG_INFINITY; 3]).unwrap();
    check("global_max_pool2d", &json!({}), lowest(), &[f32::NEG_INFINITY], &[0]);
    let attributes = json!({ "window": [1, 2], "stride": 1 });
    check("max_pool2d", &attributes, lowest(), &[f32::NEG_INFINITY; 2], &[0, 1]);
}
