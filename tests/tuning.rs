//! The tuner: what it lets through, what it picks and keeps, and that nobody notices it unasked.

mod common;

use common::{full_gpu, gpu_with};
use gabor::device::Device;
use gabor::gpu::GpuOptions;
use gabor::graph::{Graph, PlanStep};
use gabor::kernel::{Adapter, Dispatch, Operand, Shader, Variant};
use gabor::ops::case::Draw;
use gabor::ops::gemm::MatMul;
use gabor::ops::{Arrays, Cost, CpuTensors, Op, Types};
use gabor::prelude::*;
use gabor::session::Session;
use gabor::tensor::TensorType;
use gabor::tuning::{Cache, Pick, Picks, Tuning};

/// `y = 2 x`, after as many turns as it takes to be slow: whatever the turns do, they add nothing.
const DOUBLE: Shader = Shader::new(
    "double.wgsl",
    "
// import lib/index.wgsl
const WIDTH: u32 = 64u;
const TURNS: u32 = 1u;
const FACTOR: f32 = 2.0;

struct Params { elements: u32 }

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = flat_thread(at, n, WIDTH);
    if i >= params.elements { return; }
    var x = sin(input[i]);
    for (var turn = 1u; turn < TURNS; turn++) {
        x = sin(x);
    }
    output[i] = select(FACTOR * input[i], x, x > 2.0);
}",
);

const BROKEN: Shader = Shader::new("broken.wgsl", "@compute fn main() { this is no WGSL }");

/// `y = 2 x`, with kernels of these names in this order.
#[derive(Clone, Debug)]
struct Double(&'static [&'static str]);

impl Op for Double {
    fn name(&self) -> &'static str {
        "double"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(inputs.to_vec())
    }
    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }
    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = 2.0 * x;
        }
    }
    fn cpu(&self, io: &mut CpuTensors<'_>) {
        for (y, x) in io.outputs[0].iter_mut().zip(io.inputs[0]) {
            *y = 2.0 * x;
        }
    }
    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let elements = types.outputs[0].elements();
        let bind = |shader: Shader| {
            Dispatch::new(shader)
                .bind("input", Operand::Input(0))
                .bind("output", Operand::Output(0))
                .params(&(elements as u32))
                .threads(elements)
        };
        let variants = self.0.iter().map(|&name| {
            let dispatch = match name {
                "slow" => bind(DOUBLE).constant("TURNS", 300),
                "wrong" => bind(DOUBLE).constant("FACTOR", 2.001),
                "broken" => bind(BROKEN),
                _ => bind(DOUBLE),
            };
            let mut variant = Variant::new(name, vec![dispatch]);
            if name == "huge" {
                let elements = adapter.max_buffer_bytes as usize / 4 + 64;
                variant.workspace.push(TensorType::f32([elements]));
            }
            variant
        });
        Ok(variants.collect())
    }
}

const ALL: Double = Double(&["slow", "wrong", "broken", "huge", "fast"]);
const SHAPE: [usize; 2] = [40, 511];

fn graph(op: Double) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32(SHAPE)).unwrap();
    let y = graph.add(op, &[x]).unwrap();
    graph.output("y", y).unwrap();
    graph
}

/// The kernel that a plan of the graph takes.
fn kernel(device: &Device, graph: &Graph) -> &'static str {
    let plan = device.plan(graph).unwrap();
    let [PlanStep::Run { variant: Some(variant), .. }] = &plan.steps[..] else {
        panic!("{plan:?}")
    };
    variant.name
}

fn tuned(device: &Device, tuning: Tuning, cache: &Cache) -> Device {
    device.tuned(&tuning, cache).unwrap()
}

fn only(picks: Vec<Pick>) -> Pick {
    let [pick] = <[Pick; 1]>::try_from(picks).unwrap();
    pick
}

#[test]
fn the_fastest_of_the_right_kernels_is_picked_and_kept() {
    // A device that no other test creates anything on.
    let Some(gpu) = gpu_with(GpuOptions::default()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("tuning.json"));
    let graph = graph(ALL);

    // Without being asked nothing is chosen, measured or written.
    assert_eq!(kernel(&gpu, &graph), "slow");
    assert!(gpu.tune(&graph).is_empty());
    let cached = tuned(&gpu, Tuning::Cached, &cache);
    assert!(cached.tune(&graph).is_empty() && cached.picks().is_empty());
    assert_eq!(kernel(&cached, &graph), "slow");
    assert!(!cache.path().unwrap().exists());

    let before = match &gpu {
        Device::Gpu(engine) => engine.counters(),
        Device::Cpu => panic!("no GPU"),
    };
    let tuner = tuned(&gpu, Tuning::Full, &cache);
    let pick = only(tuner.tune(&graph));
    if let Device::Gpu(engine) = &gpu {
        let after = engine.counters();
        assert_eq!((after.buffers, after.pipelines), (before.buffers, before.pipelines));
    }
    assert_eq!((pick.kernel.as_str(), pick.first.as_str()), ("fast", "slow"));
    assert!(pick.gain().unwrap() > 1.5, "{pick:?}");
    let why = |kernel| &pick.dropped.iter().find(|d| d.kernel == kernel).unwrap().why;
    assert!(why("wrong").contains("times the tolerance"), "{}", why("wrong"));
    assert!(why("broken").contains("broken.wgsl"), "{}", why("broken"));
    assert!(why("huge").contains("bytes"), "{}", why("huge"));
    assert_eq!(pick.dropped.len(), 3);

    // The plan takes it, and is right.
    assert_eq!(kernel(&tuner, &graph), "fast");
    let x = Draw::new(1).normal(SHAPE);
    let mut session = Session::new(&tuner);
    let mut program = session.compile(&graph).unwrap();
    let outputs = session.run(&mut program, &[("x", &x)]).unwrap();
    let expected = x.as_f32().unwrap().iter().map(|x| 2.0 * x);
    assert!(outputs.get("y").unwrap().as_f32().unwrap().iter().copied().eq(expected));

    // Another process finds it in the cache, and a file carries it elsewhere.
    assert_eq!(kernel(&tuned(&gpu, Tuning::Cached, &cache), &graph), "fast");
    assert_eq!(kernel(&tuned(&gpu, Tuning::Off, &cache), &graph), "slow");
    let file = folder.path().join("exported.json");
    tuner.picks().write(&file).unwrap();
    let nothing = Cache::none();
    assert_eq!(kernel(&tuned(&gpu, Tuning::File(file), &nothing), &graph), "fast");
    let missing = Tuning::File(folder.path().join("missing.json"));
    assert!(gpu.tuned(&missing, &nothing).unwrap_err().to_string().contains("missing.json"));

    // Checked engines, other kernels and other shapes have keys of their own.
    let checked = tuned(&common::checked_gpu().unwrap(), Tuning::Cached, &cache);
    assert_eq!(kernel(&checked, &graph), "slow");
    let others = Double(&["slow", "fast"]);
    assert_eq!(kernel(&tuned(&gpu, Tuning::Cached, &cache), &self::graph(others)), "slow");
}

#[test]
fn equals_keep_the_best_guess_and_wrong_guesses_lose_it() {
    let Some(gpu) = full_gpu() else { return };
    let cache = Cache::none();
    let quick = tuned(&gpu, Tuning::Quick, &cache);
    // One kernel under two names: the guess stays, unless the other was by chance clearly faster.
    let twins = graph(Double(&["one", "other"]));
    let pick = only(quick.tune(&twins));
    let clearly_faster = pick.ms < 0.95 * pick.first_ms.unwrap();
    let expected = if clearly_faster { "other" } else { "one" };
    assert_eq!((pick.kernel.as_str(), kernel(&quick, &twins)), (expected, expected));

    let pick = only(quick.tune(&graph(Double(&["wrong", "slow"]))));
    assert_eq!((pick.kernel.as_str(), pick.first_ms, pick.gain()), ("slow", None, None));

    // Where none is right there is no pick, and the op's own order stands.
    let hopeless = graph(Double(&["broken", "wrong"]));
    assert!(quick.tune(&hopeless).is_empty());
    assert_eq!(kernel(&quick, &hopeless), "broken");
}

#[test]
fn quick_picks_are_measured_again_by_full_tuning_and_no_others() {
    let Some(gpu) = full_gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("tuning.json"));
    std::fs::write(cache.path().unwrap(), "half a fi").unwrap();
    let mut graph = Graph::new();
    let a = graph.input("a", TensorType::f32([33, 70])).unwrap();
    let b = graph.input("b", TensorType::f32([70, 45])).unwrap();
    let c = graph.add(MatMul::default(), &[a, b]).unwrap();
    graph.output("c", c).unwrap();

    let quick = only(tuned(&gpu, Tuning::Quick, &cache).tune(&graph));
    assert!(!quick.thorough && quick.ms > 0.0);
    let again = only(tuned(&gpu, Tuning::Quick, &cache).tune(&graph));
    assert_eq!(again, quick, "what is known is not measured again");
    let full = only(tuned(&gpu, Tuning::Full, &cache).tune(&graph));
    assert!(full.thorough);
    assert_eq!(only(tuned(&gpu, Tuning::Quick, &cache).tune(&graph)), full);
    assert_eq!(cache.load().len(), 1);
}

/// A large op: its oracle would take too long, so that a part is compared with it, and the whole
/// with the CPU engine.
#[test]
fn large_ops_are_checked_on_a_part_and_on_the_whole() {
    let Some(gpu) = full_gpu() else { return };
    /// As [`Double`], but as expensive as a convolution.
    #[derive(Clone, Debug)]
    struct Large(Double);
    impl Op for Large {
        fn name(&self) -> &'static str {
            "large"
        }
        fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
            self.0.infer(inputs)
        }
        fn cost(&self, types: &Types) -> Cost {
            Cost::with_flops(types, 100_000 * types.outputs[0].elements() as u64)
        }
        fn reference(&self, io: &mut Arrays<'_>) {
            assert!(io.inputs[0].dims()[0] < SHAPE[0], "the oracle is asked for the whole");
            self.0.reference(io);
        }
        fn cpu(&self, io: &mut CpuTensors<'_>) {
            self.0.cpu(io);
        }
        fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
            self.0.gpu(types, adapter)
        }
    }
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32(SHAPE)).unwrap();
    let y = graph.add(Large(Double(&["slow", "wrong", "fast"])), &[x]).unwrap();
    graph.output("y", y).unwrap();
    let pick = only(tuned(&gpu, Tuning::Full, &Cache::none()).tune(&graph));
    assert_eq!(pick.kernel, "fast");
    assert_eq!(pick.dropped.len(), 1, "{:?}", pick.dropped);
    assert_eq!(pick.dropped[0].kernel, "wrong");
}

#[test]
fn a_trainer_measures_its_step_before_it_starts_and_never_later() {
    let Some(gpu) = full_gpu() else { return };
    let device = tuned(&gpu, Tuning::Quick, &Cache::none());
    let model = Model::new("tiny", [1, 28, 28]).with(Linear::new(10));
    let options = Options { batch: 12, max_steps: Some(2), ..Options::default() };
    let mut trainer = Trainer::new(&device, model, Sgd::new(0.05), options).unwrap();
    let picks = device.picks();
    let has = |op: &str| picks.iter().any(|pick| pick.key.op == op);
    assert!(has("linear") && has("linear_grad_weight"), "{picks:?}");
    let plan = trainer.plan().unwrap().clone();
    for step in &plan.steps {
        let PlanStep::Run { op, variant: Some(variant), .. } = step else { continue };
        let pick = picks.iter().find(|pick| pick.key.settings == format!("{op:?}"));
        assert!(pick.is_none_or(|pick| pick.kernel == variant.name), "{op:?}: {}", variant.name);
    }
    let digits = data::open("digits").unwrap();
    trainer.fit(&digits, 1, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(device.picks(), picks);
}

/// `gabor tune`, and runs that take what it found.
#[cfg(feature = "cli")]
#[test]
fn the_program_tunes_exports_and_repeats_runs_with_the_same_kernels() {
    let Some(gpu) = full_gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let gabor = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gabor"));
        command.args(arguments).current_dir(path).env("GABOR_CACHE", path.join("cache"));
        let output = command.env_remove("GABOR_DEVICE").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bytes = |file: &str| std::fs::read(path.join(file)).unwrap();
    let text = |file: &str| String::from_utf8(bytes(file)).unwrap();

    let tune = ["tune", "--model", "lenet", "--batch", "1", "--quick", "--export", "picks.json"];
    let table = gabor(&tune);
    assert!(table.contains("conv2d") && table.contains("times as fast"), "{table}");
    let picks = Picks::read(path.join("picks.json")).unwrap();
    let cache = Cache::at(path.join("cache/tuning.json"));
    assert_eq!(cache.load(), picks);

    // LeNet's last layer with a kernel that is not the op's first, whatever is fastest here.
    let mut graph = Graph::new();
    let types = [TensorType::f32([20, 84]), TensorType::f32([10, 84]), TensorType::f32([10])];
    let values = types.map(|ty| graph.input(format!("{ty}"), ty).unwrap());
    let y = graph.add(gabor::ops::gemm::Linear, &values).unwrap();
    graph.output("y", y).unwrap();
    let quick = tuned(&gpu, Tuning::Quick, &Cache::none());
    let mut forced = Picks::default();
    forced.insert(Pick { kernel: "naive".into(), ..only(quick.tune(&graph)) });
    forced.write(path.join("forced.json")).unwrap();
    assert_eq!(gabor(&["tune", "--import", "forced.json"]), "1 picks were added to the cache\n");
    assert_eq!(cache.load().len(), picks.len() + 1);
    std::fs::remove_file(cache.path().unwrap()).unwrap();
    gabor(&["tune", "--import", "forced.json"]);

    let train = ["train", "--model", "lenet", "--device", "gpu", "--batch", "20", "--max-steps"];
    gabor(&[&train[..], &["1", "--json", "--out", "cached"]].concat());
    assert!(text("cached/config.toml").contains("tune = \"kernels.json\""));
    assert_eq!(Picks::read(path.join("cached/kernels.json")).unwrap(), forced);

    // Repeated without the cache, which may have changed: the run's own kernels decide.
    std::fs::remove_dir_all(path.join("cache")).unwrap();
    gabor(&["train", "--config", "cached/config.toml", "--out", "again", "--json"]);
    assert_eq!(bytes("again/weights.safetensors"), bytes("cached/weights.safetensors"));
    assert_eq!(bytes("again/kernels.json"), bytes("cached/kernels.json"));

    // A network that is written down, for images that are not at hand.
    let tiny = "data = \"idx:nowhere\"\nmodel = \"tiny\"\nnetwork = [{ linear = { outputs = \"classes\" } }]\n";
    std::fs::write(path.join("tiny.toml"), tiny).unwrap();
    let tune = ["tune", "--config", "tiny.toml", "--input", "1,4,5", "--classes", "3", "--quick"];
    gabor(&[&tune[..], &["--batch", "2", "--export", "tiny.json"]].concat());
    let json = text("tiny.json");
    assert!(json.contains("f32[3, 20]") && json.contains("f32[2, 3]"), "{json}");
}
