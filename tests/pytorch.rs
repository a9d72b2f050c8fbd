//! The oracles against PyTorch 2.15 in f64: what the ops mean is not only our own opinion.
//!
//! The numbers were printed by this program:
//! ```python
//! import torch, torch.nn.functional as F
//! torch.set_default_dtype(torch.float64)
//! def ramp(*shape, m=37, a=11):  # exact in f32, all values different
//!     i = torch.arange(torch.Size(shape).numel())
//!     return (((i * m + a) % 101 - 50).double() / 16).reshape(shape)
//! def grad(y, x): return torch.autograd.grad(y, x, ramp(*y.shape, m=29, a=5))[0]
//! x = ramp(1, 1, 5, 6).requires_grad_()
//! y, i = F.max_pool2d(x, 3, 2, 1, ceil_mode=True, return_indices=True)
//! print(y, i, grad(y, x))
//! for include in (True, False):
//!     y = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=include)
//!     print(y, grad(y, x))
//! x = ramp(1, 6, 1, 2).requires_grad_()
//! for size in (5, 4):
//!     y = F.local_response_norm(x, size, alpha=0.5, beta=0.75, k=2.0)
//!     print(y, grad(y, x))
//! x = ramp(3, 4).requires_grad_()
//! y = F.cross_entropy(x, torch.tensor([2, 0, 3]))
//! print(y, torch.autograd.grad(y, x)[0])
//! w = torch.nn.Parameter(ramp(4))
//! o = torch.optim.SGD([w], lr=0.125, momentum=0.875, weight_decay=0.0625)
//! for t in range(5):
//!     w.grad = ramp(4, m=29, a=5 + t)
//!     o.step()
//! print(w, o.state[w]["momentum_buffer"])
//! ```

use gabor::graph::{Bindings, Graph, interpret};
use gabor::ops::case::oracle;
use gabor::ops::lrn::{AlphaConvention, Lrn};
use gabor::ops::optim::{Sgd, Update};
use gabor::ops::pool::{AvgPool2d, MaxPool2d};
use gabor::ops::softmax::SoftmaxCrossEntropy;
use gabor::ops::{Array, Emit, Op};
use gabor::tensor::{Shape, Tensor, TensorType};

fn ramp(shape: impl Into<Shape>, factor: i64, offset: i64) -> Tensor {
    let shape = shape.into();
    let value = |i: i64| ((i * factor + offset) % 101 - 50) as f32 / 16.0;
    let data = (0..shape.elements() as i64).map(value).collect();
    Tensor::f32(shape, data).unwrap()
}

fn assert_near(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() < 1e-12, "element {i} is {a}, PyTorch has {e}");
    }
}

/// The outputs of `op`, and the gradient of its first input when `ramp` with factor 29 and offset 5,
/// or 1 for a single value, arrives at its first output.
fn with_gradient(op: impl Op + 'static, inputs: &[Tensor]) -> (Vec<Array>, Vec<f64>) {
    let outputs = oracle(&op, inputs).unwrap();
    let mut graph = Graph::new();
    let mut bindings = Bindings::new();
    let mut input = |graph: &mut Graph, name: String, tensor: &Tensor| {
        bindings.insert(name.clone(), Array::from(tensor));
        graph.input(name, tensor.ty()).unwrap()
    };
    let values: Vec<_> =
        inputs.iter().enumerate().map(|(i, t)| input(&mut graph, format!("in{i}"), t)).collect();
    let ty = TensorType::f32(outputs[0].shape.clone());
    let seed = match ty.elements() {
        1 => Tensor::scalar(1.0),
        _ => ramp(ty.shape, 29, 5),
    };
    let seed = input(&mut graph, "seed".into(), &seed);
    let output = graph.emit(std::sync::Arc::new(op), &values).unwrap()[0];
    let grads = graph.gradients_from(&[(output, seed)], &values[..1]).unwrap();
    let grad = interpret(&graph, &bindings).unwrap()[&grads[0]].data.clone();
    (outputs, grad)
}

#[test]
fn max_pooling_with_padding_and_ceil_mode() {
    let pool = MaxPool2d { padding: [1; 4], ceil_mode: true, ..MaxPool2d::new(3, 2) };
    let (outputs, grad) = with_gradient(pool, &[ramp([1, 1, 5, 6], 37, 11)]);
    assert_eq!(outputs[0].dims(), [1, 1, 3, 4]);
    assert_near(
        &outputs[0].data,
        &[1.125, 2.1875, 2.8125, 2.8125, 2.375, 2.375, 3.0, 0.25, 2.5625, 1.9375, 1.9375, 1.5],
    );
    let indices = [7, 2, 5, 5, 13, 13, 16, 23, 24, 21, 21, 29];
    assert_near(&outputs[1].data, &indices.map(f64::from));
    assert_near(
        &grad,
        &[
            0.0, 0.0, -1.0, 0.0, 0.0, 3.4375, 0.0, -2.8125, 0.0, 0.0, 0.0, 0.0, 0.0, -1.9375, 0.0,
            0.0, 1.75, 0.0, 0.0, 0.0, 0.0, 3.5625, 0.0, -2.75, -0.9375, 0.0, 0.0, 0.0, 0.0,
            -1.8125,
        ],
    );
}

fn average(count_include_pad: bool, expected: &[f64], expected_grad: &[f64]) {
    let pool =
        AvgPool2d { padding: [1; 4], ceil_mode: true, count_include_pad, ..AvgPool2d::new(3, 2) };
    let (outputs, grad) = with_gradient(pool, &[ramp([1, 1, 5, 6], 37, 11)]);
    assert_near(&outputs[0].data, expected);
    assert_near(&grad, expected_grad);
}

#[test]
fn average_pooling_that_counts_padding() {
    average(
        true,
        &[
            -0.2916666666666667,
            -0.22916666666666666,
            0.04861111111111111,
            0.09375,
            0.1111111111111111,
            -0.2222222222222222,
            0.19444444444444445,
            -0.5,
            -0.027777777777777776,
            -0.5347222222222222,
            -0.2569444444444444,
            0.2916666666666667,
        ],
        &[
            -0.3125,
            -0.4236111111111111,
            -0.1111111111111111,
            -0.02083333333333333,
            0.09027777777777778,
            0.5277777777777778,
            -0.5208333333333334,
            -0.6388888888888888,
            -0.11805555555555555,
            0.16666666666666669,
            0.2847222222222222,
            0.2638888888888889,
            -0.20833333333333334,
            -0.2152777777777778,
            -0.006944444444444444,
            0.1875,
            0.19444444444444445,
            -0.26388888888888884,
            -0.3125,
            -0.22222222222222227,
            0.09027777777777778,
            0.5833333333333333,
            0.4930555555555556,
            -0.26736111111111105,
            -0.10416666666666667,
            -0.0069444444444444475,
            0.09722222222222222,
            0.3958333333333333,
            0.2986111111111111,
            -0.00347222222222221,
        ],
    );
}

#[test]
fn average_pooling_that_does_not_count_padding() {
    average(
        false,
        &[
            -0.65625,
            -0.34375,
            0.07291666666666667,
            0.28125,
            0.16666666666666666,
            -0.2222222222222222,
            0.19444444444444445,
            -1.0,
            -0.0625,
            -0.8020833333333334,
            -0.3854166666666667,
            0.875,
        ],
        &[
            -0.703125,
            -0.8697916666666666,
            -0.16666666666666666,
            -0.03125,
            0.13541666666666666,
            1.4479166666666667,
            -1.015625,
            -1.189236111111111,
            -0.1736111111111111,
            0.15625,
            0.3298611111111111,
            0.7256944444444445,
            -0.3125,
            -0.3194444444444444,
            -0.006944444444444444,
            0.1875,
            0.19444444444444445,
            -0.7222222222222222,
            -0.546875,
            -0.40798611111111105,
            0.1388888888888889,
            0.78125,
            0.6423611111111112,
            -1.1805555555555556,
            -0.234375,
            -0.08854166666666666,
            0.14583333333333334,
            0.59375,
            0.4479166666666667,
            -0.4583333333333333,
        ],
    );
}

fn normalised(size: usize, expected: &[f64], expected_grad: &[f64]) {
    let convention = AlphaConvention::Mean;
    let lrn = Lrn { size, alpha: 0.5, beta: 0.75, k: 2.0, convention };
    let (outputs, grad) = with_gradient(lrn, &[ramp([1, 6, 1, 2], 37, 11)]);
    assert_near(&outputs[0].data, expected);
    assert_near(&grad, expected_grad);
    // The other convention means the same with a smaller alpha; 1/8 is exact.
    if size == 4 {
        let sum = Lrn { alpha: 0.125, convention: AlphaConvention::Sum, ..lrn };
        assert_near(&with_gradient(sum, &[ramp([1, 6, 1, 2], 37, 11)]).1, expected_grad);
    }
}

#[test]
fn local_response_normalisation_over_five_channels() {
    normalised(
        5,
        &[
            -1.0439259846555413,
            -0.05323287258935067,
            0.906093154460109,
            -0.7492046670845119,
            0.17464486161867696,
            1.154135978540893,
            -0.43827201116690095,
            0.4146584515971752,
            -1.174540732726015,
            -0.22194343305886974,
            0.7190285619273902,
            -1.0788882292709685,
        ],
        &[
            -0.8043200081298277,
            -0.43730993723290085,
            0.044010685968961016,
            0.8371441277560809,
            -0.7468187213225106,
            0.3827516335964336,
            0.8004454912175974,
            -0.9712200692032096,
            -0.1068078701751754,
            0.3751450253546104,
            0.9149593524006938,
            -0.7420818022061478,
        ],
    );
}

#[test]
fn local_response_normalisation_over_four_channels() {
    normalised(
        4,
        &[
            -0.9864039125517733,
            -0.06457231204444383,
            0.8790743240896117,
            -0.7236655138258691,
            0.19339760805520922,
            1.0852863708102833,
            -0.4329934262610052,
            0.43070705371172446,
            -1.0946832920091885,
            -0.20588828321869163,
            0.670671645738888,
            -1.0310447306952482,
        ],
        &[
            -0.7085345573258934,
            -0.5294873770669888,
            0.02191258320650169,
            0.7489877110179362,
            -0.7435649071943593,
            0.4789597026161515,
            0.7461711578184553,
            -1.1086776787649988,
            -0.040216093248390095,
            0.3501995594283754,
            0.7723909367169894,
            -0.5719368682673344,
        ],
    );
}

#[test]
fn cross_entropy() {
    let labels = Tensor::u32([3], vec![2, 0, 3]).unwrap();
    let inputs = [ramp([3, 4], 37, 11), labels];
    let (outputs, grad) = with_gradient(SoftmaxCrossEntropy, &inputs);
    assert_near(&outputs[0].data, &[2.271997968937942]);
    assert_near(
        &grad,
        &[
            0.0028992903899478077,
            0.029281795646245397,
            -0.03759767358663531,
            0.005416587550442083,
            -0.3079903212070109,
            0.2559553553918585,
            0.004687985860994899,
            0.04734697995415757,
            0.0028992903899478077,
            0.029281795646245397,
            0.295735659746698,
            -0.3279167457828912,
        ],
    );
}

#[test]
fn five_steps_of_sgd() {
    let (momentum, weight_decay) = (0.875, 0.0625);
    let sgd = Update(Sgd { momentum, weight_decay, ..Sgd::default() });
    let mut state = vec![Array::from(&ramp([4], 37, 11)), Array::zeros([4])];
    for t in 0..5 {
        let grad = Array::from(&ramp([4], 29, 5 + t));
        let rate = Array::from(&Tensor::scalar(0.125));
        let inputs = [state[0].clone(), state[1].clone(), grad, rate];
        sgd.reference(&mut gabor::ops::Arrays { inputs: &inputs, outputs: &mut state });
    }
    assert_near(
        &state[0].data,
        &[2.050033775723932, 1.3072401641438773, 0.5644465525638225, -5.874909624346401],
    );
    assert_near(
        &state[1].data,
        &[-10.628746623973711, -3.25315999056329, 4.122426642847131, 10.011118565729703],
    );
}
