"""Makes tests/pytorch/ops.safetensors: what PyTorch computes in float64 for every operation of gabor.

    python -m venv venv && venv/bin/pip install torch numpy safetensors
    venv/bin/python tests/pytorch/ops.py

Inputs and arriving gradients are drawn so that float32 holds them exactly. The metadata `cases` lists
name, attributes and the version of PyTorch; tensors are `INDEX/NAME`, for example `17/grad_weight`.
"""

import json
import math
import os
import random

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
torch.manual_seed(20260)
random.seed(20260)

CASES, TENSORS = [], {}


def exact(tensor):
    return tensor.to(torch.float32).to(torch.float64)


def randn(*shape):
    return exact(torch.randn(*shape))


def uniform(low, high, *shape):
    return exact(torch.rand(*shape) * (high - low) + low)


def apart(*shape, gap=0.05):
    """Values no two of which are near: no maximum is a matter of rounding."""
    count = math.prod(shape)
    return exact(((torch.randperm(count) - count / 2) * gap).reshape(shape))


def labels(classes, *shape):
    return torch.randint(0, classes, shape)


def case(op, attributes, compute, with_grads=True, outputs=("output",), **inputs):
    """Records `compute(**inputs)`; gradients of its first output's inputs where they are wanted."""
    index = len(CASES)
    given = {name: value for name, value in inputs.items() if value is not None}
    flat = {}
    for name, value in given.items():
        if isinstance(value, list):
            flat.update({f"{name}.{i}": item for i, item in enumerate(value)})
        else:
            flat[name] = value
    for value in flat.values():
        if value.is_floating_point():
            value.requires_grad_(with_grads)
    results = compute(**given)
    results = results if isinstance(results, tuple) else (results,)
    record = {"op": op, "attributes": attributes}
    CASES.append(record)
    store = {}
    if with_grads:
        first = results[0]
        arriving = exact(torch.randn_like(first))
        first.backward(arriving)
        store[f"arriving/{outputs[0]}"] = arriving.reshape(-1) if arriving.dim() == 0 else arriving
        for name, value in flat.items():
            if value.is_floating_point() and value.grad is not None:
                store[f"grad_{name}"] = value.grad
    for name, value in zip(outputs, results):
        value = value.detach()
        store[name] = value.reshape(1) if value.dim() == 0 else value
    for name, value in flat.items():
        value = value.detach()
        store[f"in/{name}"] = value.float() if value.is_floating_point() else value.to(torch.int32)
    for name, value in store.items():
        value = value.to(torch.int32) if value.dtype == torch.int64 else value
        TENSORS[f"{index}/{name}"] = value.contiguous().clone()


def pick(*choices):
    return random.choice(choices)


def padded(x, sides, value=0.0):
    top, bottom, left, right = sides
    return F.pad(x, (left, right, top, bottom), value=value)


# Convolution

def conv2d(n, c, h, w, o, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=True):
    attributes = dict(stride=list(stride), padding=list(padding), dilation=list(dilation), groups=groups)

    def compute(input, weight, bias=None):
        return F.conv2d(padded(input, padding), weight, bias, stride, 0, dilation, groups)

    case("conv2d", attributes, compute, input=randn(n, c, h, w), weight=randn(o, c // groups, *kernel),
         bias=randn(o) if bias else None)


conv2d(2, 3, 3, 3, 3, (3, 3), padding=(1, 1, 1, 1))
conv2d(4, 4, 4, 4, 4, (4, 4))
conv2d(1, 3, 11, 11, 4, (7, 7), stride=(4, 4))
conv2d(2, 4, 5, 6, 6, (1, 1))
conv2d(3, 5, 4, 7, 2, (1, 1), stride=(2, 3), bias=False)
conv2d(2, 4, 7, 6, 6, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)
conv2d(2, 6, 6, 5, 6, (3, 3), padding=(1, 1, 1, 1), groups=6)
conv2d(2, 3, 8, 7, 6, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1), groups=3)
conv2d(1, 4, 9, 9, 8, (5, 5), padding=(2, 2, 2, 2), groups=4, bias=False)
conv2d(2, 2, 2, 2, 3, (5, 5), padding=(2, 2, 2, 2))
conv2d(1, 1, 1, 1, 1, (1, 1))
conv2d(2, 6, 5, 5, 9, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), groups=3)
for _ in range(20):
    groups = pick(1, 1, 2, 3)
    kernel = (random.randint(1, 4), random.randint(1, 4))
    conv2d(random.randint(1, 3), groups * random.randint(1, 3), random.randint(5, 9), random.randint(5, 9),
           groups * random.randint(1, 3), kernel, (random.randint(1, 3), random.randint(1, 3)),
           tuple(random.randint(0, 2) for _ in range(4)), (1, 1) if max(kernel) > 2 else (2, 1), groups,
           pick(True, False))


def conv_transpose2d(n, c, h, w, o, kernel, stride=(1, 1), padding=(0, 0), output_padding=(0, 0),
                     dilation=(1, 1), groups=1, bias=True):
    attributes = dict(stride=list(stride), padding=list(padding), output_padding=list(output_padding),
                      dilation=list(dilation), groups=groups)

    def compute(input, weight, bias=None):
        return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)

    case("conv_transpose2d", attributes, compute, input=randn(n, c, h, w),
         weight=randn(c, o // groups, *kernel), bias=randn(o) if bias else None)


conv_transpose2d(2, 3, 3, 3, 3, (3, 3))
conv_transpose2d(2, 4, 4, 5, 6, (3, 3), (2, 2), (1, 1), (1, 1))
conv_transpose2d(1, 4, 3, 4, 6, (3, 2), (2, 3), (1, 0), (1, 2), (1, 2), 2)
conv_transpose2d(2, 6, 4, 4, 6, (4, 4), (2, 2), (1, 1), groups=6, bias=False)
for _ in range(8):
    groups = pick(1, 2)
    stride = (random.randint(1, 3), random.randint(1, 3))
    conv_transpose2d(random.randint(1, 2), groups * random.randint(1, 3), random.randint(2, 5), random.randint(2, 5),
                     groups * random.randint(1, 3), (random.randint(2, 4), random.randint(2, 4)), stride,
                     (random.randint(0, 1), random.randint(0, 1)), tuple(random.randint(0, s - 1) for s in stride),
                     groups=groups, bias=pick(True, False))


def local2d(n, c, h, w, o, kernel, stride=(1, 1), padding=(0, 0, 0, 0), groups=1, bias=True):
    """A filter of its own for each place, by unfolding."""
    out = [(e + p + q - k) // s + 1 for e, p, q, k, s in
           ((h, padding[0], padding[1], kernel[0], stride[0]), (w, padding[2], padding[3], kernel[1], stride[1]))]
    attributes = dict(stride=list(stride), padding=list(padding), groups=groups)

    def compute(input, weight, bias=None):
        columns = F.unfold(padded(input, padding), kernel, stride=stride)
        columns = columns.reshape(n, groups, c // groups, *kernel, *out)
        bank = weight.reshape(groups, o // groups, c // groups, *kernel, *out)
        result = torch.einsum("ngcuvyx,gocuvyx->ngoyx", columns, bank).reshape(n, o, *out)
        return result if bias is None else result + bias

    case("locally_connected2d", attributes, compute, input=randn(n, c, h, w),
         weight=randn(o, c // groups, *kernel, *out), bias=randn(o, *out) if bias else None)


local2d(2, 3, 4, 5, 4, (3, 3), padding=(1, 1, 1, 1))
local2d(1, 4, 5, 4, 6, (2, 3), (2, 1), (1, 0, 0, 1), 2)
local2d(3, 2, 3, 3, 2, (3, 3), bias=False)
local2d(2, 4, 6, 6, 4, (3, 3), (3, 2), (0, 1, 1, 0), 4)

# Pooling


def max_pool2d(n, c, h, w, window, stride=None, padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    attributes = dict(window=list(window), padding=list(padding), dilation=list(dilation), ceil_mode=ceil_mode)
    if stride:
        attributes["stride"] = list(stride)
    compute = lambda input: F.max_pool2d(input, window, stride, padding, dilation, ceil_mode, True)
    case("max_pool2d", attributes, compute, outputs=("output", "indices"), input=apart(n, c, h, w))


max_pool2d(2, 3, 4, 4, (2, 2))
max_pool2d(2, 3, 7, 8, (3, 3), (2, 2))
max_pool2d(1, 2, 6, 7, (3, 2), (2, 3), (1, 1), ceil_mode=True)
max_pool2d(2, 2, 9, 8, (3, 3), (1, 2), (1, 0), (2, 2))
max_pool2d(1, 1, 5, 5, (5, 5))
for _ in range(10):
    window = (random.randint(2, 4), random.randint(2, 4))
    max_pool2d(random.randint(1, 2), random.randint(1, 3), random.randint(8, 10), random.randint(8, 10), window,
               (random.randint(1, 3), random.randint(1, 3)), tuple(random.randint(0, k // 2) for k in window),
               (random.randint(1, 2), random.randint(1, 2)), pick(True, False))
x = torch.randint(0, 3, (2, 3, 6, 6)).double()  # many ties: the first wins
case("max_pool2d", dict(window=3, stride=2), lambda input: F.max_pool2d(input, 3, 2, return_indices=True),
     outputs=("output", "indices"), input=x)


def avg_pool2d(n, c, h, w, window, stride=None, padding=(0, 0), ceil_mode=False, count_include_pad=True):
    attributes = dict(window=list(window), padding=list(padding), ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    if stride:
        attributes["stride"] = list(stride)
    compute = lambda input: F.avg_pool2d(input, window, stride, padding, ceil_mode, count_include_pad)
    case("avg_pool2d", attributes, compute, input=randn(n, c, h, w))


avg_pool2d(2, 3, 4, 4, (2, 2))
avg_pool2d(2, 3, 7, 8, (3, 3), (2, 2), (1, 1), True, False)
avg_pool2d(2, 3, 7, 8, (3, 3), (2, 2), (1, 1), True, True)
for _ in range(10):
    window = (random.randint(2, 4), random.randint(2, 4))
    avg_pool2d(random.randint(1, 2), random.randint(1, 3), random.randint(4, 9), random.randint(4, 9), window,
               (random.randint(1, 3), random.randint(1, 3)), tuple(random.randint(0, k // 2) for k in window),
               pick(True, False), pick(True, False))
for size in ((1, 1), (2, 3), (3, 2), (5, 5), (7, 4)):
    case("adaptive_avg_pool2d", dict(output_size=list(size)), lambda input: F.adaptive_avg_pool2d(input, size), input=randn(2, 3, 5, 7))
    case("adaptive_max_pool2d", dict(output_size=list(size)),
         lambda input: F.adaptive_max_pool2d(input, size, return_indices=True),
         outputs=("output", "indices"), input=apart(2, 3, 5, 7))
for shape in ((2, 3, 5, 4), (1, 1, 1, 1), (3, 7, 2, 9)):
    case("global_avg_pool2d", {}, lambda input: input.mean((2, 3), keepdim=True), input=randn(*shape))
    case("global_max_pool2d", {}, lambda input: F.adaptive_max_pool2d(input, 1), input=apart(*shape))

# Normalisation

for shape, training in (((4, 3, 5, 6), True), ((4, 3, 5, 6), False), ((6, 5), True), ((6, 5), False),
                        ((2, 1, 3, 3), True), ((8, 7, 1, 1), True), ((3, 4, 4, 4), True), ((2, 3, 7), True)):
    for affine in (True, False):
        c = shape[1]
        eps, momentum = pick(2**-17, 2**-10), pick(0.125, 0.3125)

        def compute(input, weight=None, bias=None, running_mean=None, running_var=None):
            mean, var = running_mean.detach().clone(), running_var.detach().clone()
            y = F.batch_norm(input, mean, var, weight, bias, training, momentum, eps)
            return (y, mean, var) if training else y

        case("batch_norm", dict(training=training, eps=eps, momentum=momentum), compute,
             outputs=("output", "running_mean", "running_var"), input=exact(2 * randn(*shape) + 1),
             weight=randn(c) if affine else None, bias=randn(c) if affine else None,
             running_mean=randn(c), running_var=uniform(0.5, 2, c))
for shape, dims in (((4, 3, 5, 6), [3, 5, 6]), ((4, 3, 5, 6), [6]), ((2, 3, 4, 5), [4, 5]), ((5, 7), [7]), ((1, 1, 3, 3), [3, 3])):
    for affine in (True, False):
        case("layer_norm", dict(normalized_shape=dims, eps=2**-17),
             lambda input, weight=None, bias=None: F.layer_norm(input, dims, weight, bias, 2**-17), input=randn(*shape),
             weight=randn(*dims) if affine else None, bias=randn(*dims) if affine else None)
for shape, groups in (((4, 6, 5, 3), 2), ((2, 6, 3, 3), 6), ((2, 6, 3, 4), 1), ((1, 4, 1, 2), 2), ((3, 9, 2, 2), 3)):
    for affine in (True, False):
        case("group_norm", dict(num_groups=groups, eps=2**-13),
             lambda input, weight=None, bias=None: F.group_norm(input, groups, weight, bias, 2**-13), input=randn(*shape),
             weight=randn(shape[1]) if affine else None, bias=randn(shape[1]) if affine else None)
for shape in ((4, 3, 5, 3), (1, 2, 4, 4), (2, 5, 2, 2)):
    for affine in (True, False):
        case("instance_norm", dict(eps=2**-17),
             lambda input, weight=None, bias=None: F.instance_norm(input, weight=weight, bias=bias, eps=2**-17), input=randn(*shape),
             weight=randn(shape[1]) if affine else None, bias=randn(shape[1]) if affine else None)
for size, alpha, beta, k in ((5, 2**-13, 0.75, 2.0), (5, 0.5, 0.75, 2.0), (3, 0.625, 0.5, 1.0), (4, 0.3125, 0.75, 1.0), (1, 1.0, 1.0, 1.0), (9, 0.875, 0.75, 1.5)):
    for shape in ((2, 6, 3, 4), (1, 3, 3, 3)):
        case("local_response_norm", dict(size=size, alpha=alpha, beta=beta, k=k),
             lambda input: F.local_response_norm(input, size, alpha, beta, k), input=randn(*shape))



def window_sum(x, size):
    """Over the rows and columns from `- size // 2` to `+ (size - 1) // 2`, with zeros outside."""
    before, after = size // 2, (size - 1) // 2
    return F.avg_pool2d(F.pad(x, (before, after, before, after)), size, 1) * size * size


def within_channel(x, d, size, alpha, beta, k):
    return x / (k + alpha / size**2 * window_sum(d * d, size)) ** beta


def deviation(x, size):
    return x - window_sum(x, size) / window_sum(torch.ones_like(x), size)


for size, alpha, beta, k in ((3, 0.5, 0.75, 1.0), (5, 0.8125, 0.75, 2.0), (4, 0.3125, 0.5, 1.0), (1, 1.0, 1.0, 1.0)):
    for shape in ((2, 3, 5, 6), (1, 2, 3, 3)):
        attributes = dict(size=size, alpha=alpha, beta=beta, k=k)
        case("local_response_norm_within_channel", attributes,
             lambda input: within_channel(input, input, size, alpha, beta, k), input=randn(*shape))
        for subtract in (False, True):
            case("local_contrast_norm", dict(attributes, subtract_mean=subtract),
                 lambda input: within_channel(deviation(input, size) if subtract else input,
                                              deviation(input, size), size, alpha, beta, k), input=randn(*shape))

# Activations

POINTS = [1e4, -1e4, 0.5, -0.5, 20.5, -20.5]


def activation(op, attributes, compute, make=randn):
    case(op, attributes, compute, input=make(2, 3, 4, 5))
    case(op, attributes, compute, input=make(7))


def with_extremes(*shape):
    x = exact(3 * randn(*shape))
    flat = x.reshape(-1)
    flat[: len(POINTS)] = exact(torch.tensor(POINTS))
    return flat.reshape(shape)


activation("relu", {}, F.relu)
activation("leaky_relu", dict(negative_slope=0.125), lambda input: F.leaky_relu(input, 0.125))
activation("elu", dict(alpha=0.75), lambda input: F.elu(input, 0.75), with_extremes)
activation("selu", {}, F.selu, with_extremes)
activation("silu", {}, F.silu, with_extremes)
activation("gelu", {}, F.gelu, with_extremes)
activation("gelu", dict(approximate="tanh"), lambda input: F.gelu(input, approximate="tanh"), with_extremes)
activation("sigmoid", {}, torch.sigmoid, with_extremes)
activation("tanh", {}, torch.tanh, with_extremes)
activation("softplus", {}, F.softplus, with_extremes)
activation("softplus", dict(beta=2.0, threshold=5.0), lambda input: F.softplus(input, 2.0, 5.0), with_extremes)
# PyTorch's own gradient has 1/6 in float32.
activation("hardsigmoid", {}, lambda input: torch.clamp(input / 6 + 0.5, 0, 1), with_extremes)
activation("hardswish", {}, F.hardswish, with_extremes)
activation("clamp", dict(min=-0.5, max=0.75), lambda input: torch.clamp(input, -0.5, 0.75), with_extremes)
for shape, channels in (((2, 3, 4, 5), 3), ((2, 3, 4, 5), 1), ((4, 6), 6), ((3, 3, 3, 3), 3)):
    case("prelu", {}, F.prelu, input=randn(*shape), weight=randn(channels))
for op, function, make in (("neg", torch.neg, randn), ("exp", torch.exp, randn), ("abs", torch.abs, randn),
                           ("square", torch.square, randn), ("log", torch.log, lambda *s: uniform(0.1, 4, *s)),
                           ("sqrt", torch.sqrt, lambda *s: uniform(0.1, 4, *s))):
    activation(op, {}, function, make)

activation("reciprocal", {}, torch.reciprocal, lambda *s: uniform(0.2, 4, *s))
activation("pow", dict(exponent=1.5), lambda input: input**1.5, lambda *s: uniform(0.1, 4, *s))
activation("affine", dict(scale=-1.5, shift=0.25), lambda input: -1.5 * input + 0.25)

# Shape and arithmetic

for shape, to in (((1, 3), [2, 3]), ((3, 1, 1), [2, 3, 4, 5]), ((2, 1, 4), [2, 3, 4])):
    case("expand", dict(size=to), lambda input: input.expand(to) * 1, input=randn(*shape))
for shape, to in (((2, 3, 4), [4, 6]), ((2, 3, 4, 5), [2, 60]), ((6,), [1, 2, 3])):
    case("reshape", dict(shape=to), lambda input: input.reshape(to) * 1, input=randn(*shape))
case("flatten", dict(start_dim=1), lambda input: input.flatten(1) * 1, input=randn(2, 3, 4, 5))
for shape, dims in (((2, 3), [1, 0]), ((2, 3, 4, 5), [0, 2, 3, 1]), ((2, 3, 4, 5), [3, 1, 0, 2]), ((3, 3, 3), [2, 0, 1]), ((2, 1, 3, 2, 2), [4, 2, 0, 3, 1])):
    case("permute", dict(dims=dims), lambda input: input.permute(dims) * 1, input=randn(*shape))
for shape, start, end, step in (((5, 6), [1, 0], [4, 6], [1, 2]), ((2, 5, 4, 7), [0, 1, 0, 2], [2, 5, 3, 7], [1, 2, 1, 3]), ((9,), [3], [9], [4])):
    case("slice", dict(start=start, end=end, step=step),
         lambda input: input[tuple(slice(*s) for s in zip(start, end, step))] * 1, input=randn(*shape))
for shapes, dim in ((((2, 3, 4, 4), (2, 5, 4, 4)), 1), (((1, 2), (3, 2), (2, 2)), 0), (((2, 3, 4), (2, 3, 1), (2, 3, 2)), 2), (((2, 3),), 1)):
    case("cat", dict(dim=dim), lambda inputs: torch.cat(inputs, dim) * 1, inputs=[randn(*s) for s in shapes])
for mode in ("constant", "reflect", "replicate"):
    for pad in ((1, 2, 2, 1), (0, 3, 1, 0), (2, 2, 0, 0)):
        case("pad", dict(mode=mode, pad=list(pad), **(dict(value=0.5) if mode == "constant" else {})),
             lambda input: F.pad(input, pad, mode, 0.5 if mode == "constant" else None), input=randn(2, 3, 4, 5))
for name, function in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div), ("maximum", torch.maximum), ("minimum", torch.minimum)):
    for a, b in (((2, 3, 4), (2, 3, 4)), ((2, 3, 4, 5), (3, 1, 1)), ((4, 1), (3, 1, 5)), ((5,), (1,)), ((2, 3, 1, 5), (1, 3, 4, 1))):
        divisor = uniform(0.5, 2, *b) if name == "div" else randn(*b)
        case(name, {}, lambda input, other: function(input, other), input=randn(*a), other=divisor)
for name, function, make in (("sum", torch.sum, randn), ("mean", torch.mean, randn), ("amax", torch.amax, apart)):
    for shape, dim, keepdim in (((3, 4, 5), [1], False), ((2, 3, 4, 8), [0, 2, 3], True), ((3, 2, 5, 8), [1, 3], False), ((8,), [0], True), ((2, 8, 4), [0, 1, 2], False)):
        case(name, dict(dim=dim, keepdim=keepdim), lambda input: function(input, dim, keepdim), input=make(*shape))
for size in ((8, 10), (7, 3), (4, 5), (1, 1), (9, 13)):
    case("interpolate", dict(size=list(size), mode="nearest"), lambda input: F.interpolate(input, size, mode="nearest"), input=randn(2, 3, 4, 5))
    for corners in (True, False):
        case("interpolate", dict(size=list(size), mode="bilinear", align_corners=corners),
             lambda input: F.interpolate(input, size, mode="bilinear", align_corners=corners), input=randn(2, 3, 4, 5))
case("pixel_shuffle", dict(upscale_factor=2), lambda input: F.pixel_shuffle(input, 2), input=randn(2, 8, 3, 4))
case("pixel_shuffle", dict(upscale_factor=3), lambda input: F.pixel_shuffle(input, 3), input=randn(1, 9, 2, 2))
case("pixel_unshuffle", dict(downscale_factor=2), lambda input: F.pixel_unshuffle(input, 2), input=randn(2, 3, 4, 6))
case("gather_classes", {}, lambda input, target: input.gather(1, target[:, None])[:, 0], input=randn(5, 7), target=labels(7, 5))
case("gather_classes", {}, lambda input, target: input.gather(1, target[:, None])[:, 0], input=randn(2, 3, 4, 5), target=labels(3, 2, 4, 5))
for m, k, n in ((3, 4, 5), (1, 7, 1), (8, 8, 8), (17, 33, 9)):
    case("matmul", {}, lambda input, other: input @ other, input=randn(m, k), other=randn(k, n))
    case("linear", {}, F.linear, input=randn(m, k), weight=randn(n, k), bias=randn(n))

# Losses


def logits(*shape):
    return exact(3 * randn(*shape))


def extreme(*shape):
    x = exact(3 * randn(*shape))
    return torch.where(torch.rand(shape) < 0.2, exact(torch.sign(torch.randn(shape)) * 1e4), x)


for shape in ((4, 5), (2, 3, 4, 5), (1, 1), (3, 130)):
    case("softmax", {}, lambda input: F.softmax(input, 1), input=logits(*shape))
    case("log_softmax", {}, lambda input: F.log_softmax(input, 1), input=logits(*shape))
case("softmax", {}, lambda input: F.softmax(input, 1), input=extreme(4, 6))
case("log_softmax", {}, lambda input: F.log_softmax(input, 1), input=extreme(4, 6))
for shape in ((6, 5), (2, 4, 3, 3)):
    for reduction in ("mean", "sum", "none"):
        for weighted in (False, True):
            for smoothing in (0.0, 0.125):
                target = labels(shape[1], shape[0], *shape[2:])
                target.reshape(-1)[1] = -100
                case("cross_entropy", dict(reduction=reduction, label_smoothing=smoothing, ignore_index=-100),
                     lambda input, target, weight=None: F.cross_entropy(
                         input, target, None if weight is None else weight.detach(), reduction=reduction, label_smoothing=smoothing),
                     input=logits(*shape), target=target, weight=uniform(0.2, 2, shape[1]) if weighted else None)
    for reduction in ("mean", "sum", "none"):
        soft = exact(torch.softmax(torch.randn(*shape), 1))
        case("cross_entropy", dict(reduction=reduction, label_smoothing=0.0),
             lambda input, target: F.cross_entropy(input, target.detach(), reduction=reduction), input=logits(*shape), target=soft)
        target = labels(shape[1], shape[0], *shape[2:])
        case("nll_loss", dict(reduction=reduction), lambda input, target, weight=None: F.nll_loss(
            input, target, None if weight is None else weight.detach(), reduction=reduction),
             input=exact(F.log_softmax(logits(*shape), 1)), target=target, weight=uniform(0.2, 2, shape[1]))
case("cross_entropy", {}, lambda input, target: F.cross_entropy(input, target), input=extreme(6, 5), target=labels(5, 6))
for reduction in ("mean", "sum", "none"):
    for shape in ((3, 4), (2, 3, 4, 5)):
        for op, function, extra in (("mse_loss", F.mse_loss, {}), ("l1_loss", F.l1_loss, {}), ("smooth_l1_loss", F.smooth_l1_loss, dict(beta=0.75)),
                                    ("huber_loss", F.huber_loss, dict(delta=0.75))):
            case(op, dict(reduction=reduction, **extra), lambda input, target: function(input, target, reduction=reduction, **extra),
                 input=randn(*shape), target=randn(*shape))
    case("binary_cross_entropy_with_logits", dict(reduction=reduction),
         lambda input, target: F.binary_cross_entropy_with_logits(input, target.detach(), reduction=reduction),
         input=extreme(4, 6), target=uniform(0, 1, 4, 6))
    case("binary_cross_entropy_with_logits", dict(reduction=reduction),
         lambda input, target, pos_weight: F.binary_cross_entropy_with_logits(
             input, target.detach(), pos_weight=pos_weight.detach(), reduction=reduction),
         input=logits(4, 6), target=uniform(0, 1, 4, 6), pos_weight=uniform(0.5, 3, 6))

for max_norm in (0.5, 100.0):
    tensors = [randn(2, 3), randn(5), randn(1, 4, 2)]

    def clipped(grads):
        total = torch.sqrt(sum((g * g).sum() for g in grads))
        factor = min(max_norm / (float(total) + 1e-6), 1.0)
        return (total.reshape(1), *(g * factor for g in grads))

    case("clip_grad_norm", dict(max_norm=max_norm), clipped, False, ("total_norm", "grads.0", "grads.1", "grads.2"), grads=tensors)

case("ema", dict(decay=0.875), lambda average, weight, step: 0.875 * average + 0.125 * weight, False,
     ("average",), average=randn(3, 7), weight=randn(3, 7), step=torch.tensor([2.0]))

here = os.path.dirname(os.path.abspath(__file__))
metadata = {"cases": json.dumps(CASES), "torch": torch.__version__}
save_file(TENSORS, os.path.join(here, "ops.safetensors"), metadata)
ops = sorted({c["op"] for c in CASES})
size = os.path.getsize(os.path.join(here, "ops.safetensors"))
print(f"{len(CASES)} cases of {len(ops)} operations, {size // 1024} KiB, PyTorch {torch.__version__}")
