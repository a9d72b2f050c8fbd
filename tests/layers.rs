//! Layers: the shapes and parameters that they make, and that networks of them learn on every device.

mod common;

use gabor::device::Device;
use gabor::graph::Graph;
use gabor::nn::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, Conv2d, ConvTranspose2d, GlobalAvgPool2d,
    GlobalMaxPool2d, Layer, Local2d, MaxPool2d, Mode, Model,
};
use gabor::ops::case::Draw;
use gabor::session::Session;
use gabor::tensor::Shape;

/// The output's shape for a batch of 2, and the number of parameters.
fn built(input: [usize; 3], layer: impl Layer + 'static) -> (Shape, usize) {
    let summary = Model::new("one layer", input).with(layer).summary(2).unwrap();
    (summary.layers[0].output.clone(), summary.parameters)
}

#[test]
fn shapes_and_parameters_follow_the_formulas() {
    let image = [6, 9, 13];
    let conv = Conv2d::new(4, [3, 5]).stride([1, 2]).padding([1, 0]).dilation([1, 3]).groups(2);
    assert_eq!(built(image, conv), ([2, 4, 9, 1].into(), 4 * 3 * 15 + 4));
    let conv = Conv2d::new(4, 4).padding([1, 2, 2, 1]).no_bias();
    assert_eq!(built(image, conv), ([2, 4, 9, 13].into(), 4 * 6 * 16));
    let up = ConvTranspose2d::new(4, [3, 4]).stride(2).padding(1).output_padding([1, 0]);
    assert_eq!(built(image, up), ([2, 4, 18, 26].into(), 6 * 4 * 12 + 4));
    let up = ConvTranspose2d::new(4, 3).groups(2).dilation(2).no_bias();
    assert_eq!(built(image, up), ([2, 4, 13, 17].into(), 6 * 2 * 9));
    let local = Local2d::new(4, [3, 5]).stride([2, 3]).padding(1).groups(2);
    assert_eq!(built(image, local), ([2, 4, 5, 4].into(), 4 * 3 * 15 * 20 + 4 * 20));
    let pool = MaxPool2d::new([2, 3]).stride([1, 2]).padding([0, 1]).dilation([3, 1]);
    assert_eq!(built(image, pool), ([2, 6, 6, 7].into(), 0));
    assert_eq!(built(image, AvgPool2d::new([3, 2])), ([2, 6, 3, 6].into(), 0));
    assert_eq!(built(image, AdaptiveAvgPool2d::new(4)), ([2, 6, 4, 4].into(), 0));
    assert_eq!(built(image, AdaptiveMaxPool2d::new([3, 20])), ([2, 6, 3, 20].into(), 0));
    assert_eq!(built(image, GlobalAvgPool2d), ([2, 6, 1, 1].into(), 0));
    assert_eq!(built(image, GlobalMaxPool2d), ([2, 6, 1, 1].into(), 0));
}

#[test]
fn faults_name_the_layer() {
    let message = |layer: Box<dyn Fn(Model) -> Model>| {
        layer(Model::new("m", [6, 9, 13])).summary(1).unwrap_err().to_string()
    };
    let text = message(Box::new(|m| m.with(Local2d::new(4, 3).groups(4))));
    assert!(text.contains("layer `local1`") && text.contains("groups = 4"), "{text}");
    let text = message(Box::new(|m| m.with(Local2d::new(4, 11))));
    assert!(text.contains("layer `local1`") && text.contains("larger than the padded"), "{text}");
    let text = message(Box::new(|m| m.with(ConvTranspose2d::new(3, 3).groups(2))));
    assert!(text.contains("layer `convt1`") && text.contains("divide the 3 outputs"), "{text}");
    let text = message(Box::new(|m| m.with(ConvTranspose2d::new(4, 3).output_padding(1))));
    assert!(text.contains("layer `convt1`") && text.contains("output padding"), "{text}");
    let text = message(Box::new(|m| m.with(MaxPool2d::new(3).dilation(6))));
    assert!(text.contains("layer `pool1`") && text.contains("does not fit"), "{text}");
    let text = message(Box::new(|m| m.with(AdaptiveAvgPool2d::new(0))));
    assert!(text.contains("layer `avgpool1`") && text.contains("at least 1"), "{text}");
}

/// Locally connected filters keep the scale of what they see, as shared ones do.
#[test]
fn unshared_weights_start_at_the_scale_of_shared_ones() {
    let mut graph = Graph::new();
    let model = Model::new("m", [8, 12, 12]).with(Local2d::new(16, 3)).with(Conv2d::new(16, 3));
    let images = graph.input("images", model.input_type(1).unwrap()).unwrap();
    let forward = model.forward(&mut graph, images, Mode::Train, 1).unwrap();
    graph.output("logits", forward.logits).unwrap();
    let mut session = Session::new(&Device::cpu());
    let mut program = session.compile(&graph).unwrap();
    let input = Draw::new(3).uniform([1, 8, 12, 12], -1.0, 1.0);
    let outputs = session.run(&mut program, &[("images", &input)]).unwrap();
    let logits = outputs.get("logits").unwrap().as_f32().unwrap();
    let variance = logits.iter().map(|x| x * x).sum::<f32>() / logits.len() as f32;
    // 1/3 of the inputs, doubled twice.
    assert!((0.8..2.2).contains(&variance), "{variance}");
}
