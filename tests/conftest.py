"""Fixtures shared by the whole tree."""

from __future__ import annotations

import os

# one thread a process: the suite runs in as many processes as there are cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from samples import Outcome, brightness_model, write_video

from lanecli.interruption import SIGNALS


def pytest_configure() -> None:
    """Hear Ctrl-C, also where whoever started the suite does not: processes under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _default_handlers() -> None:
    """As in a process that has just begun.

    The SIGCHLD handler of torch's loader, run for other tests' children, crashed the suite; those that lanecli leaves
    end the process, or make its forks deaf, processes under test among them.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_handler_stays() -> Iterator[None]:
    """Neither those of the last test nor of fixtures of a whole module reach a test."""
    _default_handlers()
    hook = sys.unraisablehook
    yield
    _default_handlers()
    sys.unraisablehook = hook


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``lanecli ARGS…`` in this process."""

    def run(*arguments: object) -> Outcome:
        from lanecli.cli import main

        monkeypatch.setattr(sys, "argv", ["lanecli", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as status:
            code = int(status.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """The brightness model's file."""
    return brightness_model(tmp_path / "models" / "bright.onnx")


@pytest.fixture
def stripe_picture(tmp_path: Path) -> Path:
    """A black 128 x 64 picture with a white stripe over columns 40 to 55."""
    from lanecli.media import write_picture

    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, 40:56] = 255
    path = tmp_path / "pictures" / "stripe.png"
    write_picture(path, picture)
    return path


@pytest.fixture
def stripe_video(tmp_path: Path) -> Path:
    """Twelve frames of a moving stripe."""
    return write_video(tmp_path / "videos" / "stripe.mp4")
