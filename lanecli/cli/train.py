"""``lanecli train``."""

from __future__ import annotations

import contextlib
import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.complete import training
from lanecli.cli.help import INPUT, OUTPUT
from lanecli.cli.options import DeviceOption
from lanecli.cli.output import JsonOption, emit, note, progress_bar, say_above
from lanecli.cli.train_progress import SCORES, TerminalWatcher, progress_columns
from lanecli.hardware import let_threads_sleep

if TYPE_CHECKING:
    from lanecli.config import Config
    from lanecli.training.loop import Run
    from lanecli.training.members import Request


_START, _SEVERAL = "Start", "Several models"
EXAMPLES = """
lanecli train                              trains on procedural scenes
lanecli train --data data/mine --dry-run   checks, and writes nothing
lanecli train camvid train.epochs=20 loss=ce+dice --out runs/camvid
lanecli train --resume runs/camvid
torchrun --nproc-per-node 4 -m lanecli train camvid

All keys with their values: lanecli show default
"""


def train(
    context: typer.Context,
    config: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG] [KEY=VALUE]...",
            help="A YAML file, or a name of 'lanecli list configs'; then values that replace its own.",
            rich_help_panel=INPUT,
            autocompletion=training,
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A prepared dataset; may be given several times.", rich_help_panel=INPUT),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue an interrupted run.", rich_help_panel=_START)
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check data, labels, memory and one step; write nothing.", rich_help_panel=_START
        ),
    ] = False,
    members: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train N models with different seeds.", rich_help_panel=_SEVERAL),
    ] = None,
    bagging: Annotated[
        bool,
        typer.Option("--bagging", help="With --members: each on its own bootstrap sample.", rich_help_panel=_SEVERAL),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train N models, each without one fold; keep its predictions there.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    boosting: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train N models, each weighted towards earlier errors.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    snapshots: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Keep N models of one run with a cyclic learning rate.", rich_help_panel=_SEVERAL
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(metavar="RUN", help="Run folder; numbered if it exists.", rich_help_panel=OUTPUT),
    ] = Path("runs/train"),
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a model; with nothing given, a small one on procedural road scenes."""
    let_threads_sleep()
    from lanecli.errors import InputError

    counts = {"members": members, "folds": folds, "boosting": boosting, "snapshots": snapshots}
    wanted = {kind: count for kind, count in counts.items() if count is not None}
    if resume is not None:
        if config or data or dry_run or wanted:
            raise InputError(
                "--resume continues with the run's own configuration: leave out CONFIG, KEY=VALUE, --data, --dry-run, "
                "--members, --folds, --boosting and --snapshots"
            )
        from lanecli.training.members import request_of

        if (request := request_of(resume)) is not None:
            _train_members(None, request, resume, device, json)
        else:
            _train(None, resume, device, json)
        return
    settings = _settings(config or [], data or [], options(context))
    if wanted or bagging:
        from lanecli.training.members import Request, check

        if len(wanted) != 1:
            both = f"--{' and --'.join(wanted)}: choose one"
            raise InputError(both if wanted else "--bagging goes with --members N")
        ((kind, count),) = wanted.items()
        request = Request(kind, count, bagging)  # type: ignore[arg-type]
        check(settings, request)
        if not dry_run:
            _train_members(settings, request, out, device, json)
            return
    if dry_run:
        from lanecli.training.dry_run import try_run

        document, lines = try_run(settings, device)
        emit(document, lines, json)
        return
    _train(settings, out, device, json)


def _settings(words: list[str], data: list[Path], known: Sequence[str] = ()) -> Config:
    """Return the configuration of a new run.

    Args:
        words: configuration file and overrides, as they were typed.
        data: prepared datasets, which replace those of the file.
        known: options of the command, for the message about an unknown one.
    """
    from lanecli.config import load_config
    from lanecli.errors import InputError, did_you_mean
    from lanecli.overrides import split_words
    from lanecli.shipped import configs_folder, find_config, ready_configs

    files, overrides = split_words(words, known)
    if len(files) > 1:
        raise InputError(f"name one CONFIG at most, then KEY=VALUE; got {' and '.join(files)}")
    path = find_config(files[0]) if files else configs_folder() / "default.yaml"
    if path is None:
        names = [each.stem for each in ready_configs()]
        hint = did_you_mean(files[0], names) or f"; there are: {', '.join(names)} (lanecli list configs)"
        raise InputError(f"no such configuration file: {files[0]}{hint}")
    keys = {w.partition("=")[0].strip() for w in overrides}
    if not files and keys & {"model.name", "model"} and "model.encoder" not in keys:
        overrides.append("model.encoder=null")  # the encoder in the default file is that of its own model
    if data:
        overrides.append(f"data.root={json_module.dumps([str(folder) for folder in data], ensure_ascii=False)}")
    settings = load_config(path, overrides)
    if not files and not settings.data.root:
        settings = load_config(configs_folder() / "synthetic.yaml", overrides)
    return settings


def options(context: typer.Context) -> list[str]:
    """Return the options of a command, such as ``--data``."""
    return [word for parameter in context.command.params for word in parameter.opts if word.startswith("-")]


def _train(settings: Config | None, folder: Path, device: str, json: bool) -> None:
    """Train with `settings` in a new folder named like `folder`, or continue the run there if `settings` is None."""
    from lanecli.errors import InputError
    from lanecli.interruption import Interrupted
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
                raise InputError(f"{folder}: this run is finished after {run.steps} steps; there is nothing to resume")
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
            except KeyboardInterrupt as error:
                raise Interrupted(f"continue with: lanecli train --resume {run.folder}") from error
    _conclude(run, time.perf_counter() - since, json)


def _train_members(settings: Config | None, request: Request, folder: Path, device: str, json: bool) -> None:
    """Train the members of an ensemble in a new folder named like `folder`, or without settings continue them."""
    from lanecli.errors import InputError
    from lanecli.interruption import Interrupted
    from lanecli.ownership import owned
    from lanecli.training.choice import choose
    from lanecli.training.members import begin, train_members
    from lanecli.training.outline import outline
    from lanecli.training.processes import join
    from lanecli.training.run_folder import fresh_folder, resume_config

    processes, _ = join(device)
    if processes.size > 1:
        raise InputError(
            f"--{request.kind} trains in one process: start each member by itself, with its own train.seed"
        )
    config, chosen = choose(resume_config(folder) if settings is None else settings)
    if settings is not None:
        folder = fresh_folder(folder)
    outlined = False
    with owned(folder):
        if settings is not None:
            begin(folder, config, request)
        with progress_bar(*progress_columns()) as bar:

            def say(line: str) -> None:
                say_above(bar, line)

            def watch(_name: str, run: Run) -> TerminalWatcher:
                nonlocal outlined
                for task in bar.task_ids:
                    bar.remove_task(task)
                for line in [] if outlined else [*outline(run), *chosen]:
                    say(line)
                outlined = True
                return TerminalWatcher(bar, run)

            try:
                document = train_members(config, request, folder, watch, device=device, say=say)
            except KeyboardInterrupt as error:
                raise Interrupted(f"continue with: lanecli train --resume {folder}") from error
    rows = []
    for each in document["members"]:
        best = "" if each["best"] is None else f"  best {each['best']:.4f}"
        rows.append(f"{each['model']}{best}  weight {each['weight']:.3f}")
    lines = [
        *rows,
        f"ensemble: {document['ensemble']}",
        f"next:     lanecli predict VIDEO --model {document['ensemble']}",
    ]
    emit(document, lines, json)


def _discard(folder: Path) -> None:
    """Remove the folder of a run that could not start."""
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
