//! What in a picture made a unit answer: its activation sent back through the network.

use super::{Explainer, IMAGES, MAPS, SEED};
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::ops::Backward;
use crate::ops::elementwise::Unary;
use crate::tensor::Tensor;

/// A unit's activation, projected down to the picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Projection {
    /// `[channels, height, width]`, of both signs: what the unit was excited by.
    pub pixels: Tensor,
    /// The place of the unit's map that was projected: row and column.
    pub at: [usize; 2],
    /// Its activation.
    pub activation: f32,
}

/// A deconvnet's way back through a ReLU: the signal itself is rectified, wherever the forward pass was
/// negative. Elsewhere the way back is the gradient's: max pooling puts values where the maxima were found (the
/// switches), convolution applies its filters transposed.
pub(super) fn rule(node: &Node, g: &mut Backward<'_>) -> Result<bool> {
    if node.op.as_ref().downcast_ref::<Unary>() != Some(&Unary::Relu) {
        return Ok(false);
    }
    g.emit_grad(0, Unary::Relu, &[g.grad_output(0)?])?;
    Ok(true)
}

impl Explainer<'_> {
    /// Projects the largest activation of a unit (a channel) of a layer, alone, down to the picture, as
    /// a deconvnet does (Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2014).
    /// Normalisation layers are passed as gradients pass them, in the paper not at all.
    ///
    /// Errors where there is no such layer or unit, the image does not fit, or the device fails.
    pub fn deconvnet(&mut self, image: &Tensor, layer: &str, unit: usize) -> Result<Projection> {
        let [channels, rows, columns] = self.layer(layer)?.shape;
        if unit >= channels {
            let remedy = format!("layer {layer} has units 0 to {}", channels - 1);
            return Err(Error::setting("unit", unit, remedy));
        }
        let maps = self.run(&format!("maps {layer}"), &[(IMAGES, image)], |built| {
            let maps = built.output(layer)?;
            built.graph.output(MAPS, maps)
        })?;
        let places = rows * columns;
        let map = &maps.get(MAPS)?.as_f32()?[unit * places..][..places];
        let best = map.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let (place, activation) = best.map_or((0, 0.0), |(place, &activation)| (place, activation));
        let mut seed = vec![0.0; channels * places];
        seed[unit * places + place] = activation;
        let seed = Tensor::f32([1, channels, rows, columns], seed)?;
        let inputs = [(IMAGES, image), (SEED, &seed)];
        let outputs = self.run(&format!("deconvnet {layer}"), &inputs, |built| {
            let maps = built.output(layer)?;
            let seed = built.seed(maps)?;
            let signal = built.graph.gradients_by(&rule, &[seed], &[built.images])?[0];
            built.graph.output("signal", signal)
        })?;
        let signal = outputs.get("signal")?.as_f32()?.to_vec();
        let pixels = Tensor::f32(self.model().input(), signal)?;
        Ok(Projection { pixels, at: [place / columns, place % columns], activation })
    }
}
