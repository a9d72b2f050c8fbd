//! What goes wrong in training says so.

use super::*;

mod faulty {
    //! Ops of a careless author.

    use gabor::error::Result;
    use gabor::kernel::{Adapter, Dispatch, Operand, Shader, Variant};
    use gabor::ops::{Arrays, CpuTensors, Op, Types};
    use gabor::tensor::TensorType;

    const WORSE: &str = "
        @group(0) @binding(0) var<storage, read_write> output: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            output[id.x] = does_not_exist(1.0);
        }";
    const TWICE: &str = "
        @group(0) @binding(0) var<storage, read> input: array<f32>;
        @group(0) @binding(1) var<storage, read_write> output: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&output) { output[id.x] = 2.0 * input[id.x]; }
        }";
    const LARGE: &str = "
        var<workgroup> shared_values: array<f32, 65536>;
        @group(0) @binding(0) var<storage, read_write> output: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
            shared_values[i] = 1.0;
            workgroupBarrier();
            output[i] = shared_values[63u - i];
        }";

    #[derive(Clone, Copy, Debug)]
    pub enum Faulty {
        /// A shader that does not compile.
        NoShader,
        /// More workgroup memory than there is.
        TooLarge,
        /// A name that the shader does not bind.
        WrongName,
        /// A range beyond the buffer.
        OutOfRange,
        /// One buffer to read and to write in one dispatch, which shows when it runs.
        ReadAndWritten,
    }

    impl Op for Faulty {
        fn name(&self) -> &'static str {
            "faulty"
        }

        fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
            Ok(inputs.to_vec())
        }

        fn reference(&self, _: &mut Arrays<'_>) {}

        fn cpu(&self, _: &mut CpuTensors<'_>) {}

        fn gpu(&self, _: &Types, _: &Adapter) -> Result<Vec<Variant>> {
            let output = Operand::Output(0);
            let twice = Dispatch::new(Shader::new("test/twice.wgsl", TWICE));
            let dispatch = match self {
                Faulty::NoShader => {
                    Dispatch::new(Shader::new("test/worse.wgsl", WORSE)).bind("output", output)
                }
                Faulty::TooLarge => {
                    Dispatch::new(Shader::new("test/large.wgsl", LARGE)).bind("output", output)
                }
                Faulty::WrongName => twice.bind("inputs", Operand::Input(0)).bind("output", output),
                Faulty::OutOfRange => {
                    twice.bind("input", Operand::Input(0)).bind_range("output", output, 0..4096)
                }
                Faulty::ReadAndWritten => twice.bind("input", output).bind("output", output),
            };
            Ok(vec![Variant::new("faulty", vec![dispatch])])
        }
    }
}

#[test]
fn an_error_on_the_device_never_passes_for_a_result() {
    use faulty::Faulty;
    use gabor::graph::Graph;
    use gabor::ops::elementwise::Unary;
    use gabor::session::Session;
    use gabor::tensor::TensorType;

    let one_line = |error: Error| {
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        println!("{message}");
        message
    };
    let graph = |fault: Option<Faulty>| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([8, 8])).unwrap();
        let y = graph.add(Unary::Tanh, &[x]).unwrap();
        let y = match fault {
            Some(op) => graph.in_layer("mine", |g| g.add(op, &[y])).unwrap(),
            None => y,
        };
        graph.output("y", y).unwrap();
        graph
    };
    let x = Draw::new(1).normal([8, 8]);
    let cases = [
        (Faulty::NoShader, "test/worse.wgsl"),
        (Faulty::TooLarge, "test/large.wgsl"),
        (Faulty::WrongName, "`inputs`"),
        (Faulty::OutOfRange, "overflow"),
    ];
    for (fault, says) in cases {
        let Some((device, _)) = own_gpu() else { return };
        let mut session = Session::new(&device);
        let error = session.compile(&graph(Some(fault))).map(|_| ());
        let message = one_line(error.expect_err(&format!("{fault:?}")));
        assert!(message.contains(says), "{fault:?}: {message}");
    }

    let Some((device, engine)) = own_gpu() else { return };
    let mut session = Session::new(&device);
    let mut good = session.compile(&graph(None)).unwrap();
    session.run(&mut good, &[("x", &x)]).unwrap();
    let mut bad = session.compile(&graph(Some(Faulty::ReadAndWritten))).unwrap();
    let outcome = session.start_blocking(&mut bad, &[("x", &x)]).and_then(|pending| pending.wait());
    let message = one_line(outcome.map(|_| ()).expect_err("the run was invalid"));
    assert!(message.starts_with("GPU "), "{message}");
    // What is on the device now is not to be trusted, whoever asks.
    assert!(engine.check().is_err() && engine.wait().is_err());
    assert!(session.run(&mut good, &[("x", &x)]).is_err());
    assert!(session.compile(&graph(None)).is_err());
}

#[test]
fn a_run_that_diverges_says_at_which_step() {
    let source = small_source(24, 7);
    for device in devices() {
        let name = device.name();
        let options = Options { batch: 4, ..Options::default() };
        let mut trainer = Trainer::new(&device, small(0.5), sgd(1e20), options).unwrap();
        let mut last = 0;
        let outcome = trainer.fit(&source, 4, |event| {
            if let Event::Step(step) = event {
                assert!(step.loss.is_finite(), "{name}: {step:?}");
                last = step.step;
            }
            ControlFlow::Continue(())
        });
        let error = outcome.expect_err("it must diverge");
        println!("{name}: {error}");
        assert!(matches!(error, Error::Diverged { step, .. } if step == last + 1), "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("step {}", last + 1)), "{message}");
        assert!(message.contains("learning rate") && !message.contains('\n'), "{message}");
        assert!((1..10).contains(&last), "{name}: {last}");
    }
}

#[test]
fn settings_out_of_range_are_refused_before_anything_starts() {
    let source = small_source(4, 4);
    let device = Device::cpu();
    let refused = |learning_rate, options: Options| {
        let made = Trainer::new(&device, small(0.5), Sgd::new(learning_rate), options);
        made.map(|_| ()).unwrap_err().to_string()
    };
    for rate in [f32::NAN, f32::INFINITY, -0.1, 0.0] {
        let message = refused(rate, Options::default());
        assert!(message.starts_with("learning-rate = "), "{message}");
    }
    let message = refused(0.1, Options { batch: 0, ..Options::default() });
    assert!(message.starts_with("batch = 0"), "{message}");
    let message = refused(0.1, Options { micro_batch: Some(0), ..Options::default() });
    assert!(message.starts_with("micro-batch = 0"), "{message}");

    let mut trainer = Trainer::new(&device, small(0.5), sgd(0.1), Options::default()).unwrap();
    let fit = |trainer: &mut Trainer, source: &Source, epochs| {
        trainer.fit(source, epochs, |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    assert!(fit(&mut trainer, &source, 0).starts_with("epochs = 0"));
    let message = fit(&mut trainer, &digits(4, 4), 1);
    assert!(message.contains("[2, 12, 11]") && message.contains("[1, 28, 28]"), "{message}");
    let (images, _) = small_batch(1, 2);
    let labels = Tensor::u32([2], vec![0, 5]).unwrap();
    let message = trainer.train_batch(&images, &labels, 0.1).unwrap_err().to_string();
    assert!(message.contains("label 5 of sample 1"), "{message}");
    let (_, labels) = small_batch(1, 3);
    let message = trainer.train_batch(&images, &labels, 0.1).unwrap_err().to_string();
    assert!(message.contains("`images`"), "{message}");
    assert_eq!(trainer.steps(), 0, "a step that was refused counts");
}
