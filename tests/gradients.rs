//! The gradients of whole networks against finite differences, both by the oracles in f64: what each op
//! does rightly must also be put together rightly.

use gabor::graph::{Bindings, Graph, interpret};
use gabor::nn::{
    BatchNorm2d, Concat, Conv2d, Init, Linear, Local2d, Lrn, LrnWithinChannel, MaxPool2d, Mode,
    Model, Relu, Residual, Sequential, Shared,
};
use gabor::ops::case::Draw;
use gabor::ops::lrn::{self, AlphaConvention};
use gabor::ops::softmax::SoftmaxCrossEntropy;
use gabor::ops::{Array, Value};
use gabor::tensor::{Tensor, TensorType};
use gabor::tolerance::Tolerance;

const BATCH: usize = 3;

struct Network {
    graph: Graph,
    loss: Value,
    /// The images and the parameters, by name.
    variables: Vec<(String, Value)>,
    bindings: Bindings,
}

fn network(model: &Model) -> Network {
    let mut draw = Draw::new(11);
    let mut graph = Graph::new();
    let ty = model.input_type(BATCH).unwrap();
    let images = graph.input("images", ty.clone()).unwrap();
    let labels = graph.input("labels", TensorType::u32([BATCH])).unwrap();
    let forward = model.forward(&mut graph, images, Mode::Train, 3).unwrap();
    let inputs = [forward.logits, labels];
    let loss = graph.add_all(SoftmaxCrossEntropy, &inputs).unwrap()[0];
    let mut variables = vec![("images".to_owned(), images)];
    variables.extend(forward.parameters.iter().map(|p| (p.name.clone(), p.value)));
    let classes = model.classes().unwrap();
    let mut bindings = Bindings::new();
    bindings.insert("images".into(), Array::from(&draw.normal(ty.shape)));
    bindings.insert("labels".into(), Array::from(&draw.labels(BATCH, classes)));
    for (name, value) in &variables[1..] {
        // Away from the initial values, where biases are 0 and scales 1.
        let ty = &graph.value(*value).ty;
        let scale = if ty.shape.rank() == 1 { 0.5 } else { 1.0 / ty.shape.per_sample() as f64 };
        let mut drawn = Array::from(&draw.normal(ty.shape.clone()));
        let is_scale = name.ends_with("weight") && ty.shape.rank() == 1;
        drawn.data.iter_mut().for_each(|x| *x = *x * scale.sqrt() + f64::from(is_scale));
        bindings.insert(name.clone(), drawn);
    }
    Network { graph, loss, variables, bindings }
}

/// Compares the gradients at up to `samples` elements of each variable. Returns how many were compared
/// and how many were left out because the loss has a kink there.
fn check(model: &Model, samples: usize) -> (usize, usize) {
    const STEP: f64 = 1e-5;
    let mut draw = Draw::new(12);
    let Network { graph, loss, variables, bindings } = network(model);
    let mut whole = graph.clone();
    let values: Vec<_> = variables.iter().map(|(_, value)| *value).collect();
    let gradients = whole.gradients(loss, &values).unwrap();
    let computed = interpret(&whole, &bindings).unwrap();
    let here = computed[&loss].data[0];
    let (mut compared, mut kinks) = (0, 0);
    for ((name, _), gradient) in variables.iter().zip(gradients) {
        let gradient = &computed[&gradient].data;
        assert!(gradient.iter().any(|&g| g != 0.0), "{name} has no gradient");
        let (mut numeric, mut expected) = (vec![], vec![]);
        for _ in 0..samples.min(gradient.len()) {
            let element = draw.size(0, gradient.len() - 1);
            let at = |step: f64| {
                let mut moved = bindings.clone();
                moved.get_mut(name).unwrap().data[element] += step;
                interpret(&graph, &moved).unwrap()[&loss].data[0]
            };
            let (up, down) = (at(STEP), at(-STEP));
            let bend = (up - 2.0 * here + down).abs() / STEP;
            if bend > 1e-2 * gradient[element].abs().max(1e-3) {
                kinks += 1;
                continue;
            }
            numeric.push((up - down) / (2.0 * STEP));
            expected.push(gradient[element]);
            compared += 1;
        }
        let tolerance = Tolerance::finite_difference(here, STEP);
        tolerance
            .check(numeric, &expected)
            .unwrap_or_else(|problem| panic!("{} of {}: {problem}", name, model.name()));
    }
    (compared, kinks)
}

fn agrees(model: Model) {
    let (compared, kinks) = check(&model, 8);
    println!("{}: {compared} elements, {kinks} kinks", model.name());
    assert!(compared >= 30 && kinks * 4 < compared, "{kinks} kinks of {compared} elements");
}

#[test]
fn a_residual_block_with_batch_norm() {
    let main = Sequential::new()
        .with(Conv2d::new(4, 3).stride(2).padding(1).no_bias())
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Conv2d::new(4, 3).padding(1).no_bias())
        .with(BatchNorm2d::new());
    let projection =
        Sequential::new().with(Conv2d::new(4, 1).stride(2).no_bias()).with(BatchNorm2d::new());
    let block = Residual::new(main).shortcut("downsample", projection).then(Relu);
    agrees(Model::new("residual", [3, 6, 5]).with(block).with(Linear::new(4)));
}

#[test]
fn a_block_of_googlenet() {
    let branch = |outputs, kernel: usize| {
        Sequential::new()
            .with(Conv2d::new(2, 1))
            .with(Relu)
            .with(Conv2d::new(outputs, kernel).padding(kernel / 2))
            .with(Relu)
    };
    let pooled =
        Sequential::new().with(MaxPool2d::new(3).stride(1).padding(1)).with(Conv2d::new(2, 1));
    let block =
        Concat::new().with(Conv2d::new(3, 1)).with(branch(4, 3)).with(branch(2, 5)).with(pooled);
    agrees(Model::new("inception", [3, 5, 6]).with(block).with(Relu).with(Linear::new(5)));
}

#[test]
fn a_network_of_cuda_convnet_with_local_layers() {
    let across =
        lrn::Lrn { size: 3, alpha: 0.4, beta: 0.75, k: 1.0, convention: AlphaConvention::Mean };
    let model = Model::new("cuda-convnet", [2, 8, 8])
        .with(Conv2d::new(4, 5).padding(2))
        .with(Relu)
        .with(MaxPool2d::new(3).stride(2).ceil_mode())
        .with(Lrn::new(across))
        .with(LrnWithinChannel::new(3, 0.9))
        .with(Local2d::new(3, 3).padding(1))
        .with(Relu)
        .with(Local2d::new(2, 3).padding(1))
        .with(Relu)
        .with(Linear::new(4).weight_init(Init::Xavier));
    agrees(model);
}

#[test]
fn a_layer_in_two_places() {
    let shared = Shared::new("shared", Conv2d::new(3, 3).padding(1));
    let model = Model::new("shared", [3, 5, 5])
        .with(shared.clone())
        .with(Relu)
        .with(shared)
        .with(Linear::new(3));
    assert_eq!(model.summary(1).unwrap().parameters, 3 * 27 + 3 + 3 * 75 + 3);
    agrees(model);
}

/// Two inputs through one tower, two losses, a frozen layer, and the gradient of one input's image.
#[test]
fn a_graph_with_two_inputs_and_two_losses() {
    use gabor::nn::Builder;
    use gabor::ops::elementwise::Add;
    let mut draw = Draw::new(13);
    let mut graph = Graph::new();
    let ty = TensorType::f32([2, 3, 5, 5]);
    let left = graph.input("left", ty.clone()).unwrap();
    let right = graph.input("right", ty.clone()).unwrap();
    let labels = graph.input("labels", TensorType::u32([2])).unwrap();
    let frozen = ["head".to_owned()];
    let mut builder = Builder::new(&mut graph, Mode::Train, 5).freezing(&frozen);
    let tower = Sequential::new().with(Conv2d::new(4, 3)).with(Relu);
    let features = [left, right].map(|input| builder.shared_layer("tower", &tower, input).unwrap());
    let sum = builder.add(Add, &features).unwrap();
    let logits = builder.layer(Some("head"), &Linear::new(3), sum).unwrap();
    let other = builder.layer(Some("other"), &Linear::new(3), features[0]).unwrap();
    let parameters = builder.parameters().to_vec();
    let trainable: Vec<_> =
        parameters.iter().filter(|p| p.is_trainable).map(|p| p.name.as_str()).collect();
    assert_eq!(trainable, ["tower.conv1.weight", "tower.conv1.bias", "other.weight", "other.bias"]);
    let losses = [logits, other]
        .map(|logits| graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0]);
    let loss = graph.add(Add, &losses).unwrap();
    let tower = graph.find("tower.conv1.weight").unwrap();
    let forward = graph.clone();
    let gradients = graph.gradients(loss, &[tower, right]).unwrap();
    let mut bindings = Bindings::new();
    for name in ["left", "right"] {
        bindings.insert(name.into(), Array::from(&draw.normal(ty.shape.clone())));
    }
    bindings.insert("labels".into(), Array::from(&Tensor::u32([2], vec![2, 0]).unwrap()));
    let weight = Array::from(&draw.normal(graph.value(tower).ty.shape.clone()));
    bindings.insert("tower.conv1.weight".into(), weight);
    let computed = interpret(&graph, &bindings).unwrap();
    for (name, gradient) in ["tower.conv1.weight", "right"].iter().zip(gradients) {
        for element in [1, 17, 40] {
            let at = |step: f64| {
                let mut moved = bindings.clone();
                moved.get_mut(*name).unwrap().data[element] += step;
                interpret(&forward, &moved).unwrap()[&loss].data[0]
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            let exact = computed[&gradient].data[element];
            assert!((slope - exact).abs() < 1e-6 * (1.0 + exact.abs()), "{name}: {slope} {exact}");
        }
    }
}
