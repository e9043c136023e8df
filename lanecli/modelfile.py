"""Model files: weights and everything needed to use them, in one file, without pickle.

A ``.safetensors`` file carries a ModelSpec as JSON under the header key ``lanecli``; an ``.onnx`` file carries the
same JSON in its metadata under the same key. Reading a spec loads neither torch nor onnx.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanecli import atomic
from lanecli.errors import InputError, LaneError, reason
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 2
"""Version 1 (lanecli 0.1.0) had no `outputs`; its ONNX files take pictures that are already cropped and resized."""
KEY = "lanecli"
_MAX_HEADER = 16 << 20  # bytes: far above any real header, far below what is costly to allocate
_MAX_PARTS = 10_000  # fields of a protobuf message: real files have dozens on the levels read here
_MAX_NUMBER = 1_000_000  # largest argument: no real width, depth or stride comes near it
_OUTPUT_SIZES = (
    "groups",
    "components",
    "step",
)  # what memory of an output hangs on; the rest, pixel counts, may be any
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading malformed JSON raises: wrong types, missing parts, infinities, endless nesting."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalisation:
    """Maps RGB levels in 0..255 to (level / 255 - mean) / std, per channel."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class ModelSpec:
    """Everything a model file says about its model, apart from the weights.

    Attributes:
        architecture: registry name of the model.
        arguments: arguments of its builder besides the class count (encoder, decoder widths, dropout …).
        label_map: the classes it tells apart.
        geometry: what is done to a picture first: crop, resize and pad.
        normalisation: what is done to the levels after that.
        temperature: divides the logits before softmax or sigmoid (Guo et al. 2017, arXiv 1706.04599).
        provenance: where the model comes from: version, data, steps, figures. Free form, JSON values.
        outputs: further outputs besides the logits, by name (`lanecli.models.outputs`), with the arguments of each.
        version: version of the format the file was written in.
        unknown: keys of the header that this version does not know; they are kept when the file is written again.
    """

    architecture: str
    arguments: dict[str, Any]
    label_map: LabelMap
    geometry: Geometry
    normalisation: Normalisation = Normalisation()
    temperature: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = field(default=FORMAT_VERSION, compare=False)
    unknown: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """``"multilabel"`` (sigmoid per class) or ``"multiclass"`` (softmax over the classes)."""
        return "multilabel" if self.label_map.multilabel else "multiclass"

    def to_json(self) -> str:
        """Return one line of JSON, from which :meth:`from_json` builds an equal object."""
        return (
            json.dumps(
                {
                    **self.unknown,
                    "format_version": FORMAT_VERSION,
                    "architecture": self.architecture,
                    "arguments": self.arguments,
                    "label_map": self.label_map.to_dict(),
                    "geometry": self.geometry.to_dict(),
                    "normalisation": asdict(self.normalisation),
                    "temperature": self.temperature,
                    "provenance": self.provenance,
                    "outputs": self.outputs,
                },
                ensure_ascii=False,
                sort_keys=True,
            )
            .encode("utf-8", "backslashreplace")
            .decode()
        )  # half a surrogate pair is written as the escape it was read from

    @classmethod
    def from_json(cls, text: str, where: str = "model file") -> ModelSpec:
        """Read what :meth:`to_json` wrote. Raises InputError that names the file and what is wrong."""
        try:
            data: Mapping[str, Any] = json.loads(text, parse_constant=lambda _word: None)
            version = int(data["format_version"])
            if version > FORMAT_VERSION:
                raise InputError(f"written by a newer lanecli (format {version}); update lanecli")
            norm, temperature = data["normalisation"], float(data.get("temperature", 1.0))
            if not (0 < temperature < math.inf and all(float(s) > 0 for s in norm["std"])):
                raise ValueError("temperature and standard deviations must be numbers above 0")
            _check_numbers(data["arguments"], "arguments")
            for name, arguments in data.get("outputs", {}).items():
                _check_numbers({key: dict(arguments).get(key, 0) for key in _OUTPUT_SIZES}, f"outputs.{name}")
            return cls(
                architecture=str(data["architecture"]),
                arguments=dict(data["arguments"]),
                label_map=LabelMap.from_dict(data["label_map"]),
                geometry=Geometry.from_dict(data["geometry"]),
                normalisation=Normalisation(_triple(norm["mean"]), _triple(norm["std"])),
                temperature=temperature,
                provenance=dict(data.get("provenance", {})),
                outputs={str(name): dict(arguments) for name, arguments in data.get("outputs", {}).items()},
                version=version,
                unknown={key: value for key, value in data.items() if key not in _KEYS},
            )
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except _MALFORMED as error:
            raise InputError(f"{where}: its lanecli header cannot be read ({reason(error)})") from error


_KEYS = {
    "format_version",
    "architecture",
    "arguments",
    "label_map",
    "geometry",
    "normalisation",
    "temperature",
    "provenance",
    "outputs",
}


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("mean and standard deviation must be finite numbers")
    return red, green, blue


def _check_numbers(value: Any, key: str) -> None:
    """Raise InputError for a number no model is built with, before memory is allocated for it."""
    if isinstance(value, (int, float)) and not abs(value) <= _MAX_NUMBER:
        raise InputError(f"{key} {value:g} is too large for a model: the limit is {_MAX_NUMBER}")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        _check_numbers(part, f"{key}.{name}")


def read_spec(path: Path) -> ModelSpec:
    """Return the ModelSpec inside a ``.safetensors`` or ``.onnx`` model file without loading the weights.

    Raises:
        InputError: the file is missing, cut short, of another kind, or was not written by lanecli.

    Example:
        >>> from lanecli.shipped import find_model
        >>> read_spec(find_model("lane")).label_map.names
        ('background', 'lane marking')
    """
    if not path.is_file():
        raise InputError(f"no such model file: {path}")
    readers = {".safetensors": _safetensors_metadata, ".onnx": _onnx_metadata}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: a model file ends in .safetensors or .onnx")
    metadata = readers[path.suffix.lower()](path)
    if KEY not in metadata:
        raise InputError(f"{path}: it has no lanecli header; train or export the model with lanecli")
    return ModelSpec.from_json(metadata[KEY], str(path))


def _safetensors_metadata(path: Path) -> dict[str, str]:
    """Return ``__metadata__`` of a safetensors file (8-byte little-endian length, then JSON), with sizes checked."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 0 < length <= min(_MAX_HEADER, size - 8):
            raise InputError(f"{path}: not a safetensors file, or cut short at {size} bytes")
        try:
            header = json.loads(file.read(length))
            end = max((int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"), default=0)
            metadata = dict(header.get("__metadata__", {}))
        except _MALFORMED as error:
            raise InputError(f"{path}: not a safetensors file: its header cannot be read") from error
    if size < 8 + length + end:
        raise InputError(f"{path}: cut short: it has {size} of {8 + length + end} bytes; copy or download it again")
    return metadata


def _onnx_metadata(path: Path) -> dict[str, str]:
    """Return ``metadata_props`` of an ONNX file, read from the outermost protobuf fields (onnx.proto, ModelProto)."""
    metadata: dict[str, str] = {}
    size = path.stat().st_size
    has_graph = False
    parts = 0
    with path.open("rb") as file:
        while file.tell() < size:
            if (parts := parts + 1) > _MAX_PARTS:
                raise InputError(f"{path}: not an ONNX model: it has more than {_MAX_PARTS} parts")
            field_number, wire_type, length = _protobuf_field(file, size, path)
            if field_number == 14 and wire_type == 2:  # metadata_props: StringStringEntryProto {key = 1, value = 2}
                if length > _MAX_HEADER:
                    raise InputError(f"{path}: damaged: one entry of its metadata has {length} bytes")
                entry = file.read(length)
                key, value = _protobuf_strings(entry, path)
                metadata[key] = value
            else:
                has_graph |= field_number == 7
                file.seek(length, os.SEEK_CUR)
    if not has_graph:
        raise InputError(f"{path}: not an ONNX model, or cut short ({size} bytes)")
    return metadata


def _varint(file: Any, path: Path) -> int:
    value, shift = 0, 0
    while shift < 64:
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
    raise InputError(f"{path}: not an ONNX model, or cut short")


def _protobuf_field(file: Any, size: int, path: Path) -> tuple[int, int, int]:
    """Return field number, wire type and payload length of the next field, and leave the file at its payload."""
    tag = _varint(file, path)
    wire_type = tag & 7
    if wire_type == 0:
        _varint(file, path)
        length = 0
    elif wire_type in (1, 5):
        length = 8 if wire_type == 1 else 4
    elif wire_type == 2:
        length = _varint(file, path)
    else:
        raise InputError(f"{path}: not an ONNX model, or cut short")
    if file.tell() + length > size:
        raise InputError(f"{path}: not an ONNX model, or cut short: a part of {length} bytes passes its end")
    return tag >> 3, wire_type, length


def _protobuf_strings(entry: bytes, path: Path) -> tuple[str, str]:
    import io

    parts = {1: "", 2: ""}
    file, count = io.BytesIO(entry), 0
    while file.tell() < len(entry):
        if (count := count + 1) > _MAX_PARTS:
            raise InputError(f"{path}: not an ONNX model: an entry of its metadata has more than {_MAX_PARTS} parts")
        number, _, length = _protobuf_field(file, len(entry), path)
        parts[number] = file.read(length).decode("utf-8", "replace")
    return parts[1], parts[2]


def write_safetensors(path: Path, state: Mapping[str, torch.Tensor], spec: ModelSpec) -> None:
    """Write weights and spec to a temporary file and rename it to `path`. Tensors keep their dtype."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    atomic.prepare_target(path)
    with atomic.file(path) as temporary:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, temporary, {KEY: spec.to_json()})
        except SafetensorError as error:
            raise LaneError(f"{path}: cannot be written: {error}") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a model file, on the CPU and in float32 (half-precision ones are converted).

    The weights in an .onnx file exported by lanecli keep the names they had in the network.
    """
    import torch

    if path.suffix.lower() == ".onnx":
        state = _onnx_weights(path)
    else:
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except Exception as error:  # the library's own error class, and whatever building tensors raises
            raise InputError(f"{path}: its weights cannot be read ({reason(error)})") from error
    return {k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in state.items()}


def _onnx_weights(path: Path) -> dict[str, torch.Tensor]:
    import onnx
    import torch
    from onnx import numpy_helper
    from onnx.external_data_helper import uses_external_data

    try:
        model = onnx.load(path, load_external_data=False)
        if any(uses_external_data(w) for w in model.graph.initializer):
            raise InputError(f"{path}: keeps its weights in other files; lanecli reads models that are a single file")
        return {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in model.graph.initializer}
    except InputError:
        raise
    except Exception as error:  # a damaged tensor can raise almost anything
        raise InputError(f"{path}: its weights cannot be read ({reason(error)})") from error
