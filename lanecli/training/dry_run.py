"""The dry run: it checks everything that training needs and takes a step of each stage, but writes nothing."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lanecli.config import Config
from lanecli.data.dataset import PreparedPictures
from lanecli.training.failures import DivergedError, with_explained_errors
from lanecli.training.loop import Run
from lanecli.training.outline import outline
from lanecli.training.stage import Stage

_READ = 200  # pictures that are read in full; the others are only checked to exist


def try_run(config: Config, device: str) -> tuple[dict[str, Any], list[str]]:
    """Check data, labels, memory and one step of each stage.

    Args:
        config: the configuration to check.
        device: as for training.

    Returns:
        What training would do, as a JSON document and as lines of text.

    Raises:
        InputError: something is wrong with the configuration or the data; the message names a missing or bad file.
        LaneError: there is not enough memory, or the loss is not finite.
    """
    with tempfile.TemporaryDirectory(prefix="lanecli-dry-run-") as folder:
        run = Run(config, Path(folder), device=device, writes=False)
        collections = {id(each): each for stage in run.stages for each in stage.collections}  # stages often share them
        checked = [_check(collection) for collection in collections.values()]
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(run.device)
        steps = [_rehearse(run, stage) for stage in run.stages]
    memory, kind = _memory(run.device)
    stages = [
        {
            "size": list(stage.config.data.geometry.size),
            "loss": "+".join(term.name for term in stage.loss_terms),
            "samples": stage.steps_per_epoch * stage.config.train.batch * stage.config.train.accumulate,
            "validation": sum(len(part) for part in stage.validation),
            "epochs": stage.config.train.epochs,
            "steps": stage.steps,
            "first_loss": loss,
            "seconds_a_step": round(seconds, 3),
        }
        for stage, (loss, seconds) in zip(run.stages, steps, strict=True)
    ]
    document = {
        "model": config.model.name,
        "classes": list(run.stages[0].label_map.names),
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "device": str(run.device),
        "precision": str(run.dtype).removeprefix("torch."),
        "stages": stages,
        "steps": run.steps,
        "files": sum(files for files, _ in checked),
        "read": sum(read for _, read in checked),
        "seconds": round(sum(stage.steps * seconds for stage, (_, seconds) in zip(run.stages, steps, strict=True)), 1),
        "memory_bytes": memory,
    }
    return document, _lines(document, kind, [*outline(run, data=False), *run.chosen])


def _lines(document: dict[str, Any], memory_kind: str, outlined: list[str]) -> list[str]:
    lines = [
        *outlined,
        f"data:    {document['files']} pairs are there, {document['read']} of them read in full"
        if document["files"]
        else "data:    procedural scenes, rendered while training",
    ]
    for number, stage in enumerate(document["stages"], start=1):
        width, height = stage["size"]
        lines.append(
            f"stage {number}: {stage['epochs']} epochs of {stage['samples']} pictures at {width}x{height}, loss "
            f"{stage['loss']}, validated on {stage['validation']} pictures: {stage['steps']} steps of "
            f"{stage['seconds_a_step']:.2f} s; the first one's loss is {stage['first_loss']:.4f}"
        )
    lines += [
        f"memory:  {document['memory_bytes'] / 2**30:.2f} GiB {memory_kind}",
        f"in all:  {document['steps']} steps, {_duration(document['seconds'])}; reading and validation come on top",
        "nothing was written; leave --dry-run out to train",
    ]
    return lines


def _rehearse(run: Run, stage: Stage) -> tuple[float, float]:
    """Take the first step of `stage` twice; return the loss before it, and the seconds of the second time."""
    with with_explained_errors(stage.config, run.folder):
        run.step, run.epoch = stage.first_step, stage.first_epoch
        run.enter(stage)
        run.network.train()
        with contextlib.closing(run.training_batches()) as read:
            parts = [next(read) for _ in range(stage.config.train.accumulate)]
        losses = []
        for _ in range(2):  # the first time builds kernels and the state of the optimiser
            since = time.perf_counter()
            losses.append(float(run.take_step(parts)))
            run.step -= 1
        seconds = time.perf_counter() - since
    if not math.isfinite(losses[1]):
        raise DivergedError(f"the loss is {losses[1]} after one step: lower optim.lr")
    return losses[0], seconds


def _check(collection: Any) -> tuple[int, int]:
    """Read samples of a collection, evenly spaced. That all files exist was checked when the manifest was read.

    Returns:
        The number of samples of the collection, and how many of them were read.

    Raises:
        InputError: a sample is bad.
    """
    if not isinstance(collection, PreparedPictures):
        collection.load(0)
        return 0, 0
    step = max(1, -(-len(collection) // _READ))
    for index in range(0, len(collection), step):
        collection.load(index)
    return len(collection), len(range(0, len(collection), step))


def _memory(device: torch.device) -> tuple[int, str]:
    """Return the peak memory in bytes, and words that say which memory it is."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "of the GPU"
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024, "of memory, the loader's processes apart"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
