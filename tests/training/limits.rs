//! Steps beyond what a binding, a device or a memory holds.

use super::*;

/// One step of a full network on a device: the loss, and some gradients, which are the velocities
/// after the first step.
fn full_step(device: &Device, model: Model) -> (f32, Vec<(&'static str, Vec<f32>)>) {
    let started = std::time::Instant::now();
    let [channels, height, width] = model.input();
    let options = Options { batch: 2, seed: 1, ..Options::default() };
    let mut trainer = Trainer::new(device, model, Sgd::new(0.01).momentum(0.9), options).unwrap();
    let mut draw = Draw::new(8);
    let images = draw.normal([2, channels, height, width]);
    let labels = draw.labels(2, 1000);
    let step = trainer.train_batch(&images, &labels, 0.01).unwrap();
    let watched = ["conv1.weight", "conv2.weight", "conv5.bias", "fc1.weight", "fc3.bias"];
    let gradients = watched.map(|name| {
        let gradient = trainer.network().state(&format!("velocity.{name}")).unwrap();
        (name, gradient.into_f32())
    });
    let memory = trainer.plan().unwrap().memory() >> 20;
    println!("{}: loss {}, {memory} MiB, {:.1?}", device.name(), step.loss, started.elapsed());
    (step.loss, gradients.into())
}

#[test]
fn full_alexnets_take_a_step_under_webgpu_limits() {
    type Make = fn([usize; 3], usize) -> Model;
    // The first dense layer's weights take 144 MiB, and one binding holds 128.
    //
    // In the network of 2012, with its biases of 1 and its small weights, the candidates of the last
    // pool differ by so little that rounding decides some windows: the gradients below it, but not
    // the loss, differ by what those windows pass on.
    let networks: [(Make, [usize; 3], usize, f64); 2] = [
        (zoo::alexnet, [3, 227, 227], 60_965_224, 0.1),
        (zoo::alexnet_2014, [3, 224, 224], 61_100_840, 1e-2),
    ];
    for (make, input, parameters, below) in networks {
        assert_eq!(make(input, 1000).summary(1).unwrap().parameters, parameters);
        let Some(gpu) = common::gpu() else { continue };
        let (loss, on_cpu) = full_step(&Device::cpu(), make(input, 1000));
        let (gpu_loss, on_gpu) = full_step(&gpu, make(input, 1000));
        assert!(
            ((loss - gpu_loss) / loss).abs() < 1e-3,
            "{loss} on the CPU, {gpu_loss} on the GPU"
        );
        let apart = on_cpu.iter().zip(&on_gpu).map(|((name, cpu), (_, gpu))| {
            let norm = |x: &mut dyn Iterator<Item = f32>| {
                x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
            };
            let size = norm(&mut cpu.iter().copied());
            assert!(size > 0.0, "{name}: no gradient");
            (*name, norm(&mut cpu.iter().zip(gpu).map(|(c, g)| c - g)) / size)
        });
        let apart: Vec<_> = apart.collect();
        for (name, apart) in apart {
            println!("{name}: the gradients differ by {apart:.1e}");
            let bound = if name.starts_with("conv") { below } else { 1e-3 };
            assert!(apart < bound, "{name}: the gradients differ by {apart:e} of their size");
        }
    }
}

#[test]
fn micro_batches_make_the_step_of_the_whole_batch() {
    for device in devices() {
        let step = |micro_batch| {
            let options = Options { batch: 8, micro_batch, seed: 5, ..Options::default() };
            let mut trainer = Trainer::new(&device, small(0.5), sgd(0.1), options).unwrap();
            // Two steps: the sums must start from nothing in the second.
            let first = small_batch(1, 8);
            let second = small_batch(2, 8);
            let a = trainer.train_batch(&first.0, &first.1, 0.1).unwrap();
            let b = trainer.train_batch(&second.0, &second.1, 0.1).unwrap();
            (a, b, parameters(&trainer))
        };
        let (whole, parts) = (step(None), step(Some(3)));
        let tolerance = Tolerance::single(8 * 12 * 11).times(8.0);
        for (whole, parts) in [(whole.0, parts.0), (whole.1, parts.1)] {
            assert_eq!((whole.top1, whole.images), (parts.top1, parts.images));
            tolerance.check([f64::from(parts.loss)], &[f64::from(whole.loss)]).unwrap();
        }
        for ((name, whole), (_, parts)) in whole.2.iter().zip(&parts.2) {
            let f64s = |t: &Tensor| t.as_f32().unwrap().iter().map(|&x| x.into()).collect();
            let (whole, parts): (Vec<f64>, Vec<f64>) = (f64s(whole), f64s(parts));
            let checked = tolerance.check(parts, &whole);
            checked.unwrap_or_else(|e| panic!("{}: {name}: {e}", device.name()));
        }
        // Without the same masks the results would differ: another seed does.
        let options = Options { batch: 8, seed: 5, ..Options::default() };
        let mut trainer = Trainer::new(&device, small(0.0), sgd(0.1), options).unwrap();
        let (images, labels) = small_batch(1, 8);
        let dry = trainer.train_batch(&images, &labels, 0.1).unwrap();
        assert!((dry.loss - whole.0.loss).abs() > 1e-3, "dropout changes nothing");
    }
}

#[test]
fn a_step_that_does_not_fit_says_what_it_needs_and_which_batch_fits() {
    let fresh = own_gpu().map(|(device, _)| device);
    for device in [Some(Device::cpu()), fresh].into_iter().flatten() {
        let name = device.name();
        let options = |batch, micro_batch, memory| Options {
            batch,
            micro_batch,
            memory,
            ..Options::default()
        };
        let new = |options| Trainer::new(&device, small(0.5), sgd(0.01), options);
        let memory = |batch| new(options(batch, None, None)).unwrap().plan().unwrap().memory();
        let (limit, needed) = (memory(9) + 100, memory(64));
        let counters = || match &device {
            Device::Gpu(engine) => Some(engine.counters()),
            Device::Cpu => None,
        };
        let before = counters();
        let error = new(options(64, None, Some(limit))).map(|_| ()).unwrap_err();
        assert_eq!(before, counters(), "{name}: something was created");
        assert!(
            matches!(error, Error::Memory { needed: n, available, .. }
                if n == needed && available == limit),
            "{name}: {error}, expected {needed}"
        );
        let message = error.to_string();
        println!("{message}");
        assert!(!message.contains('\n') && message.contains(&needed.to_string()));
        let batch = message.split("; batch ").nth(1).and_then(|rest| rest.split(' ').next());
        let batch: usize = batch.unwrap_or_else(|| panic!("{message}")).parse().unwrap();
        assert_eq!(batch, 9, "{message}");

        // What it names fits, and no more does.
        new(options(batch, None, Some(limit))).unwrap();
        assert!(new(options(batch + 1, None, Some(limit))).is_err());
        if message.contains(&format!("micro-batches of {batch}")) {
            let mut trainer = new(options(64, Some(batch), Some(limit))).unwrap();
            let (images, labels) = small_batch(3, 64);
            trainer.train_batch(&images, &labels, 0.01).unwrap();
        }
        let message = new(options(64, None, Some(100))).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("not even batch 1 fits"), "{message}");
    }
}
