"""The folder of a run: a fresh one, or that of a run to go on with, which must be the same run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.config import Config, load_config
from lanecli.errors import InputError


def fresh_folder(base: Path) -> Path:
    """`base`, or `base-2`, `base-3` …: the first that does not exist yet; it is made."""
    if base.name in ("", ".."):
        raise InputError(f"--out {base} is a folder that is there: name a new one, such as {base / 'train'}")
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


def begin_folder(folder: Path, config: Config) -> None:
    """Write down what is trained before anything else is done: a run killed at any moment can be resumed."""
    atomic.write(folder / "config.yaml", config.to_yaml())


def resume_config(folder: Path) -> Config:
    """The configuration a run was started with. Raises InputError when `folder` is no run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is no training run: it has no config.yaml")


_ANYTIME = ("data.workers", "train.save_steps", "train.sample_epochs")


@contextlib.contextmanager
def a_whole_state(folder: Path) -> Iterator[None]:
    """Turn what a damaged state raises when it is taken up into an InputError that names it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise InputError(
            f"{folder / 'last'}: the training state is damaged ({what}); put back a copy of it, or start a new run "
            f"with model.weights={folder}"
        ) from error


def check_resumed(
    state: dict[str, Any], config: Config, processes: int, folder: Path, epoch_ends: Sequence[int]
) -> None:
    """Raise InputError when `state` belongs to another configuration, or to another number of processes.

    Keys that change no result may differ: the loader's processes, how often the state is saved and samples are drawn.

    Args:
        state: that was saved.
        config: of the run now.
        processes: that train now.
        folder: of the run.
        epoch_ends: the step each epoch ends at.

    Raises:
        ValueError: step and epoch of the state do not fit each other.
    """
    before, now = _flat(state["config"]), _flat(config.model_dump(mode="json"))
    for key, value in _flat(Config().model_dump(mode="json")).items():
        if key in now:
            before.setdefault(key, value)  # a key that came with a later version stood at its default
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

    step, epoch = state["step"], state["epoch"]
    if not (isinstance(step, int) and isinstance(epoch, int) and 0 <= epoch <= len(epoch_ends)):
        raise ValueError(f"step {step!r}, epoch {epoch!r}")
    first = epoch_ends[epoch - 1] if epoch else 0
    last = epoch_ends[min(epoch, len(epoch_ends) - 1)]
    if not first <= step <= last:
        raise ValueError(f"step {step} is not in epoch {epoch + 1}")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat
