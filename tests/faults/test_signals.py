"""Ctrl-C and SIGTERM: one line, exit code 130, nothing left running, at any moment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from victims import STOPS, Victim, dice

from lanecli.data.scene_record import RECORD

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@pytest.mark.parametrize("times", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_no_traceback_in_the_first_moments(times: int, tmp_path: Path) -> None:
    draw = dice("first moments")
    for _ in range(times):
        victim = Victim("list", "losses", cwd=tmp_path)
        victim.until_it_listens()
        time.sleep(draw.uniform(0, 0.2))
        victim.stop(draw.choice(STOPS), group=draw.random() < 0.5)
        code = victim.end()
        assert (code, victim.err) in [(130, "interrupted\n"), (0, "")]


def test_a_finished_process_ends_with_its_own_code_until_the_last() -> None:
    """A signal while the interpreter frees what was loaded, which takes long where torch is among it."""
    code = (
        "import os, sys\nfrom lanecli import interruption\n"
        "class Late:\n    def __del__(self, kill=os.kill, it=(os.getpid(), int(sys.argv[1]))): kill(*it)\n"
        "interruption.start()\nlate = Late()\nsys.exit(3)\n"
    )
    for number in STOPS:
        done = subprocess.run(
            [sys.executable, "-c", code, str(int(number))], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (3, "")


def test_an_interruption_of_compiled_text_ends_with_130(tmp_path: Path) -> None:
    """As of a named tuple in an import: Python notes it, and would end a module run with -m by SIGINT."""
    (tmp_path / "ended.py").write_text(
        "import signal, sys\nfrom lanecli import interruption\ninterruption.listen()\n"
        "try:\n    exec('signal.raise_signal(int(sys.argv[1]))')\nexcept KeyboardInterrupt:\n    pass\n"
        "interruption.finish(130)\nsys.exit(130)\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    for number in STOPS:
        words = [sys.executable, "-m", "ended", str(int(number))]
        env = {**os.environ, "PYTHONPATH": root}
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)
        assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("times", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_synth_ends_within_two_seconds(times: int, tmp_path: Path) -> None:
    draw = dice("synth")
    for number in range(times):
        folder = tmp_path / f"scenes-{number}"
        words = ["synth", folder, "--count", 5000, "--size", "256x144", *(["--video"] if draw.random() < 0.3 else [])]
        victim = Victim(*words, cwd=tmp_path)
        victim.until(lambda folder=folder: (folder / "images").is_dir())  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.5))
        since = time.monotonic()
        victim.stop(STOPS[number % 2], group=number % 4 < 2)
        code = victim.end()
        seconds = time.monotonic() - since
        kept = "starts the drive again" if "--video" in words else "continues"
        assert (code, victim.err.splitlines()[-1:]) == (130, [f"interrupted; the same command {kept}"])
        assert victim.err.count("interrupted") == 1
        assert "Traceback" not in victim.err
        assert seconds < 2 + 2 * os.getloadavg()[0]  # two where nothing else runs
        assert not victim.left()
        assert not list(folder.glob(".lanecli*.lock"))


@pytest.mark.slow
def test_a_killed_synth_goes_on(tmp_path: Path) -> None:
    words = ["--count", 12, "--size", "128x96", "--workers", 2]
    assert Victim("synth", tmp_path / "whole", *words, cwd=tmp_path).end() == 0
    whole = contents(tmp_path / "whole")
    draw, later = dice("killed synth"), 0
    for number in range(3):
        folder, code, kills = tmp_path / f"scenes-{number}", -signal.SIGKILL, 0
        while code == -signal.SIGKILL:
            before = recorded(folder)
            victim = Victim("synth", folder, *words, cwd=tmp_path)
            victim.until(lambda folder=folder, before=before: recorded(folder) > before)  # type: ignore[misc]
            later += kills > 0
            time.sleep(draw.uniform(0, 0.3))
            victim.stop(signal.SIGKILL, group=True)
            code, kills = victim.end(), kills + 1
            if (folder / "dataset.yaml").exists() and not recorded(folder):  # killed when all was done
                break
        assert contents(folder) == whole
        assert victim.err == ""
    assert later > 0


def recorded(folder: Path) -> int:
    """Bytes of the record of scenes."""
    try:
        return (folder / RECORD).stat().st_size
    except OSError:
        return 0


def contents(folder: Path) -> dict[str, bytes]:
    """What each file below a folder holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_workers_end_with_their_killed_owner(tmp_path: Path) -> None:
    victim = Victim("synth", tmp_path / "scenes", "--count", 5000, "--size", "256x144", "--workers", 2, cwd=tmp_path)
    victim.until(lambda: len(victim.left()) == 3 and (tmp_path / "scenes" / "images").is_dir())
    victim.stop(signal.SIGKILL)
    victim.end()
    deadline = time.monotonic() + 20
    while victim.left():
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.01)


def test_a_killed_worker_is_said(tmp_path: Path) -> None:
    victim = Victim("synth", tmp_path / "scenes", "--count", 5000, "--size", "256x144", "--workers", 2, cwd=tmp_path)
    victim.until(lambda: len(victim.left()) == 3 and (tmp_path / "scenes" / "images").is_dir())
    os.kill(next(pid for pid in victim.left() if pid != victim.process.pid), signal.SIGKILL)
    assert victim.end() == 1
    assert victim.err == (
        "error: a worker process was killed, most likely because memory ran out; use fewer --workers\n"
    )
    assert not victim.left()


@pytest.mark.parametrize("number", STOPS)
def test_a_url_that_does_not_answer_is_left_within_a_second(number: int, tmp_path: Path, bright: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/stream.mp4"
        victim = Victim("predict", url, "--model", bright, "--out", tmp_path / "out", cwd=tmp_path)
        server.settimeout(120)
        connection, _ = server.accept()
        with connection:
            time.sleep(0.2)
            since = time.monotonic()
            victim.stop(number)
            assert victim.end() == 130
            assert time.monotonic() - since < 1 + os.getloadavg()[0]  # one where nothing else runs
    assert victim.err == "interrupted\n"
    assert not (tmp_path / "out").exists()


def test_what_is_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        victim = Victim("list", "losses", cwd=tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    victim.until_it_listens()
    victim.stop(signal.SIGHUP)
    assert victim.end() == 0
