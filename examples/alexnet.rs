//! Trains AlexNet's sequence of layers, at the size of digits and patches, and saves what it learned.
//!
//! ```sh
//! cargo run --release --example alexnet              # handwritten digits
//! cargo run --release --example alexnet -- photos    # patches of photographs: look at the filters
//! ```
//!
//! The layers are those of Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep
//! Convolutional Neural Networks" (2012), with fewer channels and smaller kernels.

use gabor::prelude::*;
use gabor::viz;

fn alexnet(input: [usize; 3], classes: usize) -> Model {
    let pool = || MaxPool2d::new(3).stride(2);
    Model::new("alexnet", input)
        .with(Conv2d::new(32, 7).padding(3).weight_init(Init::Normal(0.01)))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(Conv2d::new(64, 5).padding(2))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(Conv2d::new(96, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(96, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(64, 3).padding(1))
        .with(Relu)
        .with(pool())
        .with(Linear::new(256))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(256))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(classes))
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| data::DEFAULT.into());
    let source = data::open(&name)?;
    let model = alexnet(source.train.shape(), source.train.classes().len());

    let device = Device::auto()?;
    println!("{} parameters on {}", model.summary(1)?.parameters, device.name());

    let epochs = 5;
    let optimizer = Sgd::new(0.02).momentum(0.9).weight_decay(5e-4);
    let schedule = Schedule::Cosine { warmup: 1.0 };
    let options = Options { batch: 64, seed: 1, schedule, ..Options::default() };
    let mut trainer = Trainer::new(&device, model, optimizer, options)?;

    trainer.fit(&source, epochs, |event| {
        if let Event::Epoch(e) = event {
            let (train, test) = (100.0 * e.train_top1, 100.0 * e.test_top1);
            println!("epoch {}: loss {:.4}, train {train:.2} %, test {test:.2} %", e.epoch, e.loss);
        }
        ControlFlow::Continue(()) // `Break` ends the run here
    })?;

    let network = trainer.network_mut();
    let test = network.evaluate(&source.test, &source.normalise, 100)?;
    println!("test accuracy {:.2} %, top-5 {:.2} %", 100.0 * test.top1, 100.0 * test.top5);

    network.save("alexnet.safetensors", &[("data", name.as_str())])?;
    viz::filters::save_sheet(&network.state("conv1.weight")?, "filters.png")?;
    println!("saved to alexnet.safetensors and filters.png");
    Ok(())
}
