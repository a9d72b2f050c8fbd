//! A look inside networks: each method against what it is by definition, computed another way.

mod common;

use gabor::device::Device;
use gabor::explain::{Explainer, Field, Map, Occluder, Sampled};
use gabor::graph::{Bindings, Graph, interpret};
use gabor::nn::{Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Sequential};
use gabor::nn::{Conv2d, GlobalAvgPool2d, Linear, Lrn, MaxPool2d, Mode, Model, Relu, Residual};
use gabor::ops::case::Draw;
use gabor::ops::conv::{self, Conv2dGradInput};
use gabor::ops::elementwise::Unary;
use gabor::ops::pool::{self, MaxPool2dGrad};
use gabor::ops::{Array, Value};
use gabor::tensor::Tensor;
use gabor::tolerance::Tolerance;
use gabor::zoo;

/// Two convolutions with all that can be between them and the logits.
fn small() -> Model {
    Model::new("small", [3, 14, 12])
        .with(Conv2d::new(6, 5).padding(2))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(MaxPool2d::new(3).stride(2))
        .with(Conv2d::new(5, 3).padding(1))
        .with(Relu)
        .with(Linear::new(4))
}

/// Random parameters, large enough that every unit answers to something.
fn parameters(model: &Model, seed: u64) -> Vec<(String, Tensor)> {
    let mut draw = Draw::new(seed);
    let types = model.parameter_types().unwrap();
    let scaled = types.into_iter().map(|(name, ty)| {
        let scale = 1.0 / (ty.shape.per_sample() as f32).sqrt();
        let scale = if name.ends_with("running_var") { 0.0 } else { scale };
        let base = if name.ends_with("running_var") { 1.0 } else { 0.0 };
        let values = draw.normal(ty.shape.clone()).into_f32();
        let values = values.into_iter().map(|v| base + scale * v).collect();
        (name, Tensor::f32(ty.shape, values).unwrap())
    });
    scaled.collect()
}

fn bindings(parameters: &[(String, Tensor)], image: Array) -> Bindings {
    let mut bindings: Bindings =
        parameters.iter().map(|(name, t)| (name.clone(), Array::from(t))).collect();
    bindings.insert("images".into(), image);
    bindings
}

/// The network's graph for one image, and the value of a layer's output, the logits for `""`.
fn graph(model: &Model) -> (Graph, impl Fn(&str) -> Value) {
    let mut graph = Graph::new();
    let images = graph.input("images", model.input_type(1).unwrap()).unwrap();
    let forward = model.forward(&mut graph, images, Mode::Evaluate, 0).unwrap();
    let value = move |name: &str| match name {
        "" => forward.logits,
        _ => forward.layers.iter().find(|l| l.path == name).unwrap().output,
    };
    (graph, value)
}

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), common::gpu()].into_iter().flatten().collect()
}

fn check(tolerance: Tolerance, actual: &[f32], expected: &[f64]) {
    tolerance.check(actual.iter().map(|&v| f64::from(v)), expected).unwrap();
}

/// Rounding of a network of this depth whose longest sum has this many terms.
fn network_tolerance() -> Tolerance {
    Tolerance::single(500).times(8.0)
}

#[test]
fn saliency_is_the_finite_difference_of_the_score() {
    let model = small();
    let parameters = parameters(&model, 1);
    let image = Draw::new(2).normal([1, 3, 14, 12]);
    let (graph, value) = graph(&model);
    let score = |image: Array| {
        interpret(&graph, &bindings(&parameters, image)).unwrap()[&value("")].data[2]
    };
    let (middle, step) = (Array::from(&image), 1e-6);
    let expected: Vec<f64> = (0..middle.data.len())
        .map(|i| {
            let at = |change: f64| {
                let mut image = middle.clone();
                image.data[i] += change;
                score(image)
            };
            (at(step) - at(-step)) / (2.0 * step)
        })
        .collect();
    assert!(expected.iter().any(|&g| g.abs() > 1e-3));
    for device in devices() {
        let mut explainer =
            Explainer::with_parameters(&model, &device, parameters.clone()).unwrap();
        let gradient = explainer.saliency(&image, 2).unwrap();
        check(network_tolerance(), gradient.as_f32().unwrap(), &expected);
        let map = Map::magnitude(&gradient).unwrap();
        let largest =
            (0..168).map(|p| (0..3).map(|c| expected[c * 168 + p].abs()).fold(0.0, f64::max));
        check(network_tolerance(), &map.values, &largest.collect::<Vec<_>>());
        assert!(explainer.saliency(&image, 4).unwrap_err().to_string().contains("0 to 3"));
    }
}

#[test]
fn grad_cam_is_its_formula() {
    let model = small();
    let parameters = parameters(&model, 3);
    let image = Draw::new(4).normal([1, 3, 14, 12]);
    let mut hot = 0;
    for (layer, class) in ["conv1", "pool1", "relu2"].into_iter().flat_map(|l| [(l, 0), (l, 1)]) {
        let (mut graph, value) = graph(&model);
        let (maps, logits) = (value(layer), value(""));
        // The gradient as ops, computed in double precision by their oracles.
        let seed = graph.input("seed", graph.value(logits).ty.clone()).unwrap();
        let gradient = graph.gradients_from(&[(logits, seed)], &[maps]).unwrap()[0];
        let mut bindings = bindings(&parameters, Array::from(&image));
        let mut one = Array::zeros([1, 4]);
        one.data[class] = 1.0;
        bindings.insert("seed".into(), one);
        let values = interpret(&graph, &bindings).unwrap();
        let (maps, gradient) = (&values[&maps], &values[&gradient]);
        let &[_, channels, rows, columns] = maps.dims() else { panic!() };
        let places = rows * columns;
        let mut sums = vec![0.0; places];
        for k in 0..channels {
            let alpha = gradient.data[k * places..][..places].iter().sum::<f64>() / places as f64;
            for (place, sum) in sums.iter_mut().enumerate() {
                *sum += alpha * maps.data[k * places + place];
            }
        }
        let expected: Vec<f64> = sums.iter().map(|sum| sum.max(0.0)).collect();
        hot += expected.iter().filter(|&&e| e > 0.0).count();
        for device in devices() {
            let mut explainer =
                Explainer::with_parameters(&model, &device, parameters.clone()).unwrap();
            let map = explainer.grad_cam(&image, class, layer).unwrap();
            assert_eq!(map.shape, [rows, columns]);
            // The sums cancel; what is exact goes by their size, not by what is left above 0.
            let size = sums.iter().map(|sum| sum.abs()).fold(0.0, f64::max);
            let shifted: Vec<_> = map.values.iter().map(|v| v + size as f32).collect();
            check(
                network_tolerance(),
                &shifted,
                &expected.iter().map(|e| e + size).collect::<Vec<_>>(),
            );
        }
    }
    assert!(hot > 50, "the maps show nothing");
}

/// Written out by hand: the activation alone, rectified, through the transposed filters, the switches of the
/// pool, rectified again, through the first filters.
#[test]
fn a_deconvnet_rectifies_the_signal_on_its_way_back() {
    let model = Model::new("plain", [2, 11, 11])
        .with(Conv2d::new(4, 3))
        .with(Relu)
        .with(MaxPool2d::new(3).stride(2))
        .with(Conv2d::new(5, 3))
        .with(Relu)
        .with(Linear::new(3));
    let parameters = parameters(&model, 5);
    let image = Draw::new(6).normal([1, 2, 11, 11]);
    let (mut graph, value) = graph(&model);
    let shape = |graph: &Graph, name: &str| graph.value(value(name)).ty.clone();
    let seed = graph.input("seed", shape(&graph, "relu2")).unwrap();
    let filters = ["conv1.weight", "conv2.weight"].map(|name| graph.find(name).unwrap());
    let unfilter = |input| Conv2dGradInput { conv: conv::Conv2d::new(1, 0), input };
    let switches = Value::clone(&value("pool1"));
    let switches = graph.nodes().iter().find(|n| n.outputs[0] == switches).unwrap().outputs[1];
    let x = graph.add(Unary::Relu, &[seed]).unwrap();
    let x = graph.add(unfilter([4, 4]), &[x, filters[1]]).unwrap();
    let unpool = MaxPool2dGrad { pool: pool::MaxPool2d::new(3, 2), input: [9, 9] };
    let x = graph.add(unpool, &[switches, x]).unwrap();
    let x = graph.add(Unary::Relu, &[x]).unwrap();
    let x = graph.add(unfilter([11, 11]), &[x, filters[0]]).unwrap();

    let mut bindings = bindings(&parameters, Array::from(&image));
    let zeros = Array::zeros(shape(&graph, "relu2").shape);
    bindings.insert("seed".into(), zeros.clone());
    let maps = interpret(&graph, &bindings).unwrap()[&value("relu2")].clone();
    for device in devices() {
        let mut explainer =
            Explainer::with_parameters(&model, &device, parameters.clone()).unwrap();
        let mut alive = 0;
        for unit in 0..5 {
            let map = &maps.data[unit * 4..][..4];
            let place = (0..4).fold(0, |best, i| if map[i] > map[best] { i } else { best });
            let mut seed = zeros.clone();
            seed.data[unit * 4 + place] = map[place];
            bindings.insert("seed".into(), seed);
            let expected = &interpret(&graph, &bindings).unwrap()[&x];
            let projection = explainer.deconvnet(&image, "relu2", unit).unwrap();
            assert_eq!(projection.at, [place / 2, place % 2]);
            check(network_tolerance(), &[projection.activation], &[map[place]]);
            check(network_tolerance(), projection.pixels.as_f32().unwrap(), &expected.data);
            if map[place] > 0.0 {
                alive += 1;
                assert!(expected.data.iter().any(|&v| v != 0.0));
                // Outside of what the unit sees nothing can have excited it.
                let field = explainer.layer("relu2").unwrap().field.unwrap();
                let [rows, columns] = field.pixels(projection.at, [11, 11]);
                for (i, &v) in projection.pixels.as_f32().unwrap().iter().enumerate() {
                    let inside = rows.contains(&(i / 11 % 11)) && columns.contains(&(i % 11));
                    assert!(inside || v == 0.0, "{i}: {v}");
                }
            }
        }
        assert!(alive > 1, "only {alive} units answer");
        // Through the first convolution alone: nothing on the way back depends on the image.
        let first = explainer.deconvnet(&image, "conv1", 3).unwrap();
        let weights = parameters.iter().find(|(name, _)| name == "conv1.weight").unwrap();
        let filter = &weights.1.as_f32().unwrap()[3 * 18..];
        let expected: Vec<f64> = (0..2 * 121)
            .map(|i| {
                let (row, column) = (i / 11 % 11, i % 11);
                let [top, left] = first.at;
                let inside = (top..top + 3).contains(&row) && (left..left + 3).contains(&column);
                let at = || (i / 121) * 9 + (row - top) * 3 + column - left;
                if inside { f64::from(first.activation) * f64::from(filter[at()]) } else { 0.0 }
            })
            .collect();
        check(network_tolerance(), first.pixels.as_f32().unwrap(), &expected);
        assert!(explainer.deconvnet(&image, "relu2", 5).is_err());
        assert!(explainer.deconvnet(&image, "relu9", 0).unwrap_err().to_string().contains("relu2"));
    }
}

#[test]
fn occlusion_is_what_hidden_pictures_are_taken_for() {
    let model = small();
    let parameters = parameters(&model, 7);
    let image = Draw::new(8).normal([1, 3, 14, 12]);
    let (graph, value) = graph(&model);
    let probability = |image: &Tensor| {
        let values = interpret(&graph, &bindings(&parameters, Array::from(image))).unwrap();
        let logits = &values[&value("")].data;
        logits[3].exp() / logits.iter().map(|l| l.exp()).sum::<f64>()
    };
    let occluder = Occluder { side: 5, stride: 3, value: 0.25 };
    for device in devices() {
        let mut explainer =
            Explainer::with_parameters(&model, &device, parameters.clone()).unwrap();
        let occlusion = explainer.occlusion(&image, 3, occluder).unwrap();
        // Rows 0, 3, 6 and 9; columns 0, 3, 6 and, at the edge, 7.
        assert_eq!(occlusion.corners.len(), 16);
        assert_eq!(occlusion.corners[15], [9, 7]);
        let mut expected = vec![];
        let mut loss = vec![(0.0, 0.0); 14 * 12];
        let whole = probability(&image);
        for &[top, left] in &occlusion.corners {
            let mut pixels = image.as_f32().unwrap().to_vec();
            let mut covered = vec![];
            for (i, pixel) in pixels.iter_mut().enumerate() {
                let (row, column) = (i / 12 % 14, i % 12);
                if (top..top + 5).contains(&row) && (left..left + 5).contains(&column) {
                    *pixel = 0.25;
                    covered.push(i);
                }
            }
            let hidden = probability(&Tensor::f32([1, 3, 14, 12], pixels).unwrap());
            for &i in covered.iter().filter(|&&i| i < 168) {
                loss[i].0 += whole - hidden;
                loss[i].1 += 1.0;
            }
            expected.push(hidden);
        }
        check(network_tolerance(), &occlusion.probabilities, &expected);
        check(network_tolerance(), &[occlusion.whole], &[whole]);
        let loss: Vec<f64> = loss.into_iter().map(|(sum, count)| sum / count).collect();
        // Differences of probabilities: as exact as those are.
        let shifted: Vec<f32> = occlusion.loss().values.iter().map(|l| 1.0 + l).collect();
        check(network_tolerance(), &shifted, &loss.iter().map(|l| 1.0 + l).collect::<Vec<_>>());
        for side in [0, 13] {
            let occluder = Occluder { side, ..occluder };
            assert!(explainer.occlusion(&image, 3, occluder).is_err());
        }
    }
}

/// The sizes that are known of AlexNet, VGG and ResNet (Araujo, Norris & Sim, "Computing Receptive
/// Fields of Convolutional Neural Networks", 2019).
#[test]
fn receptive_fields_are_the_published_ones() {
    let of = |name: &str, layer: &str| -> Field {
        let (input, classes) = zoo::find(name).unwrap().home;
        let model = zoo::build(name, input, classes).unwrap();
        let explainer = Explainer::with_parameters(&model, &Device::cpu(), vec![]).unwrap();
        explainer.layer(layer).unwrap().field.unwrap()
    };
    for (layer, size, stride) in [
        ("conv1", 11, 4),
        ("pool1", 19, 8),
        ("conv2", 51, 8),
        ("conv3", 99, 16),
        ("conv4", 131, 16),
        ("conv5", 163, 16),
        ("pool3", 195, 32),
    ] {
        let field = of("alexnet", layer);
        assert_eq!((field.size, field.stride), ([size; 2], [stride; 2]), "{layer}");
    }
    // Padded by 2, 2 * 8, 16, 16 and 16 pixels.
    assert_eq!(of("alexnet", "conv5").start, [-(2 * 8 + 3 * 16); 2]);
    assert_eq!(of("alexnet-2014", "conv5").size, [163; 2]);
    assert_eq!(of("vgg-16", "features.30").size, [212; 2]);
    assert_eq!(of("resnet-18", "layer4.1.relu1").size, [435; 2]);
}

/// Changing a pixel changes a place exactly if the place sees the pixel: the field, by trying.
#[test]
fn fields_are_the_pixels_that_matter() {
    let branch = Sequential::new().with(Conv2d::new(4, 3).padding(1)).with(BatchNorm2d::new());
    let model = Model::new("branches", [1, 21, 17])
        .with(Conv2d::new(4, [3, 5]).stride([2, 1]).padding(1))
        .with(Activation::silu())
        .with(Residual::new(branch))
        .with(AvgPool2d::new(2).stride(2))
        .with(Conv2d::new(2, 3).dilation(2))
        .with(GlobalAvgPool2d)
        .with(Linear::new(3));
    let parameters = parameters(&model, 9);
    let mut explainer = Explainer::with_parameters(&model, &Device::cpu(), parameters).unwrap();
    let image = Draw::new(10).normal([1, 1, 21, 17]);
    let before = explainer.look(&image).unwrap();
    let mut seen = 0;
    let mut matters: Vec<Vec<Vec<bool>>> = vec![];
    for pixel in 0..21 * 17 {
        let mut pixels = image.as_f32().unwrap().to_vec();
        pixels[pixel] += 100.0;
        let image = Tensor::f32([1, 1, 21, 17], pixels).unwrap();
        let after = explainer.look(&image).unwrap();
        let changed = before.maps.iter().zip(&after.maps).map(|(a, b)| {
            let (a, b) = (a.as_f32().unwrap(), b.as_f32().unwrap());
            a.iter().zip(b).map(|(a, b)| a != b).collect()
        });
        matters.push(changed.collect());
    }
    for (l, layer) in explainer.layers().iter().enumerate() {
        let [channels, rows, columns] = layer.shape;
        for (place, pixel) in (0..rows * columns).flat_map(|p| (0..21 * 17).map(move |x| (p, x))) {
            let matters = (0..channels).any(|c| matters[pixel][l][c * rows * columns + place]);
            let Some(field) = layer.field else {
                assert_eq!(layer.path, "avgpool2", "sees everything");
                continue;
            };
            let [r, c] = field.pixels([place / columns, place % columns], [21, 17]);
            let inside = r.contains(&(pixel / 17)) && c.contains(&(pixel % 17));
            assert!(inside || !matters, "{} {place}: {pixel} matters", layer.path);
            // A dilated kernel leaves pixels out, but never at the corners.
            let corner = [r.start, r.end - 1].contains(&(pixel / 17))
                && [c.start, c.end - 1].contains(&(pixel % 17));
            if corner {
                assert!(matters, "{} {place}: {pixel} does not matter", layer.path);
                seen += 1;
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn the_best_patches_are_the_largest_activations_of_all_images() {
    let photos = gabor::data::open("photos").unwrap();
    let model = Model::new("small", photos.train.shape())
        .with(Conv2d::new(6, 5).stride(2).padding(2))
        .with(Relu)
        .with(Conv2d::new(7, 3))
        .with(Relu)
        .with(Linear::new(9));
    let parameters = parameters(&model, 11);
    let sampled =
        Sampled { dataset: photos.train.as_ref(), normalise: &photos.normalise, images: 150 };
    for device in devices() {
        let mut explainer =
            Explainer::with_parameters(&model, &device, parameters.clone()).unwrap();
        let best = explainer.top_patches(&sampled, "relu2", 9).unwrap();
        assert_eq!(best.len(), 7);
        let total = photos.train.len();
        // (activation, image) of every image, the strongest first.
        let mut all: Vec<Vec<(f32, usize)>> = vec![vec![]; 7];
        for index in (0..150).map(|i| i * total / 150) {
            let (image, _) = sampled.image(index).unwrap();
            let look = explainer.look(&image).unwrap();
            let maps = look.maps[3].as_f32().unwrap();
            for (unit, map) in maps.chunks(maps.len() / 7).enumerate() {
                let largest = map.iter().copied().fold(0.0, f32::max);
                all[unit].push((largest, index));
                let found = best[unit].iter().find(|p| p.index == index);
                if let Some(patch) = found {
                    let [_, _, columns] = explainer.layer("relu2").unwrap().shape;
                    let at = map[patch.at[0] * columns + patch.at[1]];
                    let near = Tolerance::single(200).times(4.0);
                    check(near, &[patch.activation, at], &[f64::from(largest); 2]);
                }
            }
        }
        for (unit, mut all) in all.into_iter().enumerate() {
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            let alive = all.iter().filter(|(a, _)| *a > 0.0).count();
            assert!(alive > 0, "unit {unit} is dead: another seed is needed");
            let wanted: Vec<f64> = all.iter().take(alive.min(9)).map(|p| f64::from(p.0)).collect();
            let given: Vec<f32> = best[unit].iter().map(|p| p.activation).collect();
            assert_eq!(given.len(), wanted.len());
            check(Tolerance::single(200).times(4.0), &given, &wanted);
            assert!(given.windows(2).all(|w| w[0] >= w[1]));
        }
    }
}

/// VGG's build in small: numbered blocks, an adaptive pool before the dense layers.
fn small_vgg() -> Model {
    let conv = |outputs| Conv2d::new(outputs, 3).padding(1);
    let features = Sequential::numbered()
        .with(conv(8))
        .with(Relu)
        .with(MaxPool2d::new(2))
        .with(conv(12))
        .with(Relu)
        .with(conv(12))
        .with(Relu)
        .with(MaxPool2d::new(2));
    Model::new("small-vgg", [3, 20, 24])
        .with_named("features", features)
        .with_named("avgpool", AdaptiveAvgPool2d::new([3, 3]))
        .with_named("classifier", Linear::new(10))
}

/// Networks of every build, with their initial weights: whatever has places can be looked at.
#[test]
fn every_kind_of_network_can_be_explained() {
    let named = |name, input| zoo::build(name, input, 10).unwrap();
    let cases = [
        (named("alexnet-2014", [3, 63, 63]), "relu5"),
        (named("resnet-18", [3, 33, 33]), "layer4.1.relu1"),
        (named("mobilenet-v2", [3, 40, 40]), "features.18.2"),
        (small_vgg(), "features.6"),
    ];
    for (model, last) in cases {
        let (name, [channels, height, width]) = (model.name(), model.input());
        let mut explainer = Explainer::with_parameters(&model, &Device::cpu(), vec![]).unwrap();
        let layer = explainer.last_layer().unwrap().clone();
        assert_eq!(layer.path, last, "{name}: {layer:?}");
        let image = Draw::new(12).normal([1, channels, height, width]);
        let look = explainer.look(&image).unwrap();
        assert_eq!(look.maps.len(), explainer.layers().len());
        let sum: f32 = look.probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{name}: {sum}");
        let gradient = explainer.saliency(&image, 3).unwrap();
        assert!(gradient.as_f32().unwrap().iter().any(|&g| g != 0.0), "{name}");
        assert_eq!(explainer.grad_cam(&image, 3, &layer.path).unwrap().shape, layer.shape[1..]);
        explainer.deconvnet(&image, &layer.path, 1).unwrap();
    }
}
