"""What each architecture costs, as facts.json beside this file keeps it.

``lanecli bench --architectures all --out lanecli/models/facts.json`` writes it again (with ``--measure counts`` what is
counted alone, in seconds). Reading it imports nothing heavy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lanecli.errors import InputError

FACTS = Path(__file__).with_name("facts.json")
SIZE = (512, 256)
"""(width, height) of the one RGB picture that is counted and timed."""
CLASSES = 2

DEFINITIONS = {
    "parameters": "that a prediction uses, without heads for training only and idle encoder stages",
    "macs": f"multiply-adds of convolutions and matrix products, attention among them, of one {SIZE[0]}x{SIZE[1]} "
    f"picture to {CLASSES} classes, with the default encoder",
    "stride": "sides are padded to multiples of it",
    "onnx": "whether 'lanecli export onnx' writes it with batch and size open, in agreement with torch",
    "ms": "milliseconds a picture with every core busy, the median of three rounds on random weights",
}
"""What each fact means."""


def read_facts(path: Path | None = FACTS) -> dict[str, Any]:
    """The facts in a file.

    Returns:
        ``"size"``, ``"classes"``, ``"machine"`` (what milliseconds were measured on, or None) and ``"models"``: by
        name ``"parameters"``, ``"macs"``, ``"stride"``, ``"minimum"``, and where they were measured ``"onnx"`` and
        ``"ms"`` by backend and precision. Without models when there is no such file, or for None.

    Raises:
        InputError: the file holds something else.
    """
    empty: dict[str, Any] = {"size": list(SIZE), "classes": CLASSES, "machine": None, "models": {}}
    if path is None or not path.is_file():
        return empty
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(entry, dict) for entry in document["models"].values()):
            raise TypeError("an entry is no object")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: no facts of architectures: {type(error).__name__}: {error}") from error
    return empty | document


def facts_text(document: dict[str, Any]) -> str:
    """What :func:`read_facts` reads: JSON with a line for each architecture."""
    head = {key: value for key, value in document.items() if key != "models"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    models = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in document["models"].items())
    lines.append(f'"models": {{\n{models}\n }}')
    return "{\n " + ",\n ".join(lines) + "\n}\n"
