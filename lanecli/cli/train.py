"""``lanecli train``."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, progress_bar

if TYPE_CHECKING:
    from lanecli.config import Config


def train(
    config: Annotated[
        list[str] | None, typer.Argument(metavar="[CONFIG] [KEY=VALUE]...", help="A YAML file, then dotted overrides.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="A prepared dataset; several are trained on together.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder; a number is added when it exists.")] = Path("runs/train"),
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check data, labels, memory and one step; write nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train a model; with nothing given, a small one on procedural road scenes.

    On several GPUs: torchrun --nproc-per-node 4 -m lanecli train ...
    """
    # passive waiting keeps torch's threads from spinning against the loader's (measured up to 18 times slower)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lanecli.errors import InputError

    if resume is not None:
        if config or data or dry_run:
            raise InputError(
                "--resume goes on with the run's own configuration; leave CONFIG, KEY=VALUE, --data and --dry-run out"
            )
        _train(None, resume, device, json)
        return
    settings = _settings(config or [], data or [])
    if dry_run:
        from lanecli.training.dry_run import try_run

        document, lines = try_run(settings, device)
        emit(document, lines, json)
        return
    _train(settings, out, device, json)


def _settings(words: list[str], data: list[Path]) -> Config:
    """The configuration of a new run."""
    from lanecli.config import load_config
    from lanecli.errors import InputError
    from lanecli.shipped import configs_folder

    files = [w for w in words if "=" not in w]
    if len(files) > 1:
        raise InputError(f"one CONFIG at most; got {' and '.join(files)}")
    overrides = [w for w in words if "=" in w]
    path = Path(files[0]) if files else configs_folder() / "default.yaml"
    if not path.is_file() and (configs_folder() / f"{path.name}.yaml").is_file():
        path = configs_folder() / f"{path.name}.yaml"
    named = {w.partition("=")[0].strip() for w in overrides}
    if not files and "model.name" in named and "model.encoder" not in named:
        overrides.append("model.encoder=null")  # the default file's encoder goes with its model; this one has its own
    if data:
        overrides.append(f"data.root={json_module.dumps([str(folder) for folder in data])}")
    settings = load_config(path, overrides)
    if not files and not settings.data.root:
        settings = load_config(configs_folder() / "synthetic.yaml", overrides)
    return settings


def _train(settings: Config | None, folder: Path, device: str, json: bool) -> None:
    """Start a run with `settings` in a fresh folder named like `folder`, or without any go on with the run there."""
    from lanecli.interruption import Interrupted
    from lanecli.ownership import owned
    from lanecli.training.processes import join
    from lanecli.training.loop import Run
    from lanecli.training.run_folder import fresh_folder, resume_config

    processes, _ = join(device)
    config = resume_config(folder) if settings is None else settings
    if settings is not None and processes.main:
        folder = fresh_folder(folder)
    folder = Path(processes.agree(str(folder)))
    with owned(folder) if processes.main else contextlib.nullcontext():
        if settings is None:
            run = Run(config, folder, device=device, resume=True)
        else:
            if processes.main:
                # before anything else: a run killed at any moment can be resumed
                (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            try:
                run = Run(config, folder, device=device)
            except BaseException:
                if processes.main:
                    _discard(folder)
                raise
        if not processes.main:
            run.train(SilentWatcher())
            return
        with progress_bar(*progress_columns()) as bar:
            watcher = TerminalWatcher(bar)
            try:
                run.train(watcher)
            except KeyboardInterrupt as error:
                raise Interrupted(f"go on with: lanecli train --resume {run.folder}") from error
    _conclude(run, time.perf_counter() - watcher.started, json)


def _discard(folder: Path) -> None:
    """Remove the folder of a run that could not begin."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _conclude(run: Any, seconds: float, json: bool) -> None:
    document: dict[str, Any] = {
        "run": str(run.folder),
        "model": str(run.folder / "model.safetensors"),
        "steps": run.steps,
        "best": run.best,
        "epochs": run.log.rows,
    }
    score = run.stages[-1].config.train.best
    best = "" if run.best is None else f", best {SCORES.get(score, score)} {run.best:.4f}"
    lines = [
        f"trained {run.steps} steps in {seconds:.0f} s{best}",
        f"model:  {run.folder / 'model.safetensors'}",
        f"next:   lanecli predict VIDEO --model {run.folder}",
    ]
    emit(document, lines, json)


SCORES = {"miou_foreground": "foreground IoU", "miou": "mIoU", "dice": "foreground Dice"}
"""Scores under the names people say."""


def progress_columns() -> tuple[Any, ...]:
    """What the training bar shows besides rich's own."""
    from rich.progress import TextColumn

    return (TextColumn("loss {task.fields[loss]:.4f}{task.fields[score]}  {task.fields[speed]:.1f} images/s"),)


class TerminalWatcher:
    """Progress on stderr: a bar on a terminal, a line per epoch anywhere."""

    def __init__(self, bar: Any) -> None:
        """Args: bar: from `progress_bar` with `progress_columns`."""
        self.bar, self.started = bar, time.perf_counter()
        self.task: Any = None
        self.loss = self.speed = 0.0
        self.score = ""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Smooth and show."""
        first = self.task is None
        if first:
            self.task = self.bar.add_task("training", total=steps, completed=step - 1, loss=loss, score="", speed=0.0)
        self.loss = loss if first else 0.95 * self.loss + 0.05 * loss
        self.speed = images_per_second if first else 0.9 * self.speed + 0.1 * images_per_second
        self.bar.update(self.task, completed=step, loss=self.loss, score=self.score, speed=self.speed)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """One line."""
        score, mean = row.get("val/miou_foreground"), row.get("val/miou")
        shown = "" if score is None else f"  val IoU {score:.4f}  mIoU {mean:.4f}{' (best)' if best else ''}"
        self.score = "" if mean is None else f"  mIoU {mean:.4f}"
        elapsed = time.perf_counter() - self.started
        line = f"epoch {row['epoch']}  step {row['step']}  loss {row['train/loss']:.4f}{shown}  {elapsed:.0f} s"
        self.bar.console.print(line, highlight=False)


class SilentWatcher:
    """For processes beside the main one."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """Nothing."""
