"""The folder of a run: a fresh one, or that of a run to go on with, which must be the same run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from lanecli.config import Config, load_config
from lanecli.errors import InputError


def fresh_folder(base: Path) -> Path:
    """`base`, or `base-2`, `base-3` …: the first that does not exist yet; it is made."""
    number, folder = 1, base
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        except OSError as error:
            raise InputError(f"cannot make the run folder {folder}: {error.strerror}") from error


def resume_config(folder: Path) -> Config:
    """The configuration a run was started with. Raises InputError when `folder` is no run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is no training run: it has no config.yaml")


_ANYTIME = ("data.workers", "train.save_steps", "train.sample_epochs")


def check_resumed(state: dict[str, Any], config: Config, processes: int, folder: Path) -> None:
    """Raise InputError when `state` belongs to another configuration, or to another number of processes.

    Keys that change no result may differ: the loader's processes, how often the state is saved and samples are drawn.
    """
    before, now = _flat(state["config"]), _flat(config.model_dump(mode="json"))
    changed = [key for key in {**before, **now} if key not in _ANYTIME and before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise InputError(
            f"{folder}: the configuration changed since the state was saved ({key} was {before.get(key)}, is "
            f"{now.get(key)}): put it back in {folder / 'config.yaml'}, or start a new run with model.weights={folder}"
        )
    trained = len(state["random"])
    if trained != processes:
        raise InputError(
            f"{folder} was trained by {trained} processes, this is {processes}: go on with "
            f"torchrun --nproc-per-node {trained} -m lanecli train --resume {folder}"
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat
