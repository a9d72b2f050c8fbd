//! gabor trains convolutional neural networks with WGSL compute shaders through
//! [wgpu](https://wgpu.rs), on any GPU that speaks Vulkan, Metal or DX12, and on the CPU where there
//! is no GPU. Nothing else needs to be installed.
//!
//! # Quick start
//!
//! A network is a list of layers; each finds out its input's shape by itself. This trains one on
//! handwritten digits that the crate contains:
//!
//! ```
//! use gabor::prelude::*;
//!
//! let digits = data::open("digits")?;
//! let model = Model::new("small", digits.train.shape())
//!     .with(Conv2d::new(8, 5).stride(2).padding(2))
//!     .with(Relu)
//!     .with(MaxPool2d::new(3).stride(2))
//!     .with(Linear::new(10));
//!
//! // `Device::auto()` takes a GPU where there is one.
//! let device = Device::cpu();
//! let optimizer = Sgd::new(0.05).momentum(0.9);
//! let mut trainer = Trainer::new(&device, model, optimizer, Options::default())?;
//! let report = trainer.fit(&digits, 1, |event| {
//!     if let Event::Epoch(epoch) = event {
//!         println!("loss {:.3}, {:.0} images/s", epoch.loss, epoch.images_per_second);
//!     }
//!     ControlFlow::Continue(())
//! })?;
//!
//! assert!(report.test.top1 > 0.8, "{:?}", report.test);
//! # Ok::<(), Error>(())
//! ```
//!
//! `examples/alexnet.rs` trains AlexNet's sequence of layers and saves weights and learned filters;
//! `examples/custom_layer.rs` adds an operation with a WGSL kernel of its own. The program `gabor`
//! does the same from the command line: `gabor train`, `eval`, `predict`, `report`, `compare`, `summary`, `devices`, `tune`,
//! `bench`, `profile`, `data`.
//!
//! # Where things are
//!
//! | module | what it holds |
//! |---|---|
//! | [`prelude`] | the dozen names that a training program needs |
//! | [`nn`] | layers, initial values, [`Model`](nn::Model) |
//! | [`zoo`] | networks that have a name |
//! | [`data`] | data sets, transforms, the loader, downloads |
//! | [`optim`] | optimizers and schedules of the learning rate |
//! | [`train`] | [`Trainer`](train::Trainer), [`Network`](train::Network), runs and their folders |
//! | [`device`] | the CPU or a GPU |
//! | `report` | a run as a page; runs side by side |
//! | [`explain`], [`lecture`] | a look inside a trained network; the lecture's examples |
//! | [`io`], `viz` | weights, event logs; pictures of filters, curves and maps |
//! | [`graph`] | graphs of operations, their gradients, and the plans they are compiled to |
//! | [`session`] | plans at work on a device |
//! | [`tuning`] | which of its kernels an operation runs with |
//! | [`ops`], [`kernel`] | the operations, and how they describe their kernels |
//! | [`call`] | any operation by name: tensors in, outputs and gradients out |
//! | [`check`], [`tolerance`] | an operation against its oracle and against finite differences |
//! | [`philox`] | random numbers that are the same on every device |
//! | [`tensor`], [`error`] | shapes and host tensors; the one error type |
//!
//! Most programs need the first six. A model builds a [`Graph`](graph::Graph) of
//! [`Op`](ops::Op)s; the graph is differentiated into a bigger one that holds forward pass, loss,
//! backward pass and update; a [`Plan`](graph::Plan) of it chooses kernels and assigns buffers; a
//! [`Session`](session::Session) runs the plan, once a step. `docs/architecture.md` says more.
//!
//! # Errors
//!
//! Whatever a user, a file or a driver can do wrong comes back as an [`Error`](error::Error): one
//! line that names the thing and the remedy. A result that a driver's error has touched is never
//! returned.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `gpu` | yes | the WGSL engine; without it there is the CPU |
//! | `images` | with `cli` | folders of pictures, the data set `photos`, pictures of filters and curves |
//! | `download` | with `cli` | data sets from the network |
//! | `cli` | yes | the program `gabor` |

pub mod bench;
pub mod call;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
mod cpu;
pub mod data;
pub mod device;
pub mod error;
pub mod explain;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod graph;
pub mod io;
pub mod kernel;
pub mod lecture;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod philox;
pub mod prelude;
#[cfg(feature = "images")]
pub mod report;
pub mod session;
pub mod tensor;
pub mod tolerance;
pub mod train;
pub mod tuning;
#[cfg(feature = "images")]
pub mod viz;
pub mod zoo;

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
