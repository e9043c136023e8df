"""From a ModelSpec to a network that takes pictures as Geometry leaves them and gives logits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from lanecli.errors import InputError, reading
from lanecli.modelfile import ModelSpec, read_spec, read_weights
from lanecli.models.architecture import Architecture, enlarged
from lanecli.models.dropout import check_rate
from lanecli.models.norms import tolerate_single_values
from lanecli.models.outputs import BASIC_OUTPUTS, OUTPUTS, Output
from lanecli.models.registry import MODELS, default_encoder
from lanecli.models.spectral import normalise_spectrum

_AUXILIARY = "architecture.auxiliary."
_SPARE = 1 << 26  # values: a quarter of a gigabyte


class Network(nn.Module):
    """Normalisation, an architecture, and the padding that lets it take any size.

    One module for training, prediction and export, so that what is deployed is what was trained.

    Attributes:
        auxiliary_weight: factor of the loss of each auxiliary head's logits; 0 where there are none.
        feature_channels: D of the output ``features``.
        feature_stride: pixels a side of a feature's cell.
        extra: further outputs by name, modules of the registry ``OUTPUTS``; their buffers are saved with the weights.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, architecture: Architecture, spec: ModelSpec) -> None:
        """Args: architecture: from the registry; spec: what it was built from."""
        super().__init__()
        self.architecture = architecture
        self.name = spec.architecture
        self.stride, self.minimum = architecture.stride, architecture.minimum
        self.auxiliary_weight = architecture.auxiliary_weight
        self.feature_channels, self.feature_stride = architecture.feature_channels, architecture.feature_stride
        self.temperature = spec.temperature
        mean = torch.tensor(spec.normalisation.mean).view(1, 3, 1, 1)
        std = torch.tensor(spec.normalisation.std).view(1, 3, 1, 1)
        # levels / 255 - mean, over std, as one multiplication and one addition
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.extra = nn.ModuleDict(
            {name: OUTPUTS.get(name)(spec, self, arguments) for name, arguments in spec.outputs.items()}
        )

    def forward(self, pictures: torch.Tensor, outputs: Collection[str] = ("logits",)) -> dict[str, Any]:
        """The outputs asked for by name, from one pass through the encoder.

        Args:
            pictures: (N, H, W, 3) RGB levels 0..255, uint8 or float.
            outputs: ``"logits"``, ``"features"``, ``"auxiliary"``, or a name of `extra`.

        Returns:
            A mapping with exactly the names asked for. ``logits``: (N, C, H, W) float, divided by the temperature.
            ``features``: (N, feature_channels, ceil(H / s), ceil(W / s)) float with ``feature_stride`` s: cell (i, j)
            belongs to the pixels from (i s, j s) to (i s + s, j s + s), of which the last may lie outside.
            ``auxiliary``: a list of (N, C, H, W). An extra output: (N, H, W) float.

        Raises:
            InputError: an output this model does not have.
        """
        for name in outputs:
            if name not in BASIC_OUTPUTS and name not in self.extra:
                raise InputError(
                    f"model '{self.name}' has no output '{name}'; it has: {', '.join((*BASIC_OUTPUTS, *self.extra))}"
                )
        asked = set(outputs)
        for name in outputs:
            if name in self.extra:
                asked.update(cast(Output, self.extra[name]).needs)
        prepared = self._prepared(pictures)
        found = self.architecture(prepared, asked & set(BASIC_OUTPUTS))
        if self.temperature != 1.0 and "logits" in found:
            found["logits"] = found["logits"] / self.temperature
        for name in outputs:
            if name in self.extra:
                found[name] = enlarged(self.extra[name](found)[:, None], prepared.shape[-2:])[:, 0]
        return {name: self._cropped(name, found[name], pictures) for name in outputs}

    def logits(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) RGB levels to (N, C, H, W) logits; :meth:`forward` asked for nothing else.

        Example:
            >>> build_network(spec).logits(torch.zeros(1, 64, 96, 3, dtype=torch.uint8)).shape  # doctest: +SKIP
            torch.Size([1, 2, 64, 96])
        """
        return self(pictures)["logits"]

    def _cropped(self, name: str, found: Any, pictures: torch.Tensor) -> Any:
        """An output without what lies over the padding."""
        if isinstance(found, list):
            return [self._cropped(name, each, pictures) for each in found]
        height, width = pictures.shape[1], pictures.shape[2]
        if name == "features":
            height, width = (-(-side // self.feature_stride) for side in (height, width))
        return found[..., :height, :width]

    def checkpoint_gradients(self) -> None:
        """Train with less memory and more time: keep no activations of the encoder's blocks, compute them twice.

        Raises:
            InputError: the encoder has no blocks that this could work on.
        """
        if not self.architecture.checkpoint_gradients():
            raise InputError(f"model '{self.name}' has no blocks in this encoder to checkpoint gradients of")

    def _prepared(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) levels to normalised (N, 3, H', W'), padded to what the architecture takes."""
        levels = pictures.permute(0, 3, 1, 2).to(self.scale.dtype)  # stays channels_last in memory
        height, width = pictures.shape[1], pictures.shape[2]
        prepared = levels * self.scale + self.shift
        below, right = self._padded(height) - height, self._padded(width) - width
        if below or right:
            # edge pixels, not zeros, so that the border sees no false step
            prepared = F.pad(prepared, (0, right, 0, below), mode="replicate")
        return prepared

    def _padded(self, side: int) -> int:
        """The least side from `side` up that the architecture takes."""
        # whole strides in this form, not by a remainder: export simplifies every size that follows from it
        strides = (side + self.stride - 1) // self.stride
        if self.minimum:
            strides = torch.sym_max(strides, -(-self.minimum // self.stride))  # type: ignore[assignment]
        return strides * self.stride


def build_network(spec: ModelSpec, encoder_weights: str | None = None) -> Network:
    """A network with fresh weights, built as `spec` says.

    Args:
        spec: architecture, arguments, label map, normalisation. Of the arguments ``encoder``, ``dropout`` and
            ``spectral_norm`` mean the same for every architecture.
        encoder_weights: None, a local file, or a name to fetch.

    Raises:
        InputError: an argument is unknown or unfit, or the weights cannot be had.
    """
    arguments = dict(spec.arguments)
    encoder = arguments.pop("encoder", None) or default_encoder(spec.architecture)
    spectral_norm = arguments.pop("spectral_norm", False)
    if arguments.get("dropout", 0.0) is None:
        del arguments["dropout"]
    check_rate(arguments.get("dropout", 0.0))
    architecture = MODELS.get(spec.architecture)(
        classes=len(spec.label_map.classes), encoder=encoder, encoder_weights=encoder_weights, **arguments
    )
    tolerate_single_values(architecture)
    if spectral_norm:
        for part in architecture.encoders():
            normalise_spectrum(part)
    return Network(architecture, spec).to(memory_format=torch.channels_last)


def network_from_file(path: Path) -> tuple[Network, ModelSpec]:
    """The network inside a model file (.safetensors, or .onnx exported by lanecli), in eval mode.

    Raises InputError when weights and specification do not fit each other.
    """
    spec = read_spec(path)
    state = read_weights(path)
    with _no_larger_than(state, path):
        network = build_network(spec)
    load_weights(network, path, state=state)
    return network.eval(), spec


@contextlib.contextmanager
def _no_larger_than(state: Mapping[str, torch.Tensor], path: Path) -> Iterator[None]:
    """Refuse to build far more than a file's weights can fill, before memory is touched for it.

    A header may ask for any width and depth. Spare room is for what a file leaves out: auxiliary heads, idle stages,
    and encoders that are built whole before they are narrowed.
    """
    values, tensors = 4 * sum(t.numel() for t in state.values()) + _SPARE, 4 * len(state) + 2000
    builder = threading.get_ident()

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal values, tensors
        if parameter is not None and threading.get_ident() == builder:
            values, tensors = values - parameter.numel(), tensors - 1
            if min(values, tensors) < 0:
                raise InputError(f"{path}: its header asks for a model far larger than its weights")

    handle = register_module_parameter_registration_hook(count)
    try:
        with reading(path, "as a model"):
            yield
    finally:
        handle.remove()


def load_weights(
    network: Network,
    path: Path,
    classes: tuple[int, int] | None = None,
    *,
    state: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Load the weights of a model file into `network`. Auxiliary heads the file has not keep their fresh values.

    Args:
        network: to load into.
        path: the model file.
        classes: class counts of the file's model and of `network` where they differ on purpose: tensors of one entry
            a class, which is the head, then keep their fresh values.
        state: the file's weights, where they are read already.

    Raises:
        InputError: a weight is missing or does not fit; the first one is named.
    """
    state = read_weights(path) if state is None else state
    wanted: dict[str, torch.Tensor] = network.state_dict()
    if path.suffix.lower() == ".onnx":  # a graph leaves out what it does not use: step counters, idle encoder stages
        wanted = {name: tensor for name, tensor in wanted.items() if name in state}
    wanted = {name: tensor for name, tensor in wanted.items() if name in state or not name.startswith(_AUXILIARY)}
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
