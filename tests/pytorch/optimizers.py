"""Writes tests/pytorch/optimizers.json: what PyTorch's optimizers and schedulers do in float64.

Run with PyTorch from PyPI (the version that made the file is in it):

    python tests/pytorch/optimizers.py

Each trajectory minimises the same noisy quadratic from the same weights: the gradient of step t is
`slope * (weight - target) + noise[t]`, and the learning rate falls from step to step. Lion and LARS
are not in torch.optim; they are written out below from their papers.
"""

import json
import pathlib

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

STEPS = 20
KEPT = [0, 1, 4, 9, 19]
SHAPES = {"a": [2, 3], "b": [4]}
EPOCHS = 25

generator = torch.Generator().manual_seed(3)


def draw(*shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


problem = {
    name: {
        "shape": shape,
        "weight": draw(*shape),
        "target": draw(*shape),
        "slope": 0.2 + draw(*shape).abs(),
        "noise": 0.3 * draw(STEPS, *shape),
    }
    for name, shape in SHAPES.items()
}


class Lion:
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, groups, lr, betas=(0.9, 0.99), weight_decay=0.0):
        self.param_groups = [{"lr": lr, **g} for g in groups]
        self.betas, self.weight_decay, self.m = betas, weight_decay, {}

    @torch.no_grad()
    def step(self):
        beta1, beta2 = self.betas
        for group in self.param_groups:
            for w in group["params"]:
                m = self.m.setdefault(w, torch.zeros_like(w))
                c = beta1 * m + (1 - beta1) * w.grad
                w -= group["lr"] * (c.sign() + self.weight_decay * w)
                self.m[w] = beta2 * m + (1 - beta2) * w.grad


class Lars:
    """You et al. 2017, algorithm 1."""

    def __init__(self, groups, lr, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3):
        self.param_groups = [{"lr": lr, **g} for g in groups]
        self.momentum, self.weight_decay, self.eta = momentum, weight_decay, trust_coefficient
        self.v = {}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                v = self.v.setdefault(w, torch.zeros_like(w))
                local = self.eta * w.norm() / (w.grad.norm() + self.weight_decay * w.norm())
                v = self.momentum * v + group["lr"] * local * (w.grad + self.weight_decay * w)
                self.v[w] = v
                w -= v


CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "lion": Lion,
    "lars": Lars,
}


def trajectory(rule, rate, attributes, clip_norm=None, clip_value=None, ema=None, group=None):
    model = torch.nn.Module()
    for name, part in problem.items():
        model.register_parameter(name, torch.nn.Parameter(part["weight"].clone()))
    parameters = dict(model.named_parameters())
    if group is None:
        groups = [{"params": list(parameters.values())}]
        scales = [1.0]
    else:
        scales = [1.0, group["learning-rate-scale"]]
        groups = [
            {"params": [parameters["a"]]},
            {"params": [parameters["b"]], "weight_decay": group["weight-decay"]},
        ]
    optimizer = CLASSES[rule](groups, lr=rate, **attributes)
    averages = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    kept = {name: [] for name in parameters}
    averaged = {name: [] for name in parameters}
    for t in range(STEPS):
        for scale, g in zip(scales, optimizer.param_groups):
            g["lr"] = rate * (1 - t / (2 * STEPS)) * scale
        for name, w in parameters.items():
            part = problem[name]
            w.grad = part["slope"] * (w.detach() - part["target"]) + part["noise"][t]
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters.values(), clip_value)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip_norm)
        optimizer.step()
        if averages is not None:
            averages.update_parameters(model)
        if t in KEPT:
            for name, w in parameters.items():
                kept[name].append(w.detach().flatten().tolist())
                if averages is not None:
                    average = dict(averages.module.named_parameters())[name]
                    averaged[name].append(average.detach().flatten().tolist())
    case = {"rule": rule, "learning_rate": rate, "attributes": attributes, "weights": kept}
    extras = {"clip_norm": clip_norm, "clip_value": clip_value, "ema": ema, "group": group}
    case.update({k: v for k, v in extras.items() if v is not None})
    if averages is not None:
        case["averages"] = averaged
    return case


trajectories = [
    trajectory("sgd", 0.1, {}),
    trajectory("sgd", 0.1, {"momentum": 0.9, "weight_decay": 0.01}),
    trajectory("sgd", 0.1, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    trajectory("sgd", 0.1, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    trajectory("adam", 0.05, {}),
    trajectory("adam", 0.05, {"betas": [0.8, 0.99], "eps": 1e-3, "weight_decay": 0.1}),
    trajectory("adam", 0.05, {"amsgrad": True, "weight_decay": 0.1}),
    trajectory("adamw", 0.05, {}),
    trajectory("adamw", 0.05, {"amsgrad": True, "weight_decay": 0.3, "betas": [0.7, 0.9]}),
    trajectory("rmsprop", 0.02, {}),
    trajectory("rmsprop", 0.02, {"alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    trajectory("rmsprop", 0.02, {"centered": True, "eps": 1e-3}),
    trajectory("rmsprop", 0.02, {"centered": True, "momentum": 0.8, "weight_decay": 0.1}),
    trajectory("adagrad", 0.2, {}),
    trajectory("adagrad", 0.2, {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    trajectory("adadelta", 1.0, {}),
    trajectory("adadelta", 2.0, {"rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    trajectory("lion", 0.03, {}),
    trajectory("lion", 0.03, {"betas": [0.8, 0.95], "weight_decay": 0.2}),
    trajectory("lars", 1.0, {"trust_coefficient": 0.02}),
    trajectory("lars", 1.0, {"trust_coefficient": 0.05, "weight_decay": 0.1, "momentum": 0.5}),
    trajectory("sgd", 0.1, {"momentum": 0.9}, clip_norm=1.0),
    trajectory("adam", 0.05, {}, clip_norm=0.7),
    trajectory("sgd", 0.1, {"momentum": 0.9}, clip_value=0.4),
    trajectory("sgd", 0.1, {"momentum": 0.9}, clip_value=0.8, clip_norm=1.5),
    trajectory("sgd", 0.1, {"momentum": 0.9}, ema=0.9),
    trajectory("adamw", 0.05, {}, clip_norm=1.0, ema=0.8),
    trajectory(
        "sgd",
        0.1,
        {"momentum": 0.9, "weight_decay": 0.01},
        group={"parameters": "b*", "learning-rate-scale": 0.5, "weight-decay": 0.2},
    ),
    trajectory(
        "adamw",
        0.05,
        {},
        group={"parameters": "b", "learning-rate-scale": 3.0, "weight-decay": 0.0},
    ),
]


def factors(schedule, make, metrics=None):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    values = []
    for epoch in range(EPOCHS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if metrics is not None:
            scheduler.step(metrics[epoch])
        elif epoch + 1 < EPOCHS:
            scheduler.step()
    case = {"schedule": schedule, "factors": values}
    if metrics is not None:
        case["metrics"] = metrics
    return case


lr = torch.optim.lr_scheduler
falling = [1.0 / (1 + e) if e < 8 else 0.12 + 0.001 * (e % 3) for e in range(EPOCHS)]
rising = [min(0.9, 0.1 * e) - 0.01 * (e % 2) for e in range(EPOCHS)]


def warm_cosine(optimizer):
    rise = lr.LambdaLR(optimizer, lambda epoch: epoch / 5)
    fall = lr.CosineAnnealingLR(optimizer, EPOCHS - 5)
    return lr.SequentialLR(optimizer, [rise, fall], [5])


def restarts(period, multiplier, minimum):
    return {"warm-restarts": {"period": period, "multiplier": multiplier, "minimum": minimum}}


schedules = [
    factors({"step": {"epochs": 4, "gamma": 0.5}}, lambda o: lr.StepLR(o, 4, 0.5)),
    factors(
        {"multi-step": {"milestones": [3, 7, 7, 15], "gamma": 0.3}},
        lambda o: lr.MultiStepLR(o, [3, 7, 7, 15], 0.3),
    ),
    factors({"exponential": {"gamma": 0.9}}, lambda o: lr.ExponentialLR(o, 0.9)),
    factors(
        {"polynomial": {"power": 1.5, "epochs": 15}}, lambda o: lr.PolynomialLR(o, 15, power=1.5)
    ),
    factors({"polynomial": {"power": 2.0}}, lambda o: lr.PolynomialLR(o, EPOCHS, power=2.0)),
    factors({"cosine": {"warmup": 0}}, lambda o: lr.CosineAnnealingLR(o, EPOCHS)),
    factors({"cosine": {"warmup": 5}}, warm_cosine),
    factors(restarts(5, 1, 0), lambda o: lr.CosineAnnealingWarmRestarts(o, 5)),
    factors(restarts(3, 2, 0.1), lambda o: lr.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.1)),
    factors({"one-cycle": {}}, lambda o: lr.OneCycleLR(o, 1.0, total_steps=EPOCHS)),
    factors(
        {"one-cycle": {"rise": 0.4, "divisor": 10, "final-divisor": 100, "anneal": "linear"}},
        lambda o: lr.OneCycleLR(
            o,
            1.0,
            total_steps=EPOCHS,
            pct_start=0.4,
            div_factor=10,
            final_div_factor=100,
            anneal_strategy="linear",
        ),
    ),
    factors(
        {"one-cycle": {"rise": 0.2, "three-phase": True}},
        lambda o: lr.OneCycleLR(o, 1.0, total_steps=EPOCHS, pct_start=0.2, three_phase=True),
    ),
    factors(
        {"plateau": {"patience": 2, "factor": 0.5}},
        lambda o: lr.ReduceLROnPlateau(o, patience=2, factor=0.5),
        falling,
    ),
    factors(
        {
            "plateau": {
                "metric": "top1",
                "patience": 1,
                "factor": 0.3,
                "threshold": 0.015,
                "absolute": True,
                "cooldown": 2,
                "minimum": 0.05,
            }
        },
        lambda o: lr.ReduceLROnPlateau(
            o,
            mode="max",
            patience=1,
            factor=0.3,
            threshold=0.015,
            threshold_mode="abs",
            cooldown=2,
            min_lr=0.05,
        ),
        rising,
    ),
]

for part in problem.values():
    for key in ["weight", "target", "slope"]:
        part[key] = part[key].flatten().tolist()
    part["noise"] = part["noise"].reshape(STEPS, -1).tolist()

fixture = {
    "torch": torch.__version__,
    "kept": KEPT,
    "problem": problem,
    "trajectories": trajectories,
    "schedules": schedules,
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(fixture, separators=(",", ":")).replace('{"rule"', '\n{"rule"').replace('{"schedule"', '\n{"schedule"') + "\n")
print(path, path.stat().st_size, "bytes")
