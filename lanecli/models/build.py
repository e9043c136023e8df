"""Building the network that a ModelSpec describes: from pictures as Geometry resizes them to logits.

Example:
    >>> from lanecli.geometry import Geometry
    >>> from lanecli.labelmaps import label_map
    >>> spec = ModelSpec("erfnet", {"width": 0.25}, label_map("lane"), Geometry((96, 64)))
    >>> build_network(spec).eval().logits(torch.zeros(1, 64, 96, 3, dtype=torch.uint8)).shape
    torch.Size([1, 2, 64, 96])
"""

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
from lanecli.models.spectral import as_originals, check_bound, estimate_norms, is_estimate, normalise_spectrum

_AUXILIARY = "architecture.auxiliary."
_SPARE = 1 << 26  # values: a quarter of a gigabyte


class Network(nn.Module):
    """Normalisation, an architecture, and the padding that lets it process pictures of any size.

    Training, prediction and export share this module, so that the deployed network equals the trained one.

    Attributes:
        auxiliary_weight: the factor of the loss of each auxiliary head; 0 where there are none.
        feature_channels: number of channels of the output ``features``.
        feature_stride: side of a cell of the feature map, in pixels.
        extra: further outputs by name: modules of the registry ``OUTPUTS``. Their buffers are saved with the weights.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, architecture: Architecture, spec: ModelSpec) -> None:
        """Wrap an architecture.

        Args:
            architecture: an architecture of the registry.
            spec: the specification it was built from.
        """
        super().__init__()
        self.architecture = architecture
        self.name = spec.architecture
        self.stride, self.minimum = architecture.stride, architecture.minimum
        self.auxiliary_weight = architecture.auxiliary_weight
        self.feature_channels, self.feature_stride = architecture.feature_channels, architecture.feature_stride
        self.temperature = spec.temperature
        mean = torch.tensor(spec.normalisation.mean).view(1, 3, 1, 1)
        std = torch.tensor(spec.normalisation.std).view(1, 3, 1, 1)
        # (levels / 255 - mean) / std as one multiplication and one addition
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.extra = nn.ModuleDict(
            {name: OUTPUTS.get(name)(spec, self, arguments) for name, arguments in spec.outputs.items()}
        )

    def forward(self, pictures: torch.Tensor, outputs: Collection[str] = ("logits",)) -> dict[str, Any]:
        """Compute the requested outputs in one pass through the encoder.

        Args:
            pictures: (N, H, W, 3) RGB levels 0..255, uint8 or float.
            outputs: any of ``"logits"``, ``"features"``, ``"auxiliary"`` and the names of `extra`.

        Returns:
            A mapping with exactly the requested names. ``logits``: (N, C, H, W) float, divided by the temperature.
            ``features``: (N, feature_channels, ceil(H / s), ceil(W / s)) float, where s is ``feature_stride``: cell
            (i, j) covers the pixels from (i s, j s) to (i s + s, j s + s), the last of which may lie outside the
            picture. ``auxiliary``: a list of (N, C, H, W) logits. A further output: (N, H, W) float.

        Raises:
            InputError: this model does not have one of the outputs.
        """
        for name in outputs:
            if name not in BASIC_OUTPUTS and name not in self.extra:
                raise InputError(
                    f"model '{self.name}' has no output '{name}'; it has: {', '.join((*BASIC_OUTPUTS, *self.extra))}"
                )
        needed = set(outputs)
        for name in outputs:
            if name in self.extra:
                needed.update(cast(Output, self.extra[name]).needs)
        prepared = self._prepared(pictures)
        computed = self.architecture(prepared, needed & set(BASIC_OUTPUTS))
        if self.temperature != 1.0 and "logits" in computed:
            computed["logits"] = computed["logits"] / self.temperature
        for name in outputs:
            if name in self.extra:
                computed[name] = enlarged(self.extra[name](computed), prepared.shape[-2:])
        return {name: self._cropped(name, computed[name], pictures) for name in outputs}

    def logits(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map (N, H, W, 3) RGB levels to (N, C, H, W) logits; see :meth:`forward`."""
        return self(pictures)["logits"]

    def _cropped(self, name: str, output: Any, pictures: torch.Tensor) -> Any:
        """Return an output without the part over the padding."""
        if isinstance(output, list):
            return [self._cropped(name, each, pictures) for each in output]
        height, width = pictures.shape[1], pictures.shape[2]
        if name == "features":
            height, width = (-(-side // self.feature_stride) for side in (height, width))
        return output[..., :height, :width]

    def checkpoint_gradients(self) -> None:
        """Save memory in training at the cost of time: compute the activations of the encoder's blocks twice.

        Raises:
            InputError: the encoder has no blocks to which this could apply.
        """
        if not self.architecture.checkpoint_gradients():
            raise InputError(f"model '{self.name}' has no blocks in this encoder, so gradients cannot be checkpointed")

    def _prepared(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map (N, H, W, 3) levels to normalised (N, 3, H', W'), padded to a size that the architecture takes."""
        levels = pictures.permute(0, 3, 1, 2).to(self.scale.dtype)  # stays channels_last in memory
        height, width = pictures.shape[1], pictures.shape[2]
        prepared = levels * self.scale + self.shift
        below, right = self._padded(height) - height, self._padded(width) - width
        if below or right:
            # edge pixels are repeated, since zeros would form a false edge
            prepared = F.pad(prepared, (0, right, 0, below), mode="replicate")
        return prepared

    def _padded(self, side: int) -> int:
        """Return the smallest side, at least `side`, that the architecture takes."""
        # a quotient and not a remainder, because export can then simplify every size that follows from it
        strides = (side + self.stride - 1) // self.stride
        if self.minimum:
            strides = torch.sym_max(strides, -(-self.minimum // self.stride))  # type: ignore[assignment]
        return strides * self.stride


def build_network(spec: ModelSpec, encoder_weights: str | None = None) -> Network:
    """Build the network that `spec` describes, with initial weights.

    Args:
        spec: architecture, arguments, label map and normalisation. The arguments ``encoder``, ``dropout`` and
            ``spectral_norm`` have the same meaning for every architecture.
        encoder_weights: a local file, a name whose weights are downloaded, or None for random weights.

    Raises:
        InputError: an argument is unknown or has a bad value, or the weights are not available.
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
        check_bound(spectral_norm)
        for part in architecture.encoders():
            normalise_spectrum(part, float(spectral_norm))
    return Network(architecture, spec).to(memory_format=torch.channels_last)


def network_from_file(path: Path) -> tuple[Network, ModelSpec]:
    """Load the network of a model file (.safetensors, or .onnx exported by lanecli), in eval mode, and its ModelSpec.

    Raises:
        InputError: weights and specification do not fit together.
    """
    spec = read_spec(path)
    state = read_weights(path)
    with _no_larger_than(state, path):
        network = build_network(spec)
    load_weights(network, path, state=state)
    return network.eval(), spec


@contextlib.contextmanager
def _no_larger_than(state: Mapping[str, torch.Tensor], path: Path) -> Iterator[None]:
    """Refuse to build a network far larger than the weights in a file, before memory is used for it.

    The header of a file may name any width and depth. The margin allows for parts that files leave out (auxiliary
    heads, idle stages), and for encoders that are built at full width before they are narrowed.
    """
    values, tensors = 4 * sum(t.numel() for t in state.values()) + _SPARE, 4 * len(state) + 2000
    builder = threading.get_ident()

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal values, tensors
        if parameter is not None and threading.get_ident() == builder:
            values, tensors = values - parameter.numel(), tensors - 1
            if min(values, tensors) < 0:
                raise InputError(f"{path}: the header describes a model far larger than the weights in the file")

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
    """Load the weights of a model file into `network`. Auxiliary heads that the file lacks keep their initial values. A
    spectrally normalised network also takes the weights of a plain one, and normalises them.

    Args:
        network: the network to fill.
        path: the model file.
        classes: number of classes of the file's model and of `network`, where they differ on purpose. Tensors with one
            entry per class, or a few, that is the head, then keep their initial values.
        state: the weights of the file, if they have been read already.

    Raises:
        InputError: a weight is missing or does not fit; the message names the first one.
    """
    state = read_weights(path) if state is None else state
    wanted: dict[str, torch.Tensor] = network.state_dict()
    if newly_normalised := (originals := as_originals(state, wanted)).keys() != state.keys():
        state = originals
        wanted = {name: tensor for name, tensor in wanted.items() if name in state or not is_estimate(name)}
    if path.suffix.lower() == ".onnx":  # a graph lacks what it does not use: step counters, idle encoder stages
        wanted = {name: tensor for name, tensor in wanted.items() if name in state}
    wanted = {name: tensor for name, tensor in wanted.items() if name in state or not name.startswith(_AUXILIARY)}
    if classes is not None and classes[0] != classes[1]:
        wanted = {n: t for n, t in wanted.items() if not _is_head(state.get(n), t, classes)}
    for name, tensor in wanted.items():
        if name not in state or state[name].shape != tensor.shape:
            shape = "none" if name not in state else str(tuple(state[name].shape))
            raise InputError(f"{path}: weight '{name}' should be {tuple(tensor.shape)}, the file has {shape}")
    if not wanted:
        kind = type(network.architecture).__name__
        raise InputError(f"{path}: holds no weight of a {kind}: the file was not exported by lanecli")
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    if newly_normalised:
        estimate_norms(network)


def _is_head(theirs: torch.Tensor | None, ours: torch.Tensor, classes: tuple[int, int]) -> bool:
    return (
        theirs is not None
        and theirs.ndim == ours.ndim > 0
        and len(theirs) * classes[1] == len(ours) * classes[0]  # a sub-pixel head has several entries per class
        and theirs.shape[1:] == ours.shape[1:]
    )
