"""The provenance in a model file: configuration, scores and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from lanecli import __version__
from lanecli.config import Config

_PATHS = ("model", "weights", "encoder_weights", "teacher", "weigh_errors_of", "root", "unlabelled")


def _without_folders(value: Any, key: str = "") -> Any:
    """Return a configuration with only the last part of each path, also in stages and arguments of losses."""
    if isinstance(value, dict):
        return {name: _without_folders(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner, key) for inner in value]
    return Path(value).name if key in _PATHS and isinstance(value, str) else value


def provenance(config: Config, step: int, scores: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance for a model file. Its configuration has names of files and folders, without paths."""
    settings = _without_folders(config.model_dump(mode="json"))
    return {"step": step, "scores": scores, "config": settings, "versions": versions()}


def versions() -> dict[str, Any]:
    """Return the versions of the software of the run, and the number of cores."""
    import numpy
    import torch

    return {
        "lanecli": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Return the git commit of the source, with a + if files are changed; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if changes.strip() else "")
