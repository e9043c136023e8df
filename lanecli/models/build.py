"""From a ModelSpec to a network that takes pictures as Geometry leaves them and gives logits."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.errors import InputError
from lanecli.modelfile import ModelSpec, read_spec, read_weights
from lanecli.models.registry import MODELS


class Network(nn.Module):
    """Normalisation, an architecture, and the padding that lets it take any size.

    One module for training, prediction and export, so that what is deployed is what was trained.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, architecture: nn.Module, spec: ModelSpec) -> None:
        """Args: architecture: from the registry, with ``stride`` and ``minimum``; spec: what it was built from."""
        super().__init__()
        self.architecture = architecture
        self.stride = int(architecture.stride)  # type: ignore[arg-type]
        self.minimum = int(architecture.minimum)  # type: ignore[arg-type]
        self.temperature = spec.temperature
        mean = torch.tensor(spec.normalisation.mean).view(1, 3, 1, 1)
        std = torch.tensor(spec.normalisation.std).view(1, 3, 1, 1)
        # levels / 255 - mean, over std, as one multiplication and one addition
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) RGB levels 0..255, uint8 or float, to (N, C, H, W) float logits at the same size."""
        levels = pictures.permute(0, 3, 1, 2).to(self.scale.dtype)  # stays channels_last in memory
        height, width = pictures.shape[1], pictures.shape[2]
        features = levels * self.scale + self.shift
        below, right = -height % self.stride, -width % self.stride
        if self.minimum:
            below, right = max(below, self.minimum - height), max(right, self.minimum - width)
        if below or right:
            # edge pixels, not zeros, so that the border sees no false step
            features = F.pad(features, (0, right, 0, below), mode="replicate")
        logits = self.architecture(features)[..., :height, :width]
        return logits if self.temperature == 1.0 else logits / self.temperature


def build_network(spec: ModelSpec, encoder_weights: str | None = None) -> Network:
    """A network with fresh weights, built as `spec` says.

    Args:
        spec: architecture, arguments, label map, normalisation.
        encoder_weights: None, a local file, or a name to fetch.
    """
    arguments = dict(spec.arguments)
    architecture = MODELS.get(spec.architecture)(
        classes=len(spec.label_map.classes),
        encoder=arguments.pop("encoder", None),
        encoder_weights=encoder_weights,
        **arguments,
    )
    return Network(architecture, spec).to(memory_format=torch.channels_last)


def network_from_file(path: Path) -> tuple[Network, ModelSpec]:
    """The network inside a model file (.safetensors, or .onnx exported by lanecli), in eval mode.

    Raises InputError when weights and specification do not fit each other.
    """
    spec = read_spec(path)
    network = build_network(spec)
    load_weights(network, path)
    return network.eval(), spec


def load_weights(network: Network, path: Path, classes: tuple[int, int] | None = None) -> None:
    """Load the weights of a model file into `network`.

    Args:
        network: to load into.
        path: the model file.
        classes: class counts of the file's model and of `network` where they differ on purpose: tensors of one entry
            a class, which is the head, then keep their fresh values.

    Raises:
        InputError: a weight is missing or does not fit; the first one is named.
    """
    state = read_weights(path)
    wanted: dict[str, torch.Tensor] = network.state_dict()
    if path.suffix.lower() == ".onnx":  # a graph leaves out what it does not use: step counters, idle encoder stages
        wanted = {name: tensor for name, tensor in wanted.items() if name in state}
    if classes is not None and classes[0] != classes[1]:
        wanted = {n: t for n, t in wanted.items() if not _is_head(state.get(n), t, classes)}
    for name, tensor in wanted.items():
        if name not in state or state[name].shape != tensor.shape:
            found = "none" if name not in state else str(tuple(state[name].shape))
            raise InputError(f"{path}: weight '{name}' should be {tuple(tensor.shape)}, the file has {found}")
    if not wanted:
        raise InputError(f"{path}: holds no weight of a {type(network.architecture).__name__}: not exported by lanecli")
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)


def _is_head(theirs: torch.Tensor | None, ours: torch.Tensor, classes: tuple[int, int]) -> bool:
    return (
        theirs is not None
        and theirs.ndim == ours.ndim > 0
        and (len(theirs), len(ours)) == classes
        and theirs.shape[1:] == ours.shape[1:]
    )
