//! Convolutions whose groups have one input channel each: sums of shifted planes.
//!
//! A matrix product would unfold a plane for one row of weights. Every plane is a task of its own.

use rayon::prelude::*;

use super::rows::{add_scaled, dot, each_tap, scatter_scaled, stretches};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// An output plane is the sum of its channel's plane, shifted and scaled by each tap.
pub(super) fn forward(g: &Geometry, relu: bool, io: &mut CpuTensors<'_>) {
    let (input, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let planes = io.outputs[0].par_chunks_mut(g.output_pixels()).enumerate();
    planes.for_each(|(item, output)| {
        let o = item % g.outputs();
        let plane = &input[item / g.group_outputs * g.input_pixels()..][..g.input_pixels()];
        output.fill(bias.map_or(0.0, |bias| bias[o]));
        for ((u, v), &w) in each_tap(g).zip(&weight[o * g.taps()..]) {
            for (outputs, from) in stretches(g, u, v) {
                add_scaled(&mut output[outputs], w, &plane[from..], g.stride[1]);
            }
        }
        if relu {
            output.iter_mut().for_each(|y| *y = y.max(0.0));
        }
    });
}

/// A plane's gradient is the sum of its outputs' gradients, shifted back and scaled by each tap.
pub(super) fn grad_input(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (grad, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let planes = io.outputs[0].par_chunks_mut(g.input_pixels()).enumerate();
    planes.for_each(|(item, plane)| {
        let c = item % g.groups;
        plane.fill(bias.map_or(0.0, |bias| bias[c]));
        for k in 0..g.group_outputs {
            let grad =
                &grad[(item * g.group_outputs + k) * g.output_pixels()..][..g.output_pixels()];
            let weight = &weight[(c * g.group_outputs + k) * g.taps()..];
            for ((u, v), &w) in each_tap(g).zip(weight) {
                for (outputs, to) in stretches(g, u, v) {
                    scatter_scaled(&mut plane[to..], w, &grad[outputs], g.stride[1]);
                }
            }
        }
    });
}

/// A tap's gradient is the product of the shifted plane with the output's gradient.
pub(super) fn grad_weight(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (input, grad) = (io.inputs[0], io.inputs[1]);
    let filters = io.outputs[0].par_chunks_mut(g.taps()).enumerate();
    filters.for_each(|(o, filter)| {
        filter.fill(0.0);
        for n in 0..g.batch {
            let item = n * g.outputs() + o;
            let plane = &input[item / g.group_outputs * g.input_pixels()..][..g.input_pixels()];
            let grad = &grad[item * g.output_pixels()..][..g.output_pixels()];
            for ((u, v), sum) in each_tap(g).zip(filter.iter_mut()) {
                let stretches = stretches(g, u, v);
                *sum += stretches
                    .map(|(outputs, from)| dot(&grad[outputs], &plane[from..], g.stride[1]))
                    .sum::<f32>();
            }
        }
    });
}
