"""``lanecli show``."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit


def show(
    model: Annotated[str, typer.Argument(help="A model file, run folder or shipped name.")],
    json: JsonOption = False,
) -> None:
    """Say what a model file holds: architecture, classes, geometry, where it comes from."""
    from lanecli.modelfile import read_spec
    from lanecli.shipped import find_model

    path = find_model(model)
    spec = read_spec(path)
    document = {"file": str(path), "bytes": path.stat().st_size, **json_module.loads(spec.to_json())}
    size = "any size" if spec.geometry.size is None else "{}x{}".format(*spec.geometry.size)
    arguments = ", ".join(f"{k}={v}" for k, v in spec.arguments.items())
    lines = [
        f"{path}  ({path.stat().st_size / 1e6:.1f} MB)",
        f"architecture  {spec.architecture} ({arguments})",
        f"classes       {', '.join(spec.label_map.names)} (label map {spec.label_map.name}, {spec.task})",
        f"geometry      crop {list(spec.geometry.crop)}, {spec.geometry.fit} to {size}",
        f"temperature   {spec.temperature:g}",
        *(f"{key:13} {json_module.dumps(value, ensure_ascii=False)}" for key, value in spec.provenance.items()),
    ]
    emit(document, lines, json)
