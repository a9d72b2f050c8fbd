"""Makes tests/pytorch/networks.json: three steps of SGD in float64 PyTorch on AlexNet (2012), ResNet-18
and MobileNet, at small image sizes.

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tests/pytorch/networks.py

Weights, images and labels are not stored: both sides compute them from names (`drawn`). Of each
gradient the file has the norm and 32 elements, of each step the loss and the logits.
"""

import json
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def drawn(name, count):
    """Numbers uniform in -1..1 from SplitMix64, which float32 holds exactly."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def start(name, shape):
    u = drawn(name, int(np.prod(shape)))
    if len(shape) == 1:
        # Of a norm, or a bias. Norms shift their channels away from the kink of the ReLU that
        # follows: a unit on the other side of it, for rounding alone, changes gradients by percents.
        is_norm = any(part.startswith(("bn", "downsample")) for part in name.split("."))
        values = 0.1 * u + (1.0 if name.endswith("weight") else 2.5 if is_norm else 0.0)
    else:
        values = u * np.sqrt(6.0 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32).astype(np.float64).reshape(shape))


class AlexNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 4096), nn.Linear(4096, 4096), nn.Linear(4096, classes)

    def forward(self, x):
        # PyTorch divides alpha by the window's size; the paper does not.
        norm = lambda x: F.local_response_norm(x, 5, 5e-4, 0.75, 2.0)
        pool = lambda x: F.max_pool2d(x, 3, 2)
        x = pool(norm(F.relu(self.conv1(x))))
        x = pool(norm(F.relu(self.conv2(x))))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = pool(F.relu(self.conv5(x))).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Basic(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        if stride > 1 or inputs != channels:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        stage = lambda i, o, s: nn.Sequential(Basic(i, o, s), Basic(o, o, 1))
        self.layer1, self.layer2 = stage(64, 64, 1), stage(64, 128, 2)
        self.layer3, self.layer4 = stage(128, 256, 2), stage(256, 512, 2)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class Pair(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.depthwise, self.bn1 = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs)
        self.pointwise, self.bn2 = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn2(self.pointwise(F.relu(self.bn1(self.depthwise(x))))))


class MobileNet(nn.Module):
    PAIRS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1),
             (512, 1), (1024, 2), (1024, 1)]

    def __init__(self, classes):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        inputs = 32
        for i, (outputs, stride) in enumerate(self.PAIRS):
            setattr(self, f"pair{i + 1}", Pair(inputs, outputs, stride))
            inputs = outputs
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        for i in range(len(self.PAIRS)):
            x = getattr(self, f"pair{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


def places(name, count):
    """Which elements are compared: the same on both sides."""
    return ((drawn(name, 32) + 1) / 2 * count).astype(np.int64).clip(0, count - 1)


def steps(name, make, size, batch, rate, classes=7):
    model = make(classes).train()
    for path, parameter in model.named_parameters():
        parameter.data = start(path, tuple(parameter.shape))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.875, weight_decay=2**-10)
    record = {"name": name, "size": size, "batch": batch, "classes": classes, "rate": rate, "steps": []}
    for step in range(3):
        images = torch.from_numpy(drawn(f"images {step}", batch * 3 * size * size).reshape(batch, 3, size, size))
        labels = torch.arange(batch) * 5 % classes
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        gradients = {
            path: {"norm": float(p.grad.norm()), "elements": p.grad.flatten()[torch.from_numpy(places(path, p.numel()))].tolist()}
            for path, p in model.named_parameters()
        }
        record["steps"].append({"loss": float(loss.detach()), "logits": logits.detach().flatten().tolist(), "gradients": gradients})
        optimizer.step()
    record["running"] = {
        path: float(buffer.norm()) for path, buffer in model.named_buffers() if buffer.dtype == torch.float64
    }
    return record


records = [
    steps("alexnet", AlexNet, 67, 4, 2**-9),
    steps("resnet-18", ResNet18, 64, 4, 2**-10),
    steps("mobilenet-v1", MobileNet, 64, 4, 2**-10),
]


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9e}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks.json")
with open(path, "w") as file:
    json.dump({"torch": torch.__version__, "networks": rounded(records)}, file)
    file.write("\n")
for record in records:
    print(record["name"], [round(s["loss"], 4) for s in record["steps"]])
print(os.path.getsize(path) // 1024, "KiB")
