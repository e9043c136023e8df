"""The folder of a run: a new one, or that of a run to resume, whose configuration must be the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.config import Config, load_config
from lanecli.errors import InputError


def fresh_folder(base: Path) -> Path:
    """Create `base`, or the first of `base-2`, `base-3` … that does not exist yet, and return it."""
    if base.name in ("", ".."):
        raise InputError(f"--out {base} is an existing folder: name a new one, such as {base / 'train'}")
    number, folder = 1, base
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        except OSError as error:
            raise InputError(f"cannot create the run folder {folder}: {error.strerror}") from error


def begin_folder(folder: Path, config: Config) -> None:
    """Write the configuration before anything else, so that a run can be resumed whenever it is killed."""
    atomic.write(folder / "config.yaml", config.to_yaml())


def is_new(folder: Path, config: Config) -> bool:
    """Whether no run was begun in `folder`. Raises InputError if one of another configuration was."""
    written = folder / "config.yaml"
    if written.is_file() and load_config(written) != config:
        raise InputError(f"{folder} holds a run of another configuration; name a new --out")
    return not written.is_file()


def resume_config(folder: Path) -> Config:
    """Read the configuration with which a run was started. Raises InputError if `folder` is not a run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is not a training run: it has no config.yaml")


_ANYTIME = ("data.workers", "train.save_steps", "train.sample_epochs")


@contextlib.contextmanager
def damaged_state_errors(folder: Path) -> Iterator[None]:
    """Context that turns the errors of restoring a damaged state into an InputError that names it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise InputError(
            f"{folder / 'last'}: the training state is damaged ({what}); restore a copy of it, or start a new run "
            f"with model.weights={folder}"
        ) from error


def check_resumed(
    state: dict[str, Any], config: Config, processes: int, folder: Path, epoch_ends: Sequence[int]
) -> None:
    """Check that a state belongs to the run.

    Keys that do not influence the result may differ: the number of workers, and how often the state is saved and
    samples are drawn.

    Args:
        state: the saved state.
        config: the current configuration.
        processes: the current number of processes.
        folder: the folder of the run.
        epoch_ends: the step at which each epoch ends.

    Raises:
        InputError: the state belongs to another configuration, or to another number of processes.
        ValueError: step and epoch of the state do not fit together.
    """
    before, now = _flat(state["config"]), _flat(config.model_dump(mode="json"))
    for key, value in _flat(Config().model_dump(mode="json")).items():
        if key in now:
            before.setdefault(key, value)  # keys of later versions had their defaults
    changed = [key for key in {**before, **now} if key not in _ANYTIME and before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise InputError(
            f"{folder}: the configuration changed since the state was saved ({key} was {before.get(key)}, is "
            f"{now.get(key)}): restore it in {folder / 'config.yaml'}, or start a new run with model.weights={folder}"
        )
    trained = len(state["random"])
    if trained != processes:
        raise InputError(
            f"{folder} was trained with {trained} processes, but now there are {processes}: continue with "
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
