"""What goes wrong in the middle of training is one clear line, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import start
from safetensors.numpy import load_file
from samples import SMALL_RUN, Outcome

from lanecli.training import checkpoint, loop

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(["train", *SMALL_RUN, "--data", scenes, "--out", folder / "run"], folder / "output.txt")
    process.join()
    assert process.exitcode == 0, (folder / "output.txt").read_text()
    return folder / "run"


def assert_same(whole: Path, run: Path) -> None:
    """Model and metrics are equal bit for bit."""
    first, second = load_file(whole / "model.safetensors"), load_file(run / "model.safetensors")
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)
    assert (whole / "metrics.csv").read_text() == (run / "metrics.csv").read_text()


def one_line(done: Outcome, code: int) -> str:
    """The error, which is the last line on stderr and the only one of its kind."""
    assert done.code == code, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert done.err.strip().endswith(lines[0])
    return lines[0]


def test_a_disk_that_runs_full_keeps_the_last_state(
    cli: Cli, scenes: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = checkpoint.save_file, 0

    def full(tensors: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    done = cli("train", *SMALL_RUN, "--data", scenes, "--out", tmp_path / "run")
    line = one_line(done, 1)
    assert "No space left" in line
    assert f"lanecli train --resume {tmp_path / 'run'}" in line
    assert not (tmp_path / "run" / "last.new").exists()
    done = cli("train", "--resume", tmp_path / "run")
    assert done.code == 0, done.err
    assert_same(whole, tmp_path / "run")


def test_a_file_that_cannot_grow(scenes: Path, tmp_path: Path, cli: Cli, whole: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output.txt"
    process = start(["train", *SMALL_RUN, "--data", scenes, "--out", run], output, largest_file=100_000)
    process.join()
    assert process.exitcode == 1
    (line,) = (line for line in output.read_text().splitlines() if line.startswith("error:"))
    assert "cannot be written" in line
    assert not list(run.glob("last*"))
    done = cli("train", "--resume", run)
    assert done.code == 0, done.err
    assert_same(whole, run)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_out_of_memory_says_what_to_change(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_run: loop.Run, _parts: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(loop.Run, "take_step", fail)
    line = one_line(cli("train", *SMALL_RUN, "--data", scenes, "--out", tmp_path / "run"), 1)
    assert "out of memory with 2 pictures of 64x32" in line
    assert "train.accumulate" in line
    assert "no state was saved" in line


def test_another_runtime_error_is_not_called_memory(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_run: loop.Run, _parts: object) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(loop.Run, "take_step", fail)
    line = one_line(cli("train", *SMALL_RUN, "--data", scenes, "--out", tmp_path / "run"), 1)
    assert "shapes differ" in line
    assert "memory" not in line


def test_a_loss_that_is_no_number_stops_the_run(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    wild = ["optim.name=sgd", "optim.lr=1e30", "schedule.name=constant", "schedule.warmup=0", "train.clip=null"]
    line = one_line(cli("train", *SMALL_RUN, *wild, "--data", scenes, "--out", tmp_path / "run"), 1)
    assert "the loss is" in line or "is no number" in line
    assert "optim.lr" in line
    assert not (tmp_path / "run" / "last").exists()


def test_a_picture_that_went_missing_is_named_and_the_run_resumes(
    cli: Cli, scenes: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = loop.Run._validate, 0
    pictures = sorted((scenes / "images").rglob("*.*"))
    aside = tmp_path / "aside"

    def lose(run: loop.Run) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:  # the second epoch will look for it
            for picture in pictures[:4]:
                picture.rename(aside.with_name(f"aside-{picture.name}"))
        return original(run)

    monkeypatch.setattr(loop.Run, "_validate", lose)
    try:
        done = cli("train", *SMALL_RUN, "--data", scenes, "--out", tmp_path / "run")
    finally:
        for picture in pictures[:4]:
            if not picture.exists():
                aside.with_name(f"aside-{picture.name}").rename(picture)
    assert any(picture.name in one_line(done, 2) for picture in pictures[:4])
    monkeypatch.setattr(loop.Run, "_validate", original)
    done = cli("train", "--resume", tmp_path / "run")
    assert done.code == 0, done.err
    assert_same(whole, tmp_path / "run")


def test_a_changed_configuration_is_refused_and_named(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("train", *SMALL_RUN, "train.epochs=3", "--data", scenes, "--out", run).code == 0
    state = checkpoint.load_state(run / "last")
    checkpoint.save_state(run / "last", {**state, "epoch": 1, "step": 6})
    text = (run / "config.yaml").read_text()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "config.yaml"}
    (run / "config.yaml").write_text(text.replace("lr: 0.002", "lr: 0.003"))
    line = one_line(cli("train", "--resume", run), 2)
    assert "optim.lr was 0.002, is 0.003" in line
    assert {path: path.read_bytes() for path in before} == before
    (run / "config.yaml").write_text(text.replace("save_steps: 500", "save_steps: 2"))  # changes no result
    done = cli("train", "--resume", run)
    assert done.code == 0, done.err


def test_sigterm_saves_the_state(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output.txt"
    process = start(["train", *SMALL_RUN, "train.epochs=2000", "--data", scenes, "--out", run], output)
    while not (run / "last").exists():
        process.join(timeout=0.02)
        assert process.is_alive(), output.read_text()
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 130, output.read_text()
    assert "--resume" in output.read_text()
    assert checkpoint.load_state(run / "last")["step"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_loses_no_step(scenes: Path, tmp_path: Path, number: int) -> None:
    """As `timeout` and batch systems send it: to the workers too, which must not die before the state is saved."""
    run, output = tmp_path / "run", tmp_path / "output.txt"
    words = ["train", *SMALL_RUN, "data.workers=1", "train.epochs=2000", "--data", scenes, "--out", run]
    process = start(words, output, own_group=True)
    while not (run / "last").exists():
        process.join(timeout=0.02)
        assert process.is_alive(), output.read_text()
    os.killpg(process.pid, number)
    process.join()
    assert process.exitcode == 130, output.read_text()
    assert "interrupted; continue with" in output.read_text()
    done = checkpoint.load_state(run / "last")["step"]
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert done >= max(steps)


def spoil(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """state.json with the entries of its outermost mapping changed."""
    document = json.loads(text)
    entries = {key: value for _, key, value in document["keys"]}
    change(entries)
    document["keys"] = [["str", key, value] for key, value in entries.items()]
    return json.dumps(document)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "null",
        lambda text: '{"keys": []}',
        lambda text: "0",
        lambda text: text[: len(text) // 2],
        lambda text: spoil(text, lambda e: e.update(step="x")),
        lambda text: spoil(text, lambda e: e.update(step=10**9)),
        lambda text: spoil(text, lambda e: e.update(step=0)),
        lambda text: spoil(text, lambda e: e.update(epoch=-1)),
        lambda text: spoil(text, lambda e: e.update(epoch=None)),
        lambda text: spoil(text, lambda e: e.pop("network")),
        lambda text: spoil(text, lambda e: e.pop("config")),
        lambda text: spoil(text, lambda e: e.update(network=3)),
        lambda text: spoil(text, lambda e: e.update(random=[])),
        lambda text: spoil(text, lambda e: e.update(config=[1])),
    ],
)
def test_a_damaged_state_is_refused_by_name_and_stays(
    cli: Cli, whole: Path, tmp_path: Path, damage: Callable[[str], str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    path = run / "last" / "state.json"
    path.write_text(damage(path.read_text()))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    line = one_line(cli("train", "--resume", run), 2)
    assert str(run / "last") in line or f"{run} was trained with 0 processes" in line
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("metrics.csv", "epoch,step\nx,3\n", "line 2: damaged"),
        ("metrics.csv", "a,b\n1,2\n", "line 2: damaged"),
        ("metrics.csv", "epoch,step\n1,6\n2\n", "line 3: damaged"),
        ("log.jsonl", '{"event": "step", "step": 1}\nnonsense\n{"event": "step", "step": 2}\n', "line 2: damaged"),
    ],
)
def test_a_damaged_log_is_refused_by_name(
    cli: Cli, whole: Path, tmp_path: Path, name: str, text: str, says: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / name).write_text(text)
    line = one_line(cli("train", "--resume", run), 2)
    assert f"{run / name} {says}" in line
    assert (run / name).read_text() == text
    (run / "log.jsonl").write_bytes(b"\xff\xfe\n{}\n")
    shutil.copy(whole / "metrics.csv", run / "metrics.csv")
    assert f"{run / 'log.jsonl'}: damaged (byte 0 is not UTF-8)" in one_line(cli("train", "--resume", run), 2)


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_run_has_a_folder_of_its_own(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    line = one_line(cli("train", *SMALL_RUN, "--data", scenes, "--out", place), 2)
    assert "name a new one" in line
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


@pytest.mark.skipif(os.geteuid() == 0 or not hasattr(os, "geteuid"), reason="root may write everywhere")
def test_a_place_that_cannot_be_written_in_is_named(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    line = one_line(cli("train", *SMALL_RUN, "--data", scenes, "--out", tmp_path / "closed" / "run"), 2)
    assert str(tmp_path / "closed" / "run") in line


def test_a_file_in_the_way_is_named(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in (["train", *SMALL_RUN], ["sweep", "losses"]):
        line = one_line(cli(*command, "--data", scenes, "--out", tmp_path / "file" / "run"), 2)
        assert str(tmp_path / "file") in line


def test_a_run_killed_before_its_first_state_starts_again(
    cli: Cli, scenes: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text((whole / "config.yaml").read_text())
    done = cli("train", "--resume", run)
    assert done.code == 0, done.err
    assert_same(whole, run)
