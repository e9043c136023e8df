"""What each architecture costs, as recorded in facts.json beside this file.

``lanecli bench --architectures all --out lanecli/models/facts.json`` writes the file again (with ``--measure counts``
it only counts, which takes seconds). Reading it imports nothing heavy.

Example:
    >>> read_facts()["models"]["erfnet"]["stride"]
    8
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lanecli.errors import InputError

FACTS = Path(__file__).with_name("facts.json")
SIZE = (512, 256)
"""(width, height) of the RGB picture for which costs are counted and timed."""
CLASSES = 2

DEFINITIONS = {
    "parameters": "that a prediction uses, without heads for training and idle encoder stages",
    "macs": f"multiply-adds of convolutions and matrix products, including attention, for one {SIZE[0]}x{SIZE[1]} "
    f"picture and {CLASSES} classes, with the default encoder",
    "stride": "the sides of pictures are padded to multiples of it",
    "onnx": "whether 'lanecli export onnx' writes it for any batch and size, in agreement with torch",
    "ms": "milliseconds per picture with every core busy, median of three rounds, random weights",
}
"""The meaning of each fact."""


def read_facts(path: Path | None = FACTS) -> dict[str, Any]:
    """Read the facts in a file.

    Args:
        path: the file; for None, and where there is no such file, the document has no models.

    Returns:
        ``"size"``, ``"classes"``, ``"machine"`` (on which milliseconds were measured, or None) and ``"models"``. The
        latter has for each name ``"parameters"``, ``"macs"``, ``"stride"`` and ``"minimum"``, and, where they were
        measured, ``"onnx"`` and ``"ms"`` by backend and precision.

    Raises:
        InputError: the file holds something else.
    """
    empty: dict[str, Any] = {"size": list(SIZE), "classes": CLASSES, "machine": None, "models": {}}
    if path is None or not path.is_file():
        return empty
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(entry, dict) for entry in document["models"].values()):
            raise TypeError("an entry is not an object")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} does not hold facts of architectures: {type(error).__name__}: {error}") from error
    return empty | document


def facts_text(document: dict[str, Any]) -> str:
    """Format facts for :func:`read_facts`: as JSON with one line per architecture."""
    head = {key: value for key, value in document.items() if key != "models"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    models = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in document["models"].items())
    lines.append(f'"models": {{\n{models}\n }}')
    return "{\n " + ",\n ".join(lines) + "\n}\n"
