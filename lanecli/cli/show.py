"""``lanecli show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.complete import overriding, shown
from lanecli.cli.help import INPUT
from lanecli.cli.output import JsonOption, emit

EXAMPLES = """
lanecli show lane
lanecli show camvid train.epochs=3
"""


def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CONFIG",
            help="A model file, run folder, shipped model or configuration.",
            rich_help_panel=INPUT,
            autocompletion=shown,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Values that replace those of a configuration.",
            rich_help_panel=INPUT,
            autocompletion=overriding,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Describe a model file, or print a whole configuration and where it is."""
    from lanecli.cli.show_model import show_model
    from lanecli.errors import InputError
    from lanecli.shipped import find_model

    configuration = _configuration(model)
    if configuration is not None:
        emit(*_show_config(configuration, overrides or []), json)
        return
    if overrides:
        raise InputError(f"{overrides[0]}: {model} is a model, and KEY=VALUE is for a configuration")
    emit(*show_model(find_model(model)), json)


def _configuration(name: str) -> Path | None:
    """Return the configuration called `name`, or None if there is none or a model has that name."""
    from lanecli.errors import InputError
    from lanecli.shipped import find_config, shipped_models
    from lanecli.textfiles import read_yaml

    path = find_config(name) or find_config(name, "sweeps")
    if path is None or path.suffix.lower() not in (".yaml", ".yml") or name in shipped_models():
        return None
    try:
        tree = read_yaml(path)
    except InputError:
        return path
    return None if isinstance(tree, dict) and "members" in tree else path  # an ensemble file is a model


def _show_config(path: Path, overrides: list[str]) -> tuple[Any, list[str]]:
    """Return document and lines of a resolved configuration, or of a sweep: its variants, and the first one in full."""
    from lanecli.config import load_config
    from lanecli.textfiles import read_yaml
    from lanecli.training.sweep_file import read_sweep

    tree = read_yaml(path)
    if isinstance(tree, dict) and ("variants" in tree or "grid" in tree):
        sweep = read_sweep(path, overrides)
        configs = {name: variant.configs[0] for name, variant in sweep.variants.items()}
        first = next(iter(configs.values()))
        document = {"file": str(path), "variants": {n: c.model_dump(mode="json") for n, c in configs.items()}}
        lines = [
            f"# {path}: a sweep of {len(configs)} variants: {', '.join(configs)}",
            "# the configuration of the first:",
        ]
        return document, [*lines, *first.to_yaml().splitlines()]
    config = load_config(path, overrides)
    return {"file": str(path), **config.model_dump(mode="json")}, [f"# {path}", *config.to_yaml().splitlines()]
