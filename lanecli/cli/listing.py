"""``lanecli list``."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit

_REGISTRIES = {
    "models": "lanecli.models.registry:MODELS",
    "losses": "lanecli.losses:LOSSES",
    "formats": "lanecli.data.formats:FORMATS",
    "backends": "lanecli.inference.backends:BACKENDS",
    "optimisers": "lanecli.training.optim:OPTIMISERS",
    "schedules": "lanecli.training.optim:SCHEDULES",
    "labelmaps": "lanecli.labelmaps:LABEL_MAPS",
}


def listing(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"{', '.join([*_REGISTRIES, 'encoders', 'metrics'])}.")],
    json: JsonOption = False,
) -> None:
    """List what there is of a kind, one line each."""
    from lanecli.errors import InputError, nearest

    rows: list[dict[str, object]]
    if kind in _REGISTRIES:
        module, _, attribute = _REGISTRIES[kind].partition(":")
        registry = getattr(importlib.import_module(module), attribute)
        entries = [registry.entry(name) for name in registry]
        rows = [{"name": e.name, "aliases": list(e.aliases), "summary": e.summary, **e.facts} for e in entries]
    elif kind == "metrics":
        from lanecli.metrics import calibration, segmentation

        definitions = {**segmentation.DEFINITIONS, **calibration.DEFINITIONS}
        rows = [{"name": name, "summary": text} for name, text in definitions.items()]
    elif kind == "encoders":
        from lanecli.models.smp_models import encoder_names

        rows = [{"name": name, "summary": ""} for name in encoder_names()]
    else:
        kinds = [*_REGISTRIES, "encoders", "metrics"]
        raise InputError(f"there is no list of '{kind}'{nearest(kind, kinds) or '; there are: ' + ', '.join(kinds)}")
    width = max(len(str(row["name"])) for row in rows)
    lines = []
    for row in rows:
        source = f"  [{row['paper']}]" if row.get("paper") else ""
        lines.append(f"{row['name']:{width}}  {row['summary']}{source}".rstrip())
    emit(rows, lines, json)
