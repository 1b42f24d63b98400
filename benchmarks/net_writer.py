"""Nets as text prototxt, written layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcaffe.recipes.layers import layer, net


@dataclass
class Writer:
    """A net in the making; each method adds layers behind a blob and returns the blob that they make."""

    layers: list[str] = field(default_factory=list)

    def add(self, type_name: str, name: str, *bottoms: str, body: str = "", in_place: bool = False) -> str:
        """Add a layer with one top, which bears its name."""
        top = bottoms[0] if in_place else name
        self.layers.append(layer(type_name, name, bottoms, [top], body))
        return top

    def input(self, *shape: int) -> str:
        """The net's image."""
        dims = " ".join(f"dim: {extent}" for extent in shape)
        return self.add("Input", "data", body=f"input_param {{ shape {{ {dims} }} }}")

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, *, relu: bool = True, **options: int) -> str:
        """A convolution, with a rectifier behind it."""
        told = " ".join(f"{key}: {value}" for key, value in options.items())
        body = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {told} }}"
        top = self.add("Convolution", name, bottom, body=body)
        return self.relu(top) if relu else top

    def normed(self, name: str, bottom: str, outputs: int, kernel: int, *, relu: bool = True, **options: int) -> str:
        """A convolution without a bias, BatchNorm and Scale, with a rectifier behind them."""
        told = " ".join(f"{key}: {value}" for key, value in options.items())
        body = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} bias_term: false {told} }}"
        top = self.add("Convolution", name, bottom, body=body)
        self.add("BatchNorm", f"{name}/bn", top, in_place=True)
        self.add("Scale", f"{name}/scale", top, body="scale_param { bias_term: true }", in_place=True)
        return self.relu(top) if relu else top

    def separable(self, name: str, bottom: str, channels: int, outputs: int, stride: int) -> str:
        """A 3x3 convolution of each channel for itself, then one of all channels pixel by pixel."""
        x = self.normed(f"{name}/dw", bottom, channels, 3, pad=1, stride=stride, group=channels)
        return self.normed(f"{name}/sep", x, outputs, 1)

    def relu(self, bottom: str) -> str:
        """A rectifier, in place."""
        return self.add("ReLU", f"{bottom}/relu", bottom, in_place=True)

    def prelu(self, bottom: str) -> str:
        """A rectifier with slopes that are learnt, in place."""
        return self.add("PReLU", f"{bottom}/prelu", bottom, in_place=True)

    def pool(self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0, kind: str = "MAX") -> str:
        """Pooling by windows."""
        body = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        return self.add("Pooling", name, bottom, body=body)

    def average(self, name: str, bottom: str) -> str:
        """The mean of each map."""
        return self.add("Pooling", name, bottom, body="pooling_param { pool: AVE global_pooling: true }")

    def full(self, name: str, bottom: str, outputs: int, *, relu: bool = False, dropout: bool = False) -> str:
        """An inner product, with a rectifier and dropout behind it."""
        top = self.add("InnerProduct", name, bottom, body=f"inner_product_param {{ num_output: {outputs} }}")
        if relu:
            self.relu(top)
        if dropout:
            self.add("Dropout", f"{name}/drop", top, in_place=True)
        return top

    def norm(self, name: str, bottom: str, size: int = 5, alpha: float = 1e-4) -> str:
        """Local response normalisation, as AlexNet has it."""
        return self.add("LRN", name, bottom, body=f"lrn_param {{ local_size: {size} alpha: {alpha} beta: 0.75 }}")

    def text(self, name: str, scores: str) -> str:
        """The net, ended with probabilities."""
        self.add("Softmax", "prob", scores)
        return net(name, self.layers)
