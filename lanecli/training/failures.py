"""Failures in the middle of training, as one line that says what was saved and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError

from lanecli.config import Config
from lanecli.errors import LaneError
from lanecli.training.checkpoint import has_state


class DivergedError(LaneError):
    """The loss or a weight is infinite or NaN: training with this configuration again would end in the same way."""


@contextlib.contextmanager
def with_explained_errors(config: Config, folder: Path) -> Iterator[None]:
    """Context that turns running out of memory or disk space into a LaneError; other errors are not changed.

    Args:
        config: the configuration of the current stage.
        folder: the folder of the run.
    """
    try:
        yield
    except LaneError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LaneError(_memory(config, folder)) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch's allocator on a CPU
            raise
        raise LaneError(_memory(config, folder)) from error
    except (OSError, SafetensorError) as error:
        text = str(error).splitlines()[0]
        raise LaneError(f"{folder} cannot be written ({text}): free some space; {how_to_resume(folder)}") from error


def how_to_resume(folder: Path) -> str:
    """Say whether an interrupted run can be resumed, and how."""
    if has_state(folder / "last"):
        return f"the last saved state is complete, continue with: lanecli train --resume {folder}"
    return "no state was saved yet"


def _memory(config: Config, folder: Path) -> str:
    size = "x".join(map(str, config.data.geometry.size))
    hint = "" if config.train.checkpoint_gradients else ", or set train.checkpoint_gradients=true"
    return (
        f"out of memory with {config.train.batch} pictures of {size}: lower train.batch and raise train.accumulate by "
        f"the same factor{hint}; {how_to_resume(folder)}"
    )
