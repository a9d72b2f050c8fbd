//! The worked example of max pooling in the lecture: 2x2 windows, stride 2.

use gabor::ops::case::oracle;
use gabor::ops::pool::MaxPool2d;
use gabor::tensor::Tensor;

#[test]
fn four_by_four_becomes_two_by_two() {
    #[rustfmt::skip]
    let input = vec![
        1.0, 1.0, 2.0, 4.0,
        5.0, 6.0, 7.0, 8.0,
        3.0, 2.0, 1.0, 0.0,
        1.0, 2.0, 3.0, 4.0,
    ];
    let pool = MaxPool2d { window: [2; 2], stride: [2; 2], padding: [0; 4], ceil_mode: false };
    let outputs = oracle(&pool, &[Tensor::f32([1, 1, 4, 4], input).unwrap()]).unwrap();
    assert_eq!(outputs[0].dims(), [1, 1, 2, 2]);
    assert_eq!(outputs[0].data, [6.0, 8.0, 3.0, 4.0]);
    assert_eq!(outputs[1].data, [5.0, 7.0, 8.0, 15.0]);
}
