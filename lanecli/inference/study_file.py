"""What every study does with files: it reads its YAML, and keeps results so that it can be continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.errors import InputError, did_you_mean
from lanecli.overrides import Loader
from lanecli.textfiles import read_yaml


def read_mapping(path: Path, keys: Sequence[str], needed: Sequence[str]) -> dict[str, Any]:
    """Read a study's YAML file.

    Args:
        path: the file.
        keys: the keys it may have.
        needed: those of them that it must have.

    Raises:
        InputError: it is not YAML or not a mapping, or a key is unknown or missing.
    """
    data = read_yaml(path, Loader)
    if not isinstance(data, dict):
        raise InputError(f"{path}: a study must be a mapping with the keys {', '.join(keys)}")
    refuse_unknown(data, keys, str(path))
    for key in needed:
        if key not in data:
            raise InputError(f"{path}: has no '{key}'")
    return data


def refuse_unknown(data: Any, known: Sequence[str], where: str) -> None:
    """Raise InputError unless `data` is a mapping without other keys than `known`."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a mapping with the keys {', '.join(known)}")
    for key in data:
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}'{did_you_mean(str(key), known)}")


def digest(file: Path) -> str:
    """Return 16 hex digits for the content of a file, with which :func:`earlier` tells whether it changed."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def earlier(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the earlier result of the same question, or None."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("asked") == asked else None


def keep(path: Path, asked: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Write a result with the question it answers, for :func:`earlier`, and return both together."""
    whole = {"asked": dict(asked), **result}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, json.dumps(whole, ensure_ascii=False, indent=1))
    return whole
