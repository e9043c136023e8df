"""A sweep: variants of one configuration are trained and scored in the same way, and compared in a table."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lanecli import atomic
from lanecli.config import Config
from lanecli.errors import InputError, LaneError
from lanecli.models.build import network_from_file
from lanecli.ownership import owned
from lanecli.training.checkpoint import has_state
from lanecli.training.choice import choose
from lanecli.training.device import pick_device
from lanecli.training.failures import DivergedError
from lanecli.training.loop import Run
from lanecli.training.run_folder import begin_folder, is_new
from lanecli.training.sweep_file import Sweep
from lanecli.training.sweep_sets import score_on_sets
from lanecli.training.sweep_table import summary, write_tables
from lanecli.training.watcher import Watcher

_TIMED = 2.0  # seconds for which each trained network is timed


def run_sweep(
    sweep: Sweep,
    out: Path,
    watch: Callable[[str, Run], Watcher],
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _line: None,
) -> list[dict[str, Any]]:
    """Train every variant to the end. Results of finished variants are read from disk, an interrupted one is resumed.

    Args:
        sweep: the result of :func:`lanecli.training.sweep_file.read_sweep`.
        out: the folder of the sweep. The run of a variant is in ``out/NAME`` or ``out/NAME/seed-N``; the tables are
            written again after each run.
        watch: returns the watcher of a run, by its name.
        device: as for training.
        say: called with a line when a run begins.

    Returns:
        A row for each variant, from :func:`lanecli.training.sweep_table.summary`. Scores are those after the last
        epoch, not those of the best one, so that no variant gains from a choice of epoch on the pictures that score it;
        the sweep's own sets score the model that the run has kept (:func:`lanecli.training.sweep_sets.score_on_sets`).
        ``milliseconds`` is the time of one picture through the network in float32 on `device`, measured when all are
        trained and nothing else runs here; ``images_per_second`` is that of the whole training. ``failed`` says why a
        variant has no scores; it is tried again the next time, unless its loss was not finite.

    Raises:
        InputError: a folder holds a run of another configuration, another process writes to it, or all variants fail to
            be built for the same reason.
    """
    runs = [
        (variant.name, config, out / variant.name / (f"seed-{config.train.seed}" if len(variant.configs) > 1 else ""))
        for variant in sweep.variants.values()
        for config in variant.configs
    ]
    rows_by_name: dict[str, list[dict[str, Any]]] = {}
    clock = _Clock(len(runs))
    with owned(out):
        for number, (name, config, folder) in enumerate(runs, start=1):
            seed = f", seed {config.train.seed}" if folder.name != name else ""
            say(f"{number}/{len(runs)} {name}{seed}{clock.remaining(number)}")
            since = time.perf_counter()
            row = _train(name, config, folder, watch, device)
            clock.add(time.perf_counter() - since if row.pop("trained", False) else None)
            if "failed" in row:
                say(f"  failed: {row['failed']}")
            else:
                row |= score_on_sets(folder, sweep.sets, device=device, say=say)
            rows_by_name.setdefault(name, []).append(row)
            write_tables(_rows(rows_by_name), out)
        _refuse_if_none_was_built(rows_by_name)
        if sweep.speeds:
            _time_all(runs, rows_by_name, device, say)
            write_tables(_rows(rows_by_name), out)
    return _rows(rows_by_name)


def _rows(rows_by_name: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [summary(name, rows) for name, rows in rows_by_name.items()]


def _refuse_if_none_was_built(rows_by_name: dict[str, list[dict[str, Any]]]) -> None:
    reasons = {row.get("unbuilt") for rows in rows_by_name.values() for row in rows}
    if len(reasons) == 1 and (reason := reasons.pop()) is not None:
        raise InputError(reason)
    for rows in rows_by_name.values():
        for row in rows:
            row.pop("unbuilt", None)


def _train(
    name: str, config: Config, folder: Path, watch: Callable[[str, Run], Watcher], device: str
) -> dict[str, Any]:
    """Return the row of one run, after training it if there is none yet."""
    result = folder / "result.json"
    try:
        config, _ = choose(config)
    except InputError as error:
        return {"variant": name, "failed": str(error), "unbuilt": str(error)}
    fresh = is_new(folder, config)
    if (row := _result(result)) is not None:
        shutil.rmtree(folder / "last", ignore_errors=True)
        return row
    with owned(folder):
        try:
            if fresh:
                begin_folder(folder, config)
            run = Run(config, folder, device=device, resume=has_state(folder / "last"))
        except LaneError as error:
            if fresh:
                _clear(folder)  # once its configuration is corrected, it is another one
            return {"variant": name, "failed": str(error)} | (
                {"unbuilt": str(error)} if isinstance(error, InputError) else {}
            )
        started, before = time.perf_counter(), run.step
        try:
            run.train(watch(name, run))
        except DivergedError as error:  # this is a result, too
            failure = {"variant": name, "failed": str(error), "final": True}
            atomic.write(result, json.dumps(failure))
            return failure
        except LaneError as error:  # of the machine, not of the variant
            return {"variant": name, "failed": str(error)}
        row = _scored(name, run, time.perf_counter() - started, run.step - before)
        atomic.write(result, json.dumps(row))
        shutil.rmtree(folder / "last", ignore_errors=True)  # gigabytes for large networks, and nothing to resume
    return {**row, "trained": True}


def _result(path: Path) -> dict[str, Any] | None:
    """Read an earlier result; None for a failure that is tried again, or a file that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        row = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(row, dict) and ("lane_iou" in row or row.get("final") is True):
            return row
    return None


def _clear(folder: Path) -> None:
    """Delete what a run has written to a folder, except the lock."""
    for name in ("config.yaml", "log.jsonl"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def _scored(name: str, run: Run, seconds: float, steps: int) -> dict[str, Any]:
    last, config = run.log.rows[-1], run.config
    pictures = steps * config.train.batch * config.train.accumulate

    def score(key: str) -> float | None:
        value = last.get(f"val/{key}")
        return None if value in (None, "") else float(value)

    return {
        "variant": name,
        "seed": config.train.seed,
        "lane_iou": score("miou_foreground"),
        **{key: score(key) for key in ("miou", "dice", "precision", "recall")},
        **{f"iou/{label}": score(f"iou/{label}") for label in run.stages[-1].label_map.names},
        "parameters": sum(p.numel() for p in run.network.parameters()),
        # a run that was finished before says nothing about its speed
        "images_per_second": round(pictures / seconds, 2) if steps else None,
        "seconds": round(seconds, 1) if steps else None,
    }


def _time_all(
    runs: list[tuple[str, Config, Path]],
    rows_by_name: dict[str, list[dict[str, Any]]],
    device: str,
    say: Callable[[str], None],
) -> None:
    """Time every network that has not been timed yet, one after the other."""
    rows = [row for name in rows_by_name for row in rows_by_name[name]]
    waiting = [
        (config, folder, row)
        for (_, config, folder), row in zip(runs, rows, strict=True)
        if "failed" not in row and row.get("milliseconds") is None
    ]
    if waiting:
        say(f"timing {len(waiting)} network{'' if len(waiting) == 1 else 's'}")
    for config, folder, row in waiting:
        row["milliseconds"] = _milliseconds(folder, config.each_stage[-1], device)
        atomic.write(folder / "result.json", json.dumps(row))


def _milliseconds(folder: Path, config: Config, device: str) -> float:
    """Return the median time of one picture through the trained network, in milliseconds."""
    torch_device = pick_device(device)
    network, _ = network_from_file(folder / "model.safetensors")
    network = network.to(torch_device).to(memory_format=torch.channels_last).eval()
    width, height = config.data.geometry.size
    picture = torch.zeros((1, height, width, 3), dtype=torch.uint8, device=torch_device)
    times: list[float] = []
    with torch.inference_mode():
        network.logits(picture)  # warms up
        while len(times) < 5 or sum(times) < _TIMED:
            started = time.perf_counter()
            network.logits(picture)
            if torch_device.type == "cuda":
                torch.cuda.synchronize(torch_device)
            times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 2)


class _Clock:
    """Estimates how long the rest of a sweep will take, from the time of its runs so far."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.seconds: list[float] = []

    def add(self, seconds: float | None) -> None:
        """Add the seconds of a run; None for one that was not trained now."""
        if seconds is not None:
            self.seconds.append(seconds)

    def remaining(self, number: int) -> str:
        """Say how much time remains before run `number` (from 1) begins; empty until a run has been trained."""
        if not self.seconds:
            return ""
        minutes = statistics.fmean(self.seconds) * (self.runs - number + 1) / 60
        if minutes < 1:
            return ", less than a minute left"
        return f", about {minutes:.0f} min left" if minutes < 90 else f", about {minutes / 60:.1f} h left"
