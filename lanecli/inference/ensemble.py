"""Ensemble files: YAML that names the members, their weights, and the rule that combines them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanecli.errors import InputError, reading
from lanecli.shipped import shipped_models

_MOST_BYTES = 1 << 20
_KEYS = ("members", "combine", "tta", "meta")
_MEMBER_KEYS = {"model", "weight", "learner"}


@dataclass(frozen=True)
class Ensemble:
    """The contents of an ensemble file.

    Attributes:
        models: the members' models: paths (relative ones from the file's own folder) or shipped names.
        combine: name of a registered combination rule, or None.
        weights: weights of the members, or None if the file gives none.
        tta: registered views.
        learners: number of the learner each member belongs to.
        meta: file of the meta-model, for a fitted rule.
    """

    models: tuple[str, ...]
    combine: str | None = None
    weights: tuple[float, ...] | None = None
    tta: str = "none"
    learners: tuple[int, ...] = ()
    meta: Path | None = None


def read_ensemble(path: Path) -> Ensemble:
    """Read an ensemble file such as::

        members:
          - {model: runs/a, weight: 2}
          - {model: runs/b.onnx, weight: 1}
        combine: weighted

    A member may also be a bare name. Raises InputError that names the file and what is wrong.
    """
    if not path.is_file():
        raise InputError(f"no such ensemble file: {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: an ensemble file is a few lines of YAML, not {path.stat().st_size} bytes")
    from lanecli.textfiles import read_yaml  # a model file alone needs no YAML

    data = read_yaml(path)
    with reading(path, "as an ensemble"):
        return _ensemble(data, path)


def _ensemble(data: Any, path: Path) -> Ensemble:
    if not isinstance(data, dict) or not isinstance(data.get("members"), list) or not data["members"]:
        raise InputError(f"{path}: an ensemble file must have a list 'members' of model files")
    if unknown := [str(key) for key in data if key not in _KEYS]:
        raise InputError(f"{path}: unknown key '{unknown[0]}'; there are: {', '.join(_KEYS)}")
    models, weights, learners = [], [], []
    for number, member in enumerate(data["members"], start=1):
        entry = {"model": member} if isinstance(member, str) else member
        weight = entry.get("weight") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or set(entry) - _MEMBER_KEYS:
            raise InputError(f"{path}: member {number} must be a model file, or {{model: FILE, weight: NUMBER}}")
        if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float)):
            raise InputError(f"{path}: member {number}: weight must be a number, not {weight!r}")
        models.append(_resolved(entry["model"], path.parent))
        weights.append(weight)
        learners.append(entry.get("learner", number - 1))
    if any(isinstance(one, bool) or not isinstance(one, int) for one in learners) or sorted(learners) != learners:
        raise InputError(f"{path}: learner must be a whole number, and a learner's members must be listed together")
    if any(weight is None for weight in weights) != all(weight is None for weight in weights):
        raise InputError(f"{path}: give every member a weight, or none")
    combine, tta, meta = data.get("combine"), data.get("tta", "none"), data.get("meta")
    if not isinstance(combine, str | None) or not isinstance(tta, str) or not isinstance(meta, str | None):
        raise InputError(f"{path}: combine and tta must be names, and meta a file")
    given = tuple(float(weight) for weight in weights if weight is not None)
    return Ensemble(
        tuple(models), combine, given or None, tta, tuple(learners), path.parent / meta if meta is not None else None
    )


def _resolved(model: str, folder: Path) -> str:
    path = folder / Path(model).expanduser()
    return model if model in shipped_models() and not path.exists() else str(path)
