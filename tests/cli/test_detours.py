"""Detours of version 0.1.0's first users, typed as they typed them: understood, or answered with what to type."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from samples import Outcome

from lanecli.cli.output import _wrap_labelled, progress_bar
from lanecli.cli.train_progress import TerminalWatcher, progress_columns
from lanecli.config import Config, load_config
from lanecli.labelmaps import label_map
from lanecli.models.registry import MODELS

Cli = Callable[..., Outcome]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that ``lanecli train`` would train."""
    found: list[Config] = []
    monkeypatch.setattr("lanecli.cli.train._train", lambda settings, *_: found.append(settings))
    return found


# --- the line wins ---------------------------------------------------------------------------------------------------


def test_the_line_beats_the_stages_of_camvid(cli: Cli, started: list[Config]) -> None:
    done = cli("train", "camvid", "train.epochs=3", "train.batch=4", "data.geometry.size=[240,180]")
    assert done.code == 0, done.err
    stages = started[0].each_stage
    assert len(stages) == 2
    for stage in stages:
        assert (stage.train.epochs, stage.train.batch, stage.data.geometry.size) == (3, 4, (240, 180))


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["schedule=poly"], lambda c: c.schedule.name == "poly"),
        (["data.geometry.size=512x256"], lambda c: c.data.geometry.size == (512, 256)),
        (["train.epochs", "=", "3"], lambda c: c.train.epochs == 3),
        (["train.epochs = 3"], lambda c: c.train.epochs == 3),
        (["model.name=deeplabv3+"], lambda c: MODELS.canonical(c.model.name) == "deeplabv3plus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_typed_is_understood(
    cli: Cli, started: list[Config], words: list[str], read: Callable[[Config], bool]
) -> None:
    done = cli("train", *words)
    assert done.code == 0, done.err
    assert read(started[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lr=0.001"], "unknown key 'lr' (did you mean 'optim.lr'?)"),
        (["batch_size=4"], "unknown key 'batch_size' (did you mean 'train.batch'?)"),
        (["--epochs", "3"], "no such option: --epochs; settings have the form KEY=VALUE: type train.epochs=3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_typed_is_answered_with_the_key(cli: Cli, started: list[Config], words: list[str], says: str) -> None:
    done = cli("train", *words)
    assert (done.code, started) == (2, [])
    assert says in done.err
    assert done.err.count("\n") == 1


def test_configurations_are_listed_and_shown_with_their_place(cli: Cli) -> None:
    listed = {row["name"]: row for row in cli("list", "configs", "--json").json()}  # type: ignore[attr-defined]
    for name in ("camvid", "losses"):
        shown = cli("show", name)
        assert shown.code == 0, shown.err
        first = shown.out.splitlines()[0]
        assert first.startswith(f"# {listed[name]['path']}")
        assert Path(listed[name]["path"]).is_file()
    typed = cli("show", "camvid", "train.epochs=3", "--json").json()
    assert typed["train"]["epochs"] == 3  # type: ignore[index]
    assert all(stage["train"].get("epochs", 3) == 3 for stage in typed["stages"])  # type: ignore[index]


# --- numbers one can hand in -----------------------------------------------------------------------------------------


def test_curves_have_both_losses_and_every_class(tmp_path: Path) -> None:
    from lanecli.training.log import _panels, draw_curves

    scores = {"val/miou": 0.5, "val/miou_foreground": 0.25, "val/iou/background": 0.9, "val/iou/pole": 0.0}
    rows = [{"epoch": n, "step": n, "lr": 0.1, "train/loss": 1.0, "val/loss": 1.5, **scores} for n in (1, 2)]
    panels = dict(_panels(list(rows[0])))
    assert panels["loss"] == ["train/loss", "val/loss"]
    assert panels["IoU by class"] == ["val/iou/pole"]
    draw_curves(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


# --- small things ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_model_file_can_be_read_by_others(tmp_path: Path) -> None:
    from lanecli.geometry import Geometry
    from lanecli.modelfile import ModelSpec, write_safetensors

    before = os.umask(0o022)
    try:
        path = tmp_path / "model.safetensors"
        write_safetensors(path, {"w": torch.zeros(2)}, ModelSpec("x", {}, label_map("lane"), Geometry((64, 32))))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_eight_workers_on_two_cores_are_two_and_torch_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from lanecli.training import batches

    asked: list[int] = []

    class Loader(torch.utils.data.DataLoader[Any]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            asked.append(settings["num_workers"])
            super().__init__(*arguments, **{**settings, "num_workers": 0, "prefetch_factor": None})

    monkeypatch.setattr(batches, "DataLoader", Loader)
    monkeypatch.setattr(batches, "usable_cores", lambda: 2)
    items = [(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))] * 16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(batches.batches(items, 4, 8))) == 4
    assert asked == [2]


def test_show_has_no_long_line_and_a_card_that_is_there(cli: Cli) -> None:
    lines = cli("show", "lane").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("card "))
    assert Path(lines[place].split(maxsplit=1)[1]).is_file()
    assert "config" in lines
    assert max(len(line) for line in lines[:place]) <= 130


def test_list_without_a_kind_names_them(cli: Cli) -> None:
    done = cli("list")
    assert done.code == 2
    assert "models, losses, formats" in done.err


def test_evaluate_and_export_take_the_shipped_model(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lanecli.errors import InputError

    asked: list[Any] = []

    def stop(*arguments: Any, **_: Any) -> None:
        asked.append(arguments[0])
        raise InputError("as far as it matters here")

    monkeypatch.setattr("lanecli.inference.evaluate.evaluate", stop)
    monkeypatch.setattr("lanecli.cli.export._written", stop)
    assert cli("evaluate", "--data", tmp_path).code == 2
    assert cli("export", "onnx", "--out", tmp_path / "m.onnx").code == 2
    assert asked[0].models == ("lane",)
    assert asked[1].stem == "lane"


def test_json_names_what_was_left_out(cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    folder = stripe_picture.parent
    (folder / "notes.txt").write_text("mine")
    first = cli("predict", folder, "--model", bright, "--out", folder / "out", "--json").json()
    again = cli("predict", folder, "--model", bright, "--out", tmp_path / "two", "--json").json()
    assert any("1 file named .txt" in line for line in first["left_out"])  # type: ignore[index]
    assert any("1 file written by lanecli itself" in line for line in again["left_out"])  # type: ignore[index]
    assert len(again["sources"]) == 1  # type: ignore[index]


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def terminal_on_stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """80 columns; from the test itself, as pytest puts its own stderr back between fixtures and test."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return screen


def shown(text: str) -> list[str]:
    """The lines a bar drew, without what moves the cursor or colours."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text))


@pytest.mark.parametrize("end", [KeyboardInterrupt, None])
def test_no_bar_is_left_after_ctrl_c(monkeypatch: pytest.MonkeyPatch, end: type[BaseException] | None) -> None:
    """What a terminal shows: the last bar drawn is erased, and nothing is drawn after."""
    terminal = terminal_on_stderr(monkeypatch)
    with contextlib.suppress(KeyboardInterrupt), progress_bar() as bar:
        task = bar.add_task("drive.mp4", total=10)
        bar.update(task, completed=4, refresh=True)
        if end:
            raise end
    text = terminal.getvalue()
    assert "drive.mp4" in text
    assert "\x1b[2K" in text[text.rindex("drive.mp4") :]


@pytest.mark.parametrize("training", [False, True])
def test_a_bar_leaves_room_for_what_the_terminal_writes(monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    """``^C`` behind a bar that fills its line would break it in two, and one half would stay."""
    terminal = terminal_on_stderr(monkeypatch)
    with progress_bar(*(progress_columns() if training else ())) as bar:
        if training:
            run = SimpleNamespace(
                epoch_ends=[120 * (n + 1) for n in range(100)],
                best=0.1234,
                stage=SimpleNamespace(label_map=label_map("lane"), config=load_config()),
            )
            watcher = TerminalWatcher(bar, run)  # type: ignore[arg-type]
            watcher.validated = " (val 0.1234)"
            watcher.step(11000, 12000, 0.12345, 123.4)
            bar.refresh()
        else:
            task = bar.add_task("a long name " * 9, total=12000)
            bar.update(task, completed=11000, refresh=True)
    widest = max(len(line.rstrip()) for line in shown(terminal.getvalue()))
    assert 40 < widest <= 76
    assert any("11000/12000" in line for line in shown(terminal.getvalue()))


def test_lines_with_a_label_are_broken_between_words_in_a_terminal_alone() -> None:
    line = "plan:    3 epochs of 5 steps"
    assert _wrap_labelled(line, 18) == "plan:    3 epochs of 5 steps"  # no terminal is as narrow as that
    long = line + " of 2 pictures at 64x32, loss jaccard, adamw at 0.002, cosine"
    assert _wrap_labelled(long, 60).split("\n") == [
        "plan:    3 epochs of 5 steps of 2 pictures at 64x32, loss",
        "         jaccard, adamw at 0.002, cosine",
    ]
    assert _wrap_labelled(long, None) == long
    path = "runs/predict/" + "a name with spaces " * 9
    assert _wrap_labelled(path, 60) == path
