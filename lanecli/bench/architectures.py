"""Freshly built architectures one after the other: counted, exported and timed, into a file that grows."""

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

WHAT = ("counts", "export", "ms")
"""What can be found out."""
_SMALL = Geometry((128, 64))


def parse_names(text: str) -> list[str]:
    """``"all"``, or names with commas between, as registered names. Raises InputError for an unknown one."""
    if text.strip().lower() == "all":
        return list(MODELS)
    return list(dict.fromkeys(MODELS.canonical(name) for name in text.split(",")))


def parse_what(text: str) -> tuple[str, ...]:
    """``"counts,ms"`` as names of `WHAT`. Raises InputError for an unknown one."""
    wanted = [part.strip() for part in text.split(",")]
    for part in wanted:
        if part not in WHAT:
            raise InputError(f"--measure takes {', '.join(WHAT)}, not '{part}'{did_you_mean(part, WHAT)}")
    return tuple(part for part in WHAT if part in wanted)


def machine() -> dict[str, Any]:
    """What milliseconds depend on."""
    versions = {
        package: importlib.metadata.version(package)
        for package in ("torch", "openvino", "onnxruntime")
        if importlib.util.find_spec(package) is not None
    }
    return {"processor": processor(), "cores": os.cpu_count(), "versions": versions}


def measure(
    names: Sequence[str],
    what: tuple[str, ...] = WHAT,
    out: Path | None = None,
    *,
    budget: float = 5.0,
    again: bool = False,
    note: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Facts of architectures, as :func:`lanecli.models.facts.read_facts` describes them.

    Counts are always made. What `out` has of an architecture is kept while its counts are still the same, and its
    milliseconds while the machine is; so an interrupted run goes on where it stopped.

    Args:
        names: registered names.
        what: of `WHAT`.
        out: the file facts are read from and written to after each architecture; None for none.
        budget: seconds of timing for each backend and precision of an architecture.
        again: export and time what `out` has already.
        note: told what is done, and why an export failed.

    Returns:
        The document, with the architectures asked for alone.

    Raises:
        InputError: `out` holds something else.
    """
    document = read_facts(out)
    models: dict[str, dict[str, Any]] = {name: e for name, e in document["models"].items() if name in MODELS}
    here = machine()
    if "ms" in what and document["machine"] != here:
        if any("ms" in entry for entry in models.values()):
            note("milliseconds of another machine or other versions are left out")
        for entry in models.values():
            entry.pop("ms", None)
        document["machine"] = here
    for name in names:
        note(f"{name} …")
        counts = count(name)
        known = models.get(name, {})
        entry = {**known, **counts} if counts.items() <= known.items() else {**counts}
        missing = [part for part in what if again or {"export": "onnx"}.get(part, part) not in entry]
        if "export" in missing or "ms" in missing:
            entry |= _run(name, missing, budget, note)
        models[name] = entry
        document["models"] = {each: models[each] for each in MODELS if each in models}
        if out:
            atomic.write(out, facts_text(document).encode())
    return {**document, "models": {name: models[name] for name in names}}


def _run(name: str, what: Sequence[str], budget: float, note: Callable[[str], None]) -> dict[str, Any]:
    """``"onnx"``, and with ``"ms"`` among `what` ``"ms"``, of one architecture with random weights."""
    # compared on small pictures: the graph is the same for every size
    spec = ModelSpec(name, {}, specification(name).label_map, _SMALL)
    network = build_network(spec).eval()
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "m.onnx"
        found: dict[str, Any] = {"onnx": _exports(network, spec, exported, note)}
        if "ms" not in what:
            return found
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
                except InputError as error:  # this backend does not compute in this precision here
                    note(str(error))
                    continue
                times.setdefault(kind, {})[precision] = round(milliseconds(backend, budget), 1)
    return {**found, "ms": times}


def _exports(network: Network, spec: ModelSpec, path: Path, note: Callable[[str], None]) -> bool:
    try:
        export_onnx(network, spec, path)
    except Exception as error:  # the exporter and the runtime it is compared in raise many kinds
        note(f"{spec.architecture} does not export: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return False
    return True
