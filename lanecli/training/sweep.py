"""One configuration, many variants: each is trained and scored alike, and the table says how they compare.

A sweep file is YAML with ``base`` (a configuration) and ``variants`` (name to a list of ``key=value`` overrides).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lanecli.config import Config, load_config
from lanecli.errors import InputError, LaneError
from lanecli.media.outputs import write_atomically
from lanecli.models.build import network_from_file
from lanecli.ownership import owned
from lanecli.training.checkpoint import has_state
from lanecli.training.device import pick_device
from lanecli.training.loop import Run, Watcher

COLUMNS = (
    *("variant", "lane_iou", "dice", "precision", "recall"),
    *("parameters", "milliseconds", "images_per_second", "seconds"),
)
_TIMED = 2.0  # seconds of a network, trained


class Sweep(BaseModel):
    """A sweep file."""

    model_config = ConfigDict(extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, list[str]]


def read_sweep(path: Path, overrides: list[str]) -> dict[str, Config]:
    """The configuration of each variant, in the file's order.

    Args:
        path: of the sweep file.
        overrides: ``key=value`` for all variants; they win over the file's base, the variant's own win over them.

    Raises:
        InputError: the file or a variant is not readable; the variant is named.
    """
    if not path.is_file():
        raise InputError(f"no such sweep file: {path}")
    try:
        sweep = Sweep.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    configs = {}
    for name, own in sweep.variants.items():
        if not name or name != Path(name).name:
            raise InputError(f"{path}: '{name}' cannot be the name of a variant's folder")
        try:
            configs[name] = load_config(tree=sweep.base, overrides=[*overrides, *own])
        except InputError as error:
            raise InputError(f"{path}, variant '{name}': {error}") from error
    return configs


def run_sweep(
    configs: dict[str, Config],
    out: Path,
    watch: Callable[[str], Watcher],
    *,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Train every variant to the end; finished ones are taken from disk, an interrupted one is resumed.

    Args:
        configs: from :func:`read_sweep`.
        out: each variant's run is ``out/NAME``; ``table.csv`` and ``table.md`` are rewritten after each.
        watch: who is told how the variant of this name goes.
        device: as for training.

    Returns:
        A row of :data:`COLUMNS` per variant. Scores are those after the last epoch, not the best one, so that no
        variant is favoured by choosing its epoch on the pictures it is scored on. ``milliseconds`` are those of one
        picture through the network in float32 on `device`; ``images_per_second`` those of the whole training.

    Raises:
        InputError: a folder holds a run of another configuration, or another process writes into it.
    """
    rows = []
    with owned(out):
        for name, config in configs.items():
            with owned(out / name):
                rows.append(_one(name, config, out / name, watch, device))
            _write_table(rows, out)
    return rows


def _one(name: str, config: Config, folder: Path, watch: Callable[[str], Watcher], device: str) -> dict[str, Any]:
    result = folder / "result.json"
    written = folder / "config.yaml"
    if written.is_file() and load_config(written) != config:
        raise InputError(f"{folder} holds a run of another configuration; name a new --out")
    if result.is_file():
        row: dict[str, Any] = json.loads(result.read_text())
        if "failed" not in row and row.get("milliseconds") is None:  # from a version that took no time
            row["milliseconds"] = _milliseconds(folder, config, device)
            write_atomically(result, json.dumps(row).encode())
        return row
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(written, config.to_yaml().encode())
    run = Run(config, folder, device=device, resume=has_state(folder / "last"))
    started = time.perf_counter()
    before = run.step
    try:
        run.train(watch(name))
    except LaneError as error:  # a variant that diverges is a result too
        failure = {"variant": name, "failed": str(error)}
        write_atomically(result, json.dumps(failure).encode())
        return failure
    seconds = time.perf_counter() - started
    last = run.log.rows[-1]
    pictures = (run.step - before) * config.train.batch * config.train.accumulate
    row = {
        "variant": name,
        "lane_iou": last["val/miou_foreground"],
        **{key: last[f"val/{key}"] for key in ("dice", "precision", "recall")},
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "milliseconds": _milliseconds(folder, config, device),
        "images_per_second": round(pictures / seconds, 2),
        "seconds": round(seconds, 1),
    }
    write_atomically(result, json.dumps(row).encode())
    shutil.rmtree(folder / "last", ignore_errors=True)  # gigabytes for the large ones, and nothing left to resume
    return row


def _milliseconds(folder: Path, config: Config, device: str) -> float:
    """The median time of one picture through the trained network."""
    place = pick_device(device)
    network, _ = network_from_file(folder / "model.safetensors")
    network = network.to(place).to(memory_format=torch.channels_last).eval()
    width, height = config.data.geometry.size
    picture = torch.zeros((1, height, width, 3), dtype=torch.uint8, device=place)
    times: list[float] = []
    with torch.inference_mode():
        network.logits(picture)  # the first is for warming up
        while len(times) < 5 or sum(times) < _TIMED:
            started = time.perf_counter()
            network.logits(picture)
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 2)


def _write_table(rows: list[dict[str, Any]], out: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*COLUMNS, "failed"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out / "table.csv", text.getvalue().encode())
    write_atomically(out / "table.md", "".join(line + "\n" for line in table_lines(rows)).encode())


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table in Markdown, best lane IoU first."""
    names = ("variant", "lane IoU", "Dice", "precision", "recall", "parameters (M)", "ms", "images/s")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]

    def score(row: dict[str, Any]) -> float:
        return -float(row.get("lane_iou") or 0)

    for row in sorted(rows, key=score):
        if "failed" in row:
            lines.append(f"| {row['variant']} | failed: {row['failed']} {'| ' * (len(names) - 2)}|")
            continue
        values = [f"{float(row[k] or 0):.3f}" for k in ("lane_iou", "dice", "precision", "recall")]
        values += [f"{row['parameters'] / 1e6:.2f}", f"{row['milliseconds']:.1f}", f"{row['images_per_second']:.1f}"]
        lines.append(f"| {row['variant']} | {' | '.join(values)} |")
    return lines
