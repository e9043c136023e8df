"""What ``lanecli show`` prints about a model file."""

from __future__ import annotations

import json as json_module
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lanecli.modelfile import ModelSpec

_WIDTH = 100
SCRIPT = """\
import sys
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

CLASSES = {classes}
COLORS = np.array({colors}, np.uint8)
session = onnxruntime.InferenceSession({file!r})
picture = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
pictures = np.asarray(picture)[None]  # (1, height, width, 3) uint8, any size
class_map, probabilities = session.run(["class_map", "probabilities"], {{"pictures": pictures}})
for number, name in enumerate(CLASSES):
    print(f"{{name}}: {{(class_map == number).mean():.2%}} of the picture")
overlay = np.where(class_map[0, ..., None] {drawn}, COLORS[class_map[0] % len(COLORS)], pictures[0])
Image.fromarray(overlay).save("overlay.png")
Image.fromarray(class_map[0]).save("mask.png")
"""
"""A script that runs an exported file with onnxruntime, NumPy and Pillow only."""


def show_model(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return document and lines of a model file."""
    from lanecli.modelfile import read_spec

    spec = read_spec(path)
    document: dict[str, Any] = {"file": str(path), "bytes": path.stat().st_size, **json_module.loads(spec.to_json())}
    document["format_version"] = spec.version
    arguments = ", ".join(f"{k}={v}" for k, v in spec.arguments.items())
    lines = [
        f"{path}  ({path.stat().st_size / 1e6:.1f} MB)",
        f"architecture  {spec.architecture} ({arguments})",
        f"classes       {', '.join(spec.label_map.names)} (label map {spec.label_map.name}, {spec.task})",
        f"geometry      {_geometry(spec)}",
        f"temperature   {spec.temperature:g}",
        *(f"output        {name}" for name in spec.outputs),
        *(line for key, value in spec.provenance.items() if key != "card" for line in _fact(key, value)),
        *([f"card          {card}"] if (card := path.with_suffix(".md")).is_file() else []),
    ]
    if path.suffix == ".onnx":
        document |= (tensors := _graph_tensors(path))
        lines += ["", *(f"{kind:13} {_value(value)}" for kind in ("inputs", "outputs") for value in tensors[kind])]
        if "class_map" in (value["name"] for value in tensors["outputs"]):
            document["script"] = script_of(path, spec)
            lines += [
                "",
                "A script that runs it (pip install onnxruntime pillow):",
                "",
                *document["script"].splitlines(),
            ]
        else:
            lines.append(
                "The file holds only the network: resize pictures as the geometry says, or export the model again."
            )
    return document, lines


def script_of(path: Path, spec: ModelSpec) -> str:
    """Return a script that runs an exported file without lanecli."""
    label_map = spec.label_map
    background = label_map.background
    drawn = "!= 255" if background is None else f"!= {background}"
    return SCRIPT.format(
        classes=list(label_map.names),
        colors=[list(c.color) for c in label_map.classes],
        file=str(path.resolve()),
        drawn=drawn,
    )


def _geometry(spec: ModelSpec) -> str:
    geometry = spec.geometry
    size = "its own size" if geometry.size is None else "{}x{}".format(*geometry.size)
    cut = [
        f"{margin:g}{' px' if margin >= 1 else ' of the side'} off the {side}"
        for margin, side in zip(geometry.crop, ("left", "top", "right", "bottom"), strict=True)
        if margin
    ]
    made_for = f", made for frames of {geometry.frame[0]}x{geometry.frame[1]}" if geometry.frame else ""
    first = f"crop {', '.join(cut)}; " if cut else ""
    return f"{first}{geometry.fit} to {size}{made_for}"


def _fact(key: str, value: Any, depth: int = 0) -> list[str]:
    """Return a line for a key, or a line for each entry of a mapping that does not fit on one line, at every depth."""
    text = value if isinstance(value, str) else json_module.dumps(value, ensure_ascii=False)
    margin = "  " * depth
    start = f"{margin}{key}: " if depth else f"{key:13} "
    if len(start + text) > _WIDTH and isinstance(value, dict):
        return [f"{margin}{key}", *(line for name, each in value.items() for line in _fact(name, each, depth + 1))]
    indent = " " * min(len(start), 14)
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)


def _graph_tensors(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the inputs and outputs of an ONNX file, each with name, shape and type."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph

    def described(value: Any) -> dict[str, Any]:
        kind = value.type.tensor_type
        shape = [d.dim_param or d.dim_value for d in kind.shape.dim]
        return {"name": value.name, "shape": shape, "type": onnx.TensorProto.DataType.Name(kind.elem_type).lower()}

    return {"inputs": [described(v) for v in graph.input], "outputs": [described(v) for v in graph.output]}


def _value(value: dict[str, Any]) -> str:
    return f"{value['name']} ({', '.join(map(str, value['shape']))}) {value['type']}"
