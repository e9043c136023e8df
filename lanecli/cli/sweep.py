"""``lanecli sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.complete import sweeping
from lanecli.cli.help import INPUT, OUTPUT
from lanecli.cli.options import DeviceOption
from lanecli.cli.output import JsonOption, emit, note, progress_bar, say_above
from lanecli.cli.table import Column, first_fitting_table, terminal_width, wrapped
from lanecli.hardware import let_threads_sleep

EXAMPLES = """
lanecli sweep losses --data data/camvid --out runs/losses
lanecli sweep mine.yaml --data data/camvid train.epochs=5
"""


def sweep(
    context: typer.Context,
    config: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP [KEY=VALUE]...",
            help="A sweep file, or a name of 'lanecli list configs'; then values that replace its own.",
            rich_help_panel=INPUT,
            autocompletion=sweeping,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A prepared dataset; may be given several times.", rich_help_panel=INPUT),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the runs and the table.", rich_help_panel=OUTPUT)
    ] = Path("runs/sweep"),
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train every variant of a sweep file alike and compare them; the same command continues a stopped sweep."""
    let_threads_sleep()
    import json as json_module

    from lanecli.cli.train import options
    from lanecli.cli.train_progress import TerminalWatcher, progress_columns
    from lanecli.errors import InputError, did_you_mean
    from lanecli.interruption import Interrupted
    from lanecli.overrides import split_words
    from lanecli.shipped import find_config, ready_configs
    from lanecli.training.loop import Run
    from lanecli.training.sweep import run_sweep
    from lanecli.training.sweep_file import read_sweep

    files, overrides = split_words(config, options(context))
    if len(files) != 1:
        raise InputError("name one sweep file, then KEY=VALUE")
    path = find_config(files[0], "sweeps")
    if path is None:
        names = [each.stem for each in ready_configs("sweeps")]
        hint = did_you_mean(files[0], names) or f"; there are: {', '.join(names)}"
        raise InputError(f"no such sweep file: {files[0]}{hint}")
    if data:
        overrides.append(f"data.root={json_module.dumps([str(folder) for folder in data], ensure_ascii=False)}")
    sweep = read_sweep(path, overrides)
    with progress_bar(*progress_columns()) as bar:

        def watch(_name: str, run: Run) -> TerminalWatcher:
            return TerminalWatcher(bar, run)

        def say(line: str) -> None:
            for task in bar.task_ids:
                bar.remove_task(task)
            say_above(bar, line)

        try:
            rows = run_sweep(sweep, out, watch, device=device, say=say)
        except KeyboardInterrupt as error:
            raise Interrupted("the same command continues") from error
    emit(rows, [*_lines(rows), f"tables:  {out / 'table.md'}, .csv, .tex, .png"], json)
    failed = [row["variant"] for row in rows if "failed" in row]
    if failed:
        note(f"{len(failed)} of {len(rows)} variants failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table in Markdown, or as many of its columns as fit into a terminal that is too narrow."""
    from lanecli.training.sweep_table import table_cells, table_lines, title

    width, lines = terminal_width(), table_lines(rows)
    if width is None or max(map(len, lines)) <= width:
        return [*wrapped(title(rows), width), "", *lines]
    head, body = table_cells(rows, "±")
    whole = [line for line in body if len(line) == len(head)]
    columns = [Column(name, [line[index] for line in whole], right=index > 0) for index, name in enumerate(head)]
    choices = [columns[:count] for count in range(len(head), 1, -1)]
    failed = [text for line in body if len(line) < len(head) for text in wrapped(": ".join(line), width)]
    return [*wrapped(title(rows), width), "", *(first_fitting_table(choices, width) if whole else []), *failed]
