"""Finds the shipped models and ready-made configurations, in an installed package or in a source checkout."""

from __future__ import annotations

import os
from pathlib import Path

from lanecli.errors import InputError, did_you_mean

DEFAULT_MODEL = "lane"
_PACKAGE = Path(__file__).resolve().parent


def _folder(installed: str, checkout: str) -> Path:
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _PACKAGE.parent / checkout


def models_folder() -> Path:
    """Return the folder of the shipped model files."""
    return _folder("assets/models", "assets/models")


def configs_folder() -> Path:
    """Return the folder of the ready-made experiment configurations."""
    return _folder("configs", "configs")


def find_config(name: str, kind: str = "") -> Path | None:
    """Return the configuration file called `name`, or None if there is none.

    Args:
        name: a path, or the name of a configuration in ``configs/``, as the user typed it.
        kind: folder of ``configs/`` to look in, such as ``"sweeps"``; empty for ``configs/`` itself.
    """
    path = Path(os.path.expanduser(name))
    if path.is_file():
        return path
    ready = configs_folder() / kind / f"{path.name.removesuffix('.yaml')}.yaml"
    return ready if len(path.parts) == 1 and ready.is_file() else None


def ready_configs(kind: str = "") -> list[Path]:
    """Return the configurations in ``configs/``, or in one of its folders, sorted by name."""
    return sorted((configs_folder() / kind).glob("*.yaml"))


def shipped_models() -> list[str]:
    """Return the names of the shipped models, sorted.

    Example:
        >>> "lane" in shipped_models()
        True
    """
    return sorted(
        {p.stem for p in models_folder().glob("*.onnx")} | {p.stem for p in models_folder().glob("*.safetensors")}
    )


def find_model(name: str, prefer: str = ".onnx") -> Path:
    """Return the model file behind MODEL: a model file, a run directory (its best model), or a shipped model's name.

    Args:
        name: what the user typed.
        prefer: suffix of the file to take if a shipped model has both: ``".onnx"`` or ``".safetensors"``.

    Raises:
        InputError: it is none of these.

    Example:
        >>> find_model("lane").name
        'lane.onnx'
    """
    path = Path(os.path.expanduser(name))
    if (best := path / "model.safetensors").is_file():
        return best
    if path.is_dir() and name not in shipped_models():  # a folder called like the shipped model does not hide it
        if (path / "ensemble.yaml").is_file():
            raise InputError(f"{path} holds several models: give their ensemble file, {path / 'ensemble.yaml'}")
        raise InputError(f"{path} holds no model.safetensors: it is not a finished training run")
    if path.is_file():
        return path
    if name in shipped_models():
        preferred = models_folder() / f"{name}{prefer}"
        other = {".onnx": ".safetensors", ".safetensors": ".onnx"}[prefer]
        return preferred if preferred.is_file() else models_folder() / f"{name}{other}"
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no such model file: {name}")
    raise InputError(
        f"no model '{name}': give a file, a run directory or a shipped model{did_you_mean(name, shipped_models())}"
    )
