"""``lanecli sweep``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit, progress_bar


def sweep(
    config: Annotated[
        list[str], typer.Argument(metavar="SWEEP [KEY=VALUE]...", help="A sweep file, then dotted overrides.")
    ],
    data: Annotated[
        list[Path] | None, typer.Option(help="A prepared dataset; several are trained on together.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs and the table.")] = Path("runs/sweep"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Train every variant of a sweep file alike and compare them; run again to go on where it stopped."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lanecli.cli.train import TerminalWatcher, progress_columns
    from lanecli.errors import InputError
    from lanecli.interruption import Interrupted
    from lanecli.shipped import configs_folder
    from lanecli.training.sweep import read_sweep, run_sweep, table_lines

    files = [w for w in config if "=" not in w]
    if len(files) != 1:
        raise InputError("name one sweep file, then KEY=VALUE")
    path = Path(files[0])
    if not path.is_file() and (configs_folder() / "sweeps" / f"{path.name}.yaml").is_file():
        path = configs_folder() / "sweeps" / f"{path.name}.yaml"
    overrides = [w for w in config if "=" in w]
    if data:
        overrides.append(f"data.root={[str(folder) for folder in data]}")
    configs = read_sweep(path, overrides)
    with progress_bar(*progress_columns()) as bar:

        def watch(name: str) -> TerminalWatcher:
            bar.console.print(f"{name}:", highlight=False)
            for task in bar.task_ids:
                bar.remove_task(task)
            return TerminalWatcher(bar)

        try:
            rows = run_sweep(configs, out, watch, device=device)
        except KeyboardInterrupt as error:
            raise Interrupted("the same command goes on") from error
    emit(rows, [*table_lines(rows), f"table:  {out / 'table.md'}"], json)
