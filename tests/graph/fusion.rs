//! Ops that are computed in one pass.

use gabor::ops::conv::Conv2dRelu;
use gabor::ops::gemm::LinearRelu;

use super::*;

/// How a network has its ReLUs.
#[derive(Clone, Copy, PartialEq)]
enum Relus {
    /// As ops that can be fused.
    Plain,
    /// As ops whose inputs are outputs of the graph, so that they have to be computed.
    Watched,
    /// Within the layers.
    Within,
}

/// A convolution and a dense layer with ReLUs, and their gradients.
fn network(relus: Relus) -> (Graph, Tensor) {
    let mut draw = Draw::new(11);
    let mut graph = Graph::new();
    let image = draw.normal([3, 4, 9, 8]);
    let x = graph.input("x", image.ty()).unwrap();
    let weight = parameter(&mut graph, &mut draw, "conv.weight", [6, 2, 3, 3], 0.4);
    let bias = parameter(&mut graph, &mut draw, "conv.bias", [6], 0.5);
    let conv = Conv2d::new(2, 1).groups(2);
    let (sums, y) = if relus == Relus::Within {
        let y = graph.add(Conv2dRelu(conv), &[x, weight, bias]).unwrap();
        (y, y)
    } else {
        let sums = graph.add(conv, &[x, weight, bias]).unwrap();
        (sums, graph.add(Unary::Relu, &[sums]).unwrap())
    };
    let dense = parameter(&mut graph, &mut draw, "linear.weight", [7, 120], 0.2);
    let dense_bias = parameter(&mut graph, &mut draw, "linear.bias", [7], 0.5);
    let (dense_sums, z) = if relus == Relus::Within {
        let z = graph.add(LinearRelu, &[y, dense, dense_bias]).unwrap();
        (z, z)
    } else {
        let sums = graph.add(Linear, &[y, dense, dense_bias]).unwrap();
        (sums, graph.add(Unary::Relu, &[sums]).unwrap())
    };
    let labels = graph.state("labels", Tensor::u32([3], vec![2, 0, 6]).unwrap()).unwrap();
    let loss = graph.add_all(SoftmaxCrossEntropy, &[z, labels]).unwrap()[0];
    let wanted = [x, weight, bias, dense, dense_bias];
    let gradients = graph.gradients(loss, &wanted).unwrap();
    graph.output("z", z).unwrap();
    for (i, gradient) in gradients.into_iter().enumerate() {
        graph.output(format!("gradient {i}"), gradient).unwrap();
    }
    if relus == Relus::Watched {
        graph.output("sums", sums).unwrap();
        graph.output("dense sums", dense_sums).unwrap();
    }
    (graph, image)
}

fn ops(graph: &Graph, device: &Device) -> Vec<&'static str> {
    let plan = device.plan(graph).unwrap();
    let names = plan.steps.iter().filter_map(|step| match step {
        PlanStep::Run { op, .. } => Some(op.name()),
        PlanStep::Copy { .. } => None,
    });
    names.collect()
}

#[test]
fn fused_ops_give_the_bits_of_the_single_ones() {
    for device in [Some(Device::Cpu), common::gpu()].into_iter().flatten() {
        let relus = [Relus::Plain, Relus::Watched, Relus::Within];
        let [(fused, x), (single, _), (within, _)] = relus.map(network);
        let (fused_ops, single_ops) = (ops(&fused, &device), ops(&single, &device));
        let has = |ops: &[&str], name| ops.contains(&name);
        assert!(has(&fused_ops, "conv2d_relu") && has(&fused_ops, "linear_relu"), "{fused_ops:?}");
        assert!(!has(&fused_ops, "unary"), "{fused_ops:?}");
        assert!(has(&single_ops, "conv2d") && has(&single_ops, "linear"), "{single_ops:?}");
        assert_eq!(fused_ops.len() + 2, single_ops.len());

        let bits = |graph: &Graph| {
            let mut session = Session::new(&device);
            let mut program = session.compile(graph).unwrap();
            let outputs = session.run(&mut program, &[("x", &x)]).unwrap();
            let names =
                std::iter::once("z".to_owned()).chain((0..5).map(|i| format!("gradient {i}")));
            let bits = |x: &f32| x.to_bits();
            let values = names.map(|name| {
                outputs.get(&name).unwrap().as_f32().unwrap().iter().map(bits).collect::<Vec<_>>()
            });
            values.collect::<Vec<_>>()
        };
        let fused = bits(&fused);
        assert_eq!(fused, bits(&single), "{}", device.name());
        assert_eq!(fused, bits(&within), "{}", device.name());
        let (zeros, all) = (fused[0].iter().filter(|&&y| y == 0).count(), fused[0].len());
        assert!(zeros > 0 && zeros < all, "the ReLU does nothing, or all: {zeros} of {all}");
    }
}

/// A value that somebody else reads is computed by itself.
#[test]
fn what_is_read_twice_is_not_fused() {
    let mut draw = Draw::new(12);
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([2, 3, 6, 6])).unwrap();
    let weight = parameter(&mut graph, &mut draw, "weight", [3, 3, 3, 3], 0.4);
    let sums = graph.add(Conv2d::new(1, 1), &[x, weight]).unwrap();
    let y = graph.add(Unary::Relu, &[sums]).unwrap();
    let both = graph.add(Add, &[sums, y]).unwrap();
    graph.output("both", both).unwrap();
    assert_eq!(ops(&graph, &Device::Cpu), ["conv2d", "unary", "add"]);
}
