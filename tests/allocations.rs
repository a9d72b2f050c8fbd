//! The CPU engine takes memory while it loads a program, and from then on only what it hands out.

#![allow(unsafe_code, reason = "an allocator that counts can be had in no other way")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gabor::device::Device;
use gabor::ops::case::Draw;
use gabor::optim::Sgd;
use gabor::session::Session;
use gabor::tensor::Tensor;
use gabor::train::{Names, training_step};
use gabor::zoo;

/// The system's allocator, and how often and for how much it was asked, by any thread.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// # Safety
///
/// Every request goes to [`System`] as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_training_step_allocates_its_outputs_and_no_more() {
    const BATCH: usize = 16;
    let model = zoo::build("cifar-quick", [3, 32, 32], 10).unwrap();
    let step = training_step(&model, &Sgd::new(0.01).momentum(0.9), BATCH, 1).unwrap();
    let mut session = Session::new(&Device::cpu());
    let mut program = session.compile(&step).unwrap();
    let mut draw = Draw::new(1);
    let (images, labels) = (draw.normal([BATCH, 3, 32, 32]), draw.labels(BATCH, 10));
    let rate = Tensor::scalar(0.01);
    let inputs =
        [(Names::IMAGES, &images), (Names::LABELS, &labels), (Names::LEARNING_RATE, &rate)];
    let mut steps = vec![];
    for _ in 0..12 {
        let before = COUNT.load(Relaxed);
        LARGEST.store(0, Relaxed);
        let outputs = session.run(&mut program, &inputs).unwrap();
        steps.push((COUNT.load(Relaxed) - before, LARGEST.load(Relaxed)));
        assert!(outputs.scalar(Names::LOSS).unwrap().is_finite());
    }
    // A list of two outputs, each with its name, extents and elements, and rarely a block of the queue
    // by which the thread pool is called. The matrix product takes memory for a thread that it has not
    // met before.
    println!("allocations and the largest in bytes, by step: {steps:?}");
    let threads = std::thread::available_parallelism().unwrap().get();
    let is_large = |&&(_, largest): &&(usize, usize)| largest > 2048;
    assert!(steps.iter().filter(is_large).count() <= 1 + threads, "{steps:?}");
    let each = 1 + 2 * 3 + 3;
    let most = each * (steps.len() - 1) + 2 * threads;
    assert!(steps[1..].iter().map(|(count, _)| count).sum::<usize>() <= most, "{steps:?}");
}
