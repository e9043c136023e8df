"""The state from which a run is resumed: a folder of safetensors and JSON (no pickle), always replaced as a whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lanecli.errors import InputError

_TENSOR = "tensor:"


def _flatten(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return `value` in a form for JSON; tensors go to `tensors`, by their path."""
    if isinstance(value, torch.Tensor):
        while path in tensors:  # 0 and "0", or "a.b" and b in a, are different keys
            path += "'"
        # clone: safetensors refuses tensors that share memory
        tensors[path] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return _TENSOR + path
    if isinstance(value, dict):
        return {"keys": [[type(k).__name__, k, _flatten(v, f"{path}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_flatten(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]
    if isinstance(value, str) and value.startswith(_TENSOR):
        return {"text": value}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{path}: a {type(value).__name__} cannot be stored")


def _restore(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, str) and value.startswith(_TENSOR):
        return tensors[value[len(_TENSOR) :]]
    if isinstance(value, dict) and "text" in value:
        return value["text"]
    if isinstance(value, dict):
        return {int(k) if kind == "int" else k: _restore(v, tensors) for kind, k, v in value["keys"]}
    if isinstance(value, list):
        return [_restore(v, tensors) for v in value]
    return value


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors, numbers and strings to `folder`.

    The new state is complete on disk before the old one is deleted, so that :func:`load_state` always finds one.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    tensors: dict[str, torch.Tensor] = {}
    document = _flatten(state, "state", tensors)
    try:
        _write(fresh, tensors, document)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)  # half a state would take space on a full disk
        raise
    if folder.exists():  # else a save was interrupted between the two renames, and `old` is the only state
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(fresh: Path, tensors: dict[str, torch.Tensor], document: Any) -> None:
    fresh.mkdir(parents=True)
    save_file(tensors, fresh / "state.safetensors")
    with (fresh / "state.safetensors").open("r+b") as file:
        os.fsync(file.fileno())
    with (fresh / "state.json").open("w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def has_state(folder: Path) -> bool:
    """Whether :func:`load_state` would find a state."""
    return folder.exists() or folder.with_name(folder.name + ".old").exists()


def load_state(folder: Path) -> dict[str, Any]:
    """Read what :func:`save_state` wrote. Raises InputError if there is no state, or it is not readable."""
    old = folder.with_name(folder.name + ".old")
    source = folder if folder.exists() or not old.exists() else old
    if not (source / "state.json").is_file():
        raise InputError(f"{folder} holds no training state: nothing to resume")
    try:
        document = json.loads((source / "state.json").read_text())
        state = _restore(document, load_file(source / "state.safetensors"))
        if not isinstance(state, dict):
            raise TypeError(f"it is a {type(state).__name__}")
        return state
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, SafetensorError) as error:
        raise InputError(f"{source}: the training state is not readable ({type(error).__name__}: {error})") from error
