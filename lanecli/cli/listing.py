"""``lanecli list``."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lanecli.cli.complete import among
from lanecli.cli.help import INPUT
from lanecli.cli.output import JsonOption, emit
from lanecli.cli.table import Column, table, terminal_width, wrapped

Rows = list[dict[str, Any]]

_REGISTRIES = {
    "losses": "lanecli.losses:LOSSES",
    "formats": "lanecli.data.formats:FORMATS",
    "backends": "lanecli.inference.backends:BACKENDS",
    "ensembles": "lanecli.inference.combiners:COMBINERS",
    "uncertainties": "lanecli.inference.measures:MEASURES",
    "views": "lanecli.inference.views:VIEWS",
    "outputs": "lanecli.inference.sinks:SINKS",
    "optimisers": "lanecli.training.optim:OPTIMISERS",
    "schedules": "lanecli.training.optim:SCHEDULES",
    "labelmaps": "lanecli.labelmaps:LABEL_MAPS",
}
_KINDS = ("models", *_REGISTRIES, "encoders", "metrics", "configs")
EXAMPLES = """
lanecli list models
lanecli list losses --json
"""


def listing(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help=f"One of {', '.join(_KINDS)}.", rich_help_panel=INPUT, autocompletion=among(_KINDS)
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List models (with what each costs), losses, formats and so on."""
    from lanecli.cli.list_models import model_lines, model_rows
    from lanecli.errors import InputError, did_you_mean

    width = terminal_width()
    if kind == "models":
        rows = model_rows()
        emit(rows, model_lines(rows, width), json)
        return
    others: dict[str, Callable[[], Rows]] = {
        "encoders": _encoders,
        "metrics": _metrics,
        "configs": _configs,
    }
    if kind is None:
        raise InputError(f"name a list, as in 'lanecli list models'; there are: {', '.join(_KINDS)}")
    if kind not in _KINDS:
        raise InputError(
            f"there is no list of '{kind}'{did_you_mean(kind, _KINDS) or '; there are: ' + ', '.join(_KINDS)}"
        )
    rows = others[kind]() if kind in others else _registered(kind)
    lines = table([Column("", [row["name"] for row in rows]), Column("", [_described(row) for row in rows])], width)
    if kind == "encoders":
        more = (
            "Every model of timm is an encoder too, as tu-NAME; 'lanecli list models' names the default of each model."
        )
        lines += ["", *wrapped(more, width)]
    if kind == "configs":
        folder = str(rows[0]["path"]).rpartition("/")[0] if rows else ""
        lines += ["", *wrapped(f"The files are in {folder}; 'lanecli show NAME' prints one in full.", width)]
    emit(rows, lines, json)


def _registered(kind: str) -> Rows:
    """Return a row for each entry of a registry, without importing what it lists."""
    module, _, attribute = _REGISTRIES[kind].partition(":")
    registry = getattr(importlib.import_module(module), attribute)
    rows = []
    for name in registry:
        entry = registry.entry(name)
        row = {"name": name, "aliases": list(entry.aliases), "summary": entry.summary, **entry.facts}
        if inspect.isfunction(entry.target):
            parameters = inspect.signature(entry.target).parameters.values()
            row["arguments"] = {p.name: p.default for p in parameters if p.default is not p.empty}
        rows.append(row)
    if kind == "backends":
        from lanecli.inference.backends import installed

        for row in rows:
            row["installed"] = installed(row["name"])
    return rows


def _metrics() -> Rows:
    from lanecli.metrics import METRICS
    from lanecli.metrics.scores import SCORES

    definitions = {name: text for metric in METRICS for name, text in METRICS.get(metric).definitions.items()}
    definitions |= {name: SCORES.entry(name).summary for name in SCORES}
    return [{"name": name, "aliases": [], "summary": text} for name, text in definitions.items()]


def _configs() -> Rows:
    """Return the configurations of ``lanecli train`` and the sweep files that come with lanecli."""
    from lanecli.shipped import ready_configs

    rows = []
    for kind, command in (("", "train"), ("sweeps", "sweep")):
        for path in ready_configs(kind):
            text = path.read_text(encoding="utf-8")
            opening = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
            summary = " ".join(line.removeprefix("# ") for line in opening).partition(". ")[0].rstrip(".")
            rows.append({"name": path.stem, "aliases": [], "summary": summary, "command": command, "path": str(path)})
    return rows


def _encoders() -> Rows:
    from segmentation_models_pytorch.encoders import encoders

    rows = []
    for name in sorted(encoders):
        weights = sorted(encoders[name].get("pretrained_settings") or {})
        summary = f"weights: {', '.join(weights)}" if weights else "no weights by name"
        rows.append({"name": name, "aliases": [], "summary": summary, "weights": weights})
    return rows


def _described(row: dict[str, Any]) -> str:
    """Return the summary of a row with further facts that help to choose."""
    text = str(row["summary"])
    if row.get("arguments"):
        text += f" ({', '.join(f'{name}={_plain(value)}' for name, value in row['arguments'].items())})"
    if row.get("classes"):
        text += f"; label map {row['classes']}"
    if row.get("command") == "sweep":
        text += "  (for lanecli sweep)"
    if row.get("installed") is False:
        text += "; not installed here"
    if row.get("paper"):
        text += f"  [{row['paper']}{', {}'.format(row['year']) if row.get('year') else ''}]"
    if row["aliases"]:
        text += f"  (also {', '.join(row['aliases'])})"
    return text


def _plain(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)
