"""``lanecli train``."""

from __future__ import annotations

import bisect
import contextlib
import json as json_module
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, note, progress_bar

if TYPE_CHECKING:
    from lanecli.config import Config
    from lanecli.training.loop import Run


def train(
    context: typer.Context,
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
    settings = _settings(config or [], data or [], options(context))
    if dry_run:
        from lanecli.training.dry_run import try_run

        document, lines = try_run(settings, device)
        emit(document, lines, json)
        return
    _train(settings, out, device, json)


def _settings(words: list[str], data: list[Path], known: Sequence[str] = ()) -> Config:
    """The configuration of a new run."""
    from lanecli.config import load_config
    from lanecli.errors import InputError, nearest
    from lanecli.overrides import split_words
    from lanecli.shipped import configs_folder, find_config, ready_configs

    files, overrides = split_words(words, known)
    if len(files) > 1:
        raise InputError(f"one CONFIG at most, then KEY=VALUE; got {' and '.join(files)}")
    path = find_config(files[0]) if files else configs_folder() / "default.yaml"
    if path is None:
        names = [each.stem for each in ready_configs()]
        hint = nearest(files[0], names) or f"; there are: {', '.join(names)} (lanecli list configs)"
        raise InputError(f"no such configuration file: {files[0]}{hint}")
    named = {w.partition("=")[0].strip() for w in overrides}
    if not files and named & {"model.name", "model"} and "model.encoder" not in named:
        overrides.append("model.encoder=null")  # the default file's encoder goes with its model; this one has its own
    if data:
        overrides.append(f"data.root={json_module.dumps([str(folder) for folder in data], ensure_ascii=False)}")
    settings = load_config(path, overrides)
    if not files and not settings.data.root:
        settings = load_config(configs_folder() / "synthetic.yaml", overrides)
    return settings


def options(context: typer.Context) -> list[str]:
    """The options of a command."""
    return [word for parameter in context.command.params for word in parameter.opts if word.startswith("-")]


def _train(settings: Config | None, folder: Path, device: str, json: bool) -> None:
    """Start a run with `settings` in a fresh folder named like `folder`, or without any go on with the run there."""
    from lanecli.errors import InputError
    from lanecli.ownership import owned
    from lanecli.training.choice import choose
    from lanecli.training.loop import Run
    from lanecli.training.outline import outline
    from lanecli.training.processes import join
    from lanecli.training.run_folder import begin_folder, fresh_folder, resume_config
    from lanecli.training.watcher import SilentWatcher

    processes, _ = join(device)
    config, chosen = choose(resume_config(folder) if settings is None else settings)
    if settings is not None and processes.main:
        folder = fresh_folder(folder)
    folder = Path(processes.agree(str(folder)))
    with owned(folder) if processes.main else contextlib.nullcontext():
        if settings is None:
            run = Run(config, folder, device=device, resume=True)
            if run.finished:
                raise InputError(f"{folder}: this run is finished ({run.steps} steps); nothing to resume")
        else:
            try:
                if processes.main:
                    begin_folder(folder, config)
                run = Run(config, folder, device=device)
            except BaseException:
                if processes.main:
                    _discard(folder)
                raise
        if not processes.main:
            run.train(SilentWatcher())
            return
        for line in [*outline(run), *chosen]:
            note(line)
        since = time.perf_counter()
        with progress_bar(*progress_columns()) as bar:
            try:
                run.train(TerminalWatcher(bar, run))
            except KeyboardInterrupt:
                bar.stop()
                note(f"interrupted; go on with: lanecli train --resume {run.folder}")
                raise
    _conclude(run, time.perf_counter() - since, json)


def _discard(folder: Path) -> None:
    """Remove the folder of a run that could not begin."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _conclude(run: Run, seconds: float, json: bool) -> None:
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

    def __init__(self, bar: Any, run: Run) -> None:
        """Args: bar: from `progress_bar` with `progress_columns`. run: that is watched."""
        self.bar, self.run, self.started = bar, run, time.perf_counter()
        self.ends = run.epoch_ends
        self.task: Any = None
        self.loss = self.speed = 0.0
        self.score = ""
        if run.best is not None:
            self._remember_best()

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Smooth and show."""
        first = self.task is None
        if first:
            self.task = self.bar.add_task("", total=steps, completed=step - 1, loss=loss, score="", speed=0.0)
        self.loss = loss if first else 0.95 * self.loss + 0.05 * loss
        self.speed = images_per_second if first else 0.9 * self.speed + 0.1 * images_per_second
        name = f"epoch {min(bisect.bisect_left(self.ends, step) + 1, len(self.ends))}/{len(self.ends)}"
        shown = {"loss": self.loss, "score": self.score, "speed": self.speed}
        self.bar.update(self.task, description=name, completed=step, **shown)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """One line."""
        from lanecli.training.unlearnt import all_at_zero

        score, mean, loss = (row.get(f"val/{key}") for key in ("miou_foreground", "miou", "loss"))
        # a set without any pixel of a class has no score of it
        shown = "".join(
            f"  {name} {value:.4f}" for name, value in (("foreground IoU", score), ("mIoU", mean)) if value is not None
        )
        validated = f" (val {loss:.4f})" if loss is not None else ""
        mark = "  best" if best and loss is not None else ""
        if best:
            self._remember_best()
        elapsed = time.perf_counter() - self.started
        self._say(
            f"epoch {row['epoch']}/{len(self.ends)}  step {row['step']}  loss {row['train/loss']:.4f}{validated}{shown}"
            f"{mark}  {elapsed:.0f} s"
        )
        if all_at_zero(row, self.run.stage.label_map):
            self._say("  nothing of any foreground class was found: every one is at 0")

    def warn(self, line: str) -> None:
        """One line."""
        self._say(f"warning: {line}")

    def _remember_best(self) -> None:
        if self.run.best is not None:
            score = self.run.stage.config.train.best
            self.score = f"  best {SCORES.get(score, score)} {self.run.best:.4f}"

    def _say(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
