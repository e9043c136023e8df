"""``lanecli train``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, note, progress_bar


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
    json: JsonOption = False,
) -> None:
    """Train a model; with nothing given, a small one on procedural road scenes."""
    # passive waiting keeps torch's threads from spinning against the loader's (measured up to 18 times slower)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lanecli.config import load_config
    from lanecli.errors import InputError
    from lanecli.shipped import configs_folder
    from lanecli.training.loop import Run, resume_config
    from lanecli.training.setup import fresh_folder

    words = config or []
    if resume is not None:
        if words or data:
            raise InputError(
                "--resume goes on with the run's own configuration; leave CONFIG, KEY=VALUE and --data out"
            )
        run = Run(resume_config(resume), resume, device=device, resume=True)
    else:
        files = [w for w in words if "=" not in w]
        if len(files) > 1:
            raise InputError(f"one CONFIG at most; got {' and '.join(files)}")
        overrides = [w for w in words if "=" in w]
        path = Path(files[0]) if files else configs_folder() / "default.yaml"
        if not path.is_file() and (configs_folder() / f"{path.name}.yaml").is_file():
            path = configs_folder() / f"{path.name}.yaml"
        settings = load_config(path, overrides)
        if data:
            settings.data.root = [str(folder) for folder in data]
        elif not files and not settings.data.root:
            settings = load_config(configs_folder() / "synthetic.yaml", overrides)
        folder = fresh_folder(out)
        try:
            run = Run(settings, folder, device=device)
        except BaseException:
            folder.rmdir()
            raise
        (folder / "config.yaml").write_text(settings.to_yaml(), encoding="utf-8")
    with progress_bar(*progress_columns()) as bar:
        watcher = TerminalWatcher(bar)
        try:
            run.train(watcher)
        except KeyboardInterrupt:
            note(f"interrupted; go on with: lanecli train --resume {run.folder}")
            raise
    document: dict[str, Any] = {
        "run": str(run.folder),
        "model": str(run.folder / "model.safetensors"),
        "steps": run.steps,
        "best": run.best,
        "epochs": run.log.rows,
    }
    best = "" if run.best is None else f", best foreground IoU {run.best:.4f}"
    lines = [
        f"trained {run.steps} steps in {time.perf_counter() - watcher.started:.0f} s{best}",
        f"model:  {run.folder / 'model.safetensors'}",
        f"next:   lanecli predict VIDEO --model {run.folder}",
    ]
    emit(document, lines, json)


def progress_columns() -> tuple[Any, ...]:
    """What the training bar shows besides rich's own."""
    from rich.progress import TextColumn

    return (TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:.1f} images/s"),)


class TerminalWatcher:
    """Progress on stderr: a bar on a terminal, a line per epoch anywhere."""

    def __init__(self, bar: Any) -> None:
        """Args: bar: from `progress_bar` with `progress_columns`."""
        self.bar, self.started = bar, time.perf_counter()
        self.task: Any = None
        self.loss = self.speed = 0.0

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Smooth and show."""
        first = self.task is None
        if first:
            self.task = self.bar.add_task("training", total=steps, completed=step - 1, loss=loss, speed=0.0)
        self.loss = loss if first else 0.95 * self.loss + 0.05 * loss
        self.speed = images_per_second if first else 0.9 * self.speed + 0.1 * images_per_second
        self.bar.update(self.task, completed=step, loss=self.loss, speed=self.speed)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """One line."""
        score = row.get("val/miou_foreground")
        shown = "" if score is None else f"  val IoU {score:.4f}{' (best)' if best else ''}"
        elapsed = time.perf_counter() - self.started
        line = f"epoch {row['epoch']}  step {row['step']}  loss {row['train/loss']:.4f}{shown}  {elapsed:.0f} s"
        self.bar.console.print(line, highlight=False)
