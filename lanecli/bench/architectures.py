"""Counting, exporting and timing architectures with random weights, one after the other, into a file of facts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.bench.model import milliseconds, processor
from lanecli.errors import InputError, did_you_mean
from lanecli.export.onnx import export_onnx
from lanecli.geometry import Geometry
from lanecli.hardware import cpu_has_bf16
from lanecli.inference.backends import BACKENDS, installed, open_backend
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import Network, build_network
from lanecli.models.counting import count, specification
from lanecli.models.facts import SIZE, facts_text, read_facts
from lanecli.models.registry import MODELS

MEASUREMENTS = ("counts", "export", "ms")
"""What can be measured."""
_SMALL = Geometry((128, 64))


def parse_names(text: str) -> list[str]:
    """Parse ``"all"`` or names separated by commas into registered names. Raises InputError for an unknown name."""
    if text.strip().lower() == "all":
        return list(MODELS)
    return list(dict.fromkeys(MODELS.canonical(name) for name in text.split(",")))


def parse_measurements(text: str) -> tuple[str, ...]:
    """Parse names of :data:`MEASUREMENTS`. Raises InputError for an unknown name.

    Example:
        >>> parse_measurements("ms, counts")
        ('counts', 'ms')
    """
    wanted = [part.strip() for part in text.split(",")]
    for part in wanted:
        if part not in MEASUREMENTS:
            raise InputError(
                f"--measure takes {', '.join(MEASUREMENTS)}, not '{part}'{did_you_mean(part, MEASUREMENTS)}"
            )
    return tuple(part for part in MEASUREMENTS if part in wanted)


def machine() -> dict[str, Any]:
    """Describe this machine, on which milliseconds depend."""
    versions = {
        package: importlib.metadata.version(package)
        for package in ("torch", "openvino", "onnxruntime")
        if importlib.util.find_spec(package) is not None
    }
    return {"processor": processor(), "cores": os.cpu_count(), "versions": versions}


def measure(
    names: Sequence[str],
    measurements: tuple[str, ...] = MEASUREMENTS,
    out: Path | None = None,
    *,
    budget: float = 5.0,
    again: bool = False,
    note: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Measure facts of architectures; :func:`lanecli.models.facts.read_facts` describes them.

    Counts are always taken again. Other facts in `out` are kept if the counts have not changed, and milliseconds only
    if the machine has not changed either, so that an interrupted run continues where it stopped.

    Args:
        names: registered names.
        measurements: names of :data:`MEASUREMENTS`.
        out: the file from which facts are read, and to which they are written after each architecture; None for none.
        budget: seconds of timing for each backend and precision of an architecture.
        again: whether to export and time again what `out` has already.
        note: called with lines that say what is done, and why an export failed.

    Returns:
        The document, with the requested architectures only.

    Raises:
        InputError: `out` holds something else.
    """
    document = read_facts(out)
    models: dict[str, dict[str, Any]] = {name: e for name, e in document["models"].items() if name in MODELS}
    here = machine()
    if "ms" in measurements and document["machine"] != here:
        if any("ms" in entry for entry in models.values()):
            note("milliseconds from another machine or other versions are discarded")
        for entry in models.values():
            entry.pop("ms", None)
        document["machine"] = here
    for name in names:
        note(f"{name} …")
        counts = count(name)
        known = models.get(name, {})
        entry = {**known, **counts} if counts.items() <= known.items() else {**counts}
        missing = [part for part in measurements if again or {"export": "onnx"}.get(part, part) not in entry]
        if "export" in missing or "ms" in missing:
            entry |= _run(name, missing, budget, note)
        models[name] = entry
        document["models"] = {each: models[each] for each in MODELS if each in models}
        if out:
            atomic.write(out, facts_text(document).encode())
    return {**document, "models": {name: models[name] for name in names}}


def _run(name: str, measurements: Sequence[str], budget: float, note: Callable[[str], None]) -> dict[str, Any]:
    """Measure ``"onnx"`` of an architecture with random weights, and ``"ms"`` if it is among `measurements`."""
    # small pictures suffice for the comparison, because the graph is the same for every size
    spec = ModelSpec(name, {}, specification(name).label_map, _SMALL)
    network = build_network(spec).eval()
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "m.onnx"
        facts: dict[str, Any] = {"onnx": _exports(network, spec, exported, note)}
        if "ms" not in measurements:
            return facts
        weights = Path(folder) / "m.safetensors"
        write_safetensors(weights, network.state_dict(), spec)
        del network
        times: dict[str, dict[str, float]] = {}
        for kind in BACKENDS:
            path = weights if kind == "torch" else exported
            if not (installed(kind) and path.exists()):
                continue
            for precision in ("fp32", "bf16") if cpu_has_bf16() else ("fp32",):
                note(f"{name}: {kind} {precision} …")
                try:
                    backend = open_backend(str(path), backend=kind, precision=precision, device="cpu", size=SIZE)
                except InputError as error:  # the backend does not support this precision on this machine
                    note(str(error))
                    continue
                times.setdefault(kind, {})[precision] = round(milliseconds(backend, budget), 1)
    return {**facts, "ms": times}


def _exports(network: Network, spec: ModelSpec, path: Path, note: Callable[[str], None]) -> bool:
    try:
        export_onnx(network, spec, path)
    except Exception as error:  # the exporter, and the runtime of the comparison, raise errors of many kinds
        note(f"{spec.architecture} cannot be exported: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return False
    return True
