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
"""Version 1 (lanecli 0.1.0) had no `outputs`, and its ONNX files took pictures as Geometry leaves them."""
KEY = "lanecli"
_MAX_HEADER = 16 << 20  # bytes: far above any real header, far below what would hurt to allocate
_MAX_PARTS = 10_000  # of a protobuf message: real ones have dozens on the levels that are read here
_MAX_NUMBER = 1_000_000  # of an argument: no width, depth or stride comes near
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What taking apart JSON of any shape raises: wrong kinds, missing parts, infinities, brackets without end."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalisation:
    """RGB levels in 0..255 become (level / 255 - mean) / std, per channel."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class ModelSpec:
    """What a model file knows about its model.

    Attributes:
        architecture: registry name of the model.
        arguments: what its builder is called with besides the class count (encoder, decoder widths, dropout …).
        label_map: the classes it tells apart.
        geometry: what is done to a picture before it.
        normalisation: what is done to levels after that.
        temperature: logits are divided by it before softmax or sigmoid (Guo et al. 2017, arXiv 1706.04599).
        provenance: where it comes from: version, data, steps, figures. Free form, JSON values.
        outputs: what the model can be asked for beside logits, by name (`lanecli.models.outputs`), with the arguments
            of each.
        version: of the format the file was written in.
        unknown: keys of the header this version does not know, kept when the file is written again.
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
        """``"multilabel"`` (sigmoid per class) or ``"multiclass"`` (softmax over classes)."""
        return "multilabel" if self.label_map.multilabel else "multiclass"

    def to_json(self) -> str:
        """One line of JSON; :meth:`from_json` reads it back equal."""
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
        )  # half a surrogate pair stands as the escape it came as

    @classmethod
    def from_json(cls, text: str, where: str = "model file") -> ModelSpec:
        """Read :meth:`to_json`'s form. Raises InputError that names the file and what is wrong."""
        try:
            data: Mapping[str, Any] = json.loads(text, parse_constant=lambda _word: None)
            version = int(data["format_version"])
            if version > FORMAT_VERSION:
                raise InputError(f"written by a newer lanecli (format {version}); update lanecli")
            norm, temperature = data["normalisation"], float(data.get("temperature", 1.0))
            if not (0 < temperature < math.inf and all(float(s) > 0 for s in norm["std"])):
                raise ValueError("temperature and standard deviations are numbers above 0")
            _check_numbers(data["arguments"], "arguments")
            _check_numbers(data.get("outputs", {}), "outputs")
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
            raise InputError(f"{where}: its lanecli header is not readable ({reason(error)})") from error


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
        raise ValueError("mean and standard deviation are finite numbers")
    return red, green, blue


def _check_numbers(value: Any, place: str) -> None:
    """Raise InputError for a number no model is built with: it would be allocated before anything else is checked."""
    if isinstance(value, (int, float)) and not abs(value) <= _MAX_NUMBER:
        raise InputError(f"{place} {value:g} is beyond what a model is built with ({_MAX_NUMBER})")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        _check_numbers(part, f"{place}.{key}")


def read_spec(path: Path) -> ModelSpec:
    """The ModelSpec inside a ``.safetensors`` or ``.onnx`` model file; weights are not loaded.

    Raises InputError when the file is missing, cut short, of another kind, or not written by lanecli.
    """
    if not path.is_file():
        raise InputError(f"no such model file: {path}")
    readers = {".safetensors": _safetensors_metadata, ".onnx": _onnx_metadata}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: a model file ends in .safetensors or .onnx")
    metadata = readers[path.suffix.lower()](path)
    if KEY not in metadata:
        raise InputError(f"{path}: no lanecli header inside; export it with lanecli, or train a model with it")
    return ModelSpec.from_json(metadata[KEY], str(path))


def _safetensors_metadata(path: Path) -> dict[str, str]:
    """The ``__metadata__`` of a safetensors file (8-byte little-endian length, then JSON), sizes checked first."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 0 < length <= min(_MAX_HEADER, size - 8):
            raise InputError(f"{path}: not a safetensors file, or cut short ({size} bytes)")
        try:
            header = json.loads(file.read(length))
            end = max((int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"), default=0)
            metadata = dict(header.get("__metadata__", {}))
        except _MALFORMED as error:
            raise InputError(f"{path}: not a safetensors file (its header is not readable)") from error
    if size < 8 + length + end:
        raise InputError(f"{path}: cut short: {size} bytes of {8 + length + end}; copy or download it again")
    return metadata


def _onnx_metadata(path: Path) -> dict[str, str]:
    """``metadata_props`` of an ONNX file, walking only the outermost protobuf fields (onnx.proto: ModelProto)."""
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
                    raise InputError(f"{path}: {length} bytes of metadata in one entry: damaged")
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
    """Field number, wire type and payload length of the next field; the file stands at the payload."""
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
        raise InputError(f"{path}: not an ONNX model, or cut short: a part of {length} bytes ends behind the file")
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
    """Write weights and spec to `path`, by a temporary name and a rename. Tensors keep their dtype."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    atomic.prepare_target(path)
    with atomic.file(path) as temporary:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, temporary, {KEY: spec.to_json()})
        except SafetensorError as error:
            raise LaneError(f"{path}: cannot be written ({error})") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights inside a model file, on the CPU; half-precision ones come back as float32.

    An .onnx file exported by lanecli keeps them under the names they had.
    """
    import torch

    if path.suffix.lower() == ".onnx":
        state = _onnx_weights(path)
    else:
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except Exception as error:  # the library's own kind of error, and what building tensors may raise
            raise InputError(f"{path}: weights are not readable ({reason(error)})") from error
    return {k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in state.items()}


def _onnx_weights(path: Path) -> dict[str, torch.Tensor]:
    import onnx
    import torch
    from onnx import numpy_helper
    from onnx.external_data_helper import uses_external_data

    try:
        model = onnx.load(path, load_external_data=False)
        if any(uses_external_data(w) for w in model.graph.initializer):
            raise InputError(f"{path}: keeps its weights in other files; lanecli's are whole")
        return {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in model.graph.initializer}
    except InputError:
        raise
    except Exception as error:  # a damaged tensor fails in as many ways as it has fields
        raise InputError(f"{path}: weights are not readable ({reason(error)})") from error
