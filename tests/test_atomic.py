from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli import atomic
from lanecli.errors import InputError, LaneError

LONG = ["a" * 245 + ".jpg", "車" * 79 + ".mp4", "é" * 120 + ".safetensors", "x." + "s" * 240, "." + "b" * 250]


@pytest.mark.parametrize("name", LONG, ids=lambda name: f"{name[0]}…{len(os.fsencode(name))}")
def test_names_of_249_bytes_are_written(tmp_path, name):
    atomic.write(tmp_path / name, b"data")
    assert os.listdir(tmp_path) == [name]


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_a_temporary_name_is_short_its_own_and_recognised(name):
    if name in (".", ".."):
        return
    first, second = (atomic.temporary_name(Path("folder") / name) for _ in range(2))
    assert first != second
    for path in (first, second):
        assert path.parent == Path("folder")
        assert len(os.fsencode(path.name)) <= 200
        assert atomic.is_temporary(path.name)
        assert not path.suffix or path.suffix in (Path(name).suffix, ".partial")


@pytest.mark.parametrize("name", ["clip.partial.mp4", ".clip.partial.mp4", ".git", "a.part", ".x.y.partial"])
def test_other_peoples_names_are_not_taken_for_ours(tmp_path, name):
    (tmp_path / name).write_text("x")
    os.utime(tmp_path / name, (0, 0))
    assert not atomic.is_temporary(name)
    assert atomic.remove_leftovers(tmp_path) == []


def test_nothing_is_there_under_the_name_until_it_is_whole(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with atomic.file(target) as path:
        path.write_bytes(b"new")
        assert target.read_bytes() == b"old"
        assert path.suffix == ".bin"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
@pytest.mark.parametrize("make", [atomic.file, atomic.folder])
def test_a_failure_leaves_nothing_and_keeps_the_old(tmp_path, make, error):
    def fail() -> None:
        with make(tmp_path / "out") as path:
            (path / "a" if path.is_dir() else path).write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_line(tmp_path):
    def fill() -> None:
        with atomic.file(tmp_path / "out"):
            raise OSError(28, "No space left on device")

    with pytest.raises(LaneError, match=r"out: cannot be written \(No space left on device\)"):
        fill()
    with pytest.raises(LaneError, match=r"none/out: cannot be written \(No such file or directory\)"):
        atomic.write(tmp_path / "none" / "out", b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_the_umask_gives(tmp_path, umask):
    """A library that writes through a private temporary file (0600) does not make our output private."""
    before = os.umask(umask)
    try:
        atomic.write(tmp_path / "plain", b"x")
        with atomic.file(tmp_path / "private") as path:
            path.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    for name in ("plain", "private"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_stale_a_folder_is_replaced_as_a_whole(tmp_path):
    """Masks of a longer run before do not stay among the new ones."""
    for count in (12, 3):
        with atomic.folder(tmp_path / "clip.masks") as path:
            for number in range(count):
                (path / f"{number:06d}.png").write_text(str(count))
            assert len(os.listdir(tmp_path)) == (1 if count == 12 else 2)
    assert os.listdir(tmp_path) == ["clip.masks"]
    assert [p.read_text() for p in sorted((tmp_path / "clip.masks").iterdir())] == ["3"] * 3


def test_a_failed_folder_keeps_the_old_one_whole(tmp_path):
    with atomic.folder(tmp_path / "m") as path:
        (path / "old").touch()

    def fail() -> None:
        with atomic.folder(tmp_path / "m") as path:
            (path / "new").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["m", "m/old"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "m").write_text("x")
    with pytest.raises(LaneError, match="cannot be written"), atomic.folder(tmp_path / "m"):
        pass
    assert os.listdir(tmp_path) == ["m"]
    assert (tmp_path / "m").read_text() == "x"


KILLED = """
import os, sys
from lanecli import atomic
with atomic.{make}(sys.argv[1]) as path:
    (path / "a" if path.is_dir() else path).write_text("half")
    print(path.name, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("make", ["file", "folder"])
def test_left_overs_of_a_killed_process_are_cleaned_by_the_next(tmp_path, make):
    target = tmp_path / "out.bin"
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(make=make), target], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -9
    assert os.listdir(tmp_path) == [done.stdout.strip()]
    with atomic.file(tmp_path / "alive") as ours:  # what a living process writes stays
        atomic._cleaned.clear()
        atomic.prepare_target(target)
        assert os.listdir(tmp_path) == [ours.name]
    assert os.listdir(tmp_path) == ["alive"]


def test_left_overs_of_another_machine_are_cleaned_after_a_day(tmp_path):
    names = [
        ".clip.0123abcd-1-0a1b2cx0.partial.mp4",
        f".clip.{os.getpid()}.partial.mp4",
        ".m.0123abcd-1-0a1b2cx3.partial",
    ]
    for name in names:
        (tmp_path / name).write_text("x")
    assert atomic.remove_leftovers(tmp_path) == []
    for name in names:
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    assert {path.name for path in atomic.remove_leftovers(tmp_path)} == set(names)
    assert os.listdir(tmp_path) == []


def test_a_process_that_had_our_number_before_is_gone(tmp_path):
    """In a container the number is often 1, run after run."""
    name = atomic.temporary_name(tmp_path / "a.bin").name
    other = re.sub(r"-[0-9a-f]{6}x", "-ffffffx" if "-ffffffx" not in name else "-000000x", name)
    for left in (name, other):
        (tmp_path / left).touch()
    assert [path.name for path in atomic.remove_leftovers(tmp_path)] == [other]


def test_killed_between_the_two_renames_the_older_folder_comes_back(tmp_path):
    old = tmp_path / f".clip.masks.{atomic._machine()}-{2**30}-0a1b2cx0.replaced"
    old.mkdir()
    (old / "000000.png").write_text("old")
    fresh = tmp_path / f".clip.masks.{atomic._machine()}-{2**30}-0a1b2cx1.partial"
    fresh.mkdir()
    atomic.remove_leftovers(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["clip.masks", "clip.masks/000000.png"]


@pytest.mark.parametrize("name", ["a" * 300, "車" * 100])
def test_names_no_file_system_takes_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written"):
        atomic.prepare_target(tmp_path / name)
    with pytest.raises(LaneError, match="cannot be written"):
        atomic.write(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == []
