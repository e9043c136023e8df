"""One owner of an output folder: the second is refused by name, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import SMALL_RUN, Outcome

from lanecli.errors import InputError, LaneError
from lanecli.ownership import LOCK, is_lock, owned

Command = Callable[..., Outcome]
_HOLDER = """
import os, sys, time
from pathlib import Path
from lanecli.ownership import owned
sys.argv = ["lanecli", "synth", "a folder", "--seed", "3"]
with owned(Path(sys.stdin.readline().strip())):
    if os.fork() == 0:  # a worker that lives on
        print(os.getpid(), flush=True)
        time.sleep(60)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder another process owns, and that process's id; it has a forked worker."""
    folder = tmp_path / "held"
    owner = subprocess.Popen(
        [sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    owner.stdin.write(f"{folder}\n")
    worker = int(owner.stdout.readline())
    yield folder, owner.pid
    owner.kill()
    owner.wait()
    os.kill(worker, signal.SIGKILL)
    owner.stdin.close()
    owner.stdout.close()


def test_the_second_is_refused_by_name_until_the_first_is_dead(held: tuple[Path, int]) -> None:
    folder, owner = held
    with pytest.raises(InputError) as refused, owned(folder):
        pass
    assert f"{folder}: process {owner} (lanecli synth 'a folder' --seed 3) is writing there" in str(refused.value)
    for part in (None, "1/2"):
        with pytest.raises(InputError), owned(folder, part):
            pass
    os.kill(owner, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while True:  # its forked worker is alive still
        try:
            with owned(folder):
                assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
                break
        except InputError:
            assert time.monotonic() < deadline
    assert not list(folder.glob(".*"))


def test_commands_refuse_a_folder_that_is_written(cli: Command, tmp_path: Path) -> None:
    cli("synth", tmp_path / "scenes", "--count", 4, "--size", "64x32", "--workers", 1)
    camvid = tmp_path / "folder"
    for name in ("images", "masks"):
        (camvid / name).mkdir(parents=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("train: {epochs: 1}\n")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("variants: {a: []}\n")
    commands = {
        "synth": (tmp_path / "free", ["synth", tmp_path / "free", "--count", 1, "--size", "64x32"]),
        "prepare": (tmp_path / "out", ["prepare", "folder", camvid, "--out", tmp_path / "out", "--classes", "lane"]),
        "resume": (run, ["train", "--resume", run]),
        "sweep": (
            tmp_path / "swept",
            ["sweep", sweep, *SMALL_RUN, "--data", tmp_path / "scenes", "--out", tmp_path / "swept"],
        ),
    }
    for name, (folder, words) in commands.items():
        with owned(folder):
            before = sorted(folder.rglob("*"))
            outcome = cli(*words)
            assert outcome.code == 2, name
            assert f"{folder}: process {os.getpid()} (" in outcome.err, outcome.err
            assert ") is writing there; wait until it is done, or name another folder\n" in outcome.err
            assert sorted(folder.rglob("*")) == before


def test_parts_go_together_and_not_with_the_whole(tmp_path: Path) -> None:
    with owned(tmp_path, "1/2"), owned(tmp_path, "2/2"):
        for other in (None, "1/2"):
            with pytest.raises(InputError, match="is writing there"), owned(tmp_path, other):
                pass
    assert not list(tmp_path.iterdir())
    with owned(tmp_path), pytest.raises(InputError), owned(tmp_path, "1/2"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_removed_during_the_work_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def work() -> None:
        with owned(folder):
            folder.rename(tmp_path / "elsewhere")
            folder.mkdir()
            (folder / LOCK).write_text("another's")

    with pytest.raises(LaneError, match=r"out: was removed or replaced during the work"):
        work()
    assert (folder / LOCK).read_text() == "another's"


def test_folders_made_for_nothing_go_again(tmp_path: Path) -> None:
    with owned(tmp_path / "a" / "b"):
        assert list(map(is_lock, (tmp_path / "a" / "b").iterdir())) == [True]
    assert not (tmp_path / "a").exists()
    with owned(tmp_path / "a" / "b"):
        (tmp_path / "a" / "file").write_text("")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "file"]


@pytest.mark.parametrize("name", ["file/below", "file", "n" * 300, "nu\0ll"])
def test_a_place_that_cannot_be_a_folder_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written in \(") as refused, owned(tmp_path / name):
        pass
    assert "None" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"pid": "x"}', b"1" * 5000])
def test_a_damaged_lock_file_is_no_matter(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with owned(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(InputError, match="another lanecli is writing there"), owned(tmp_path):
            pass


def test_many_at_once_have_one_owner_at_a_time(tmp_path: Path) -> None:
    """Eight processes take the lock over and over; what each writes under it is never another's."""
    code = f"""
import os, random
from pathlib import Path
from lanecli.ownership import owned
from lanecli.errors import InputError
folder, got = Path({str(tmp_path / "o")!r}), 0
while got < 15:
    try:
        with owned(folder):
            (folder / "who").write_text(str(os.getpid()))
            sum(range(random.randrange(20000)))
            assert (folder / "who").read_text() == str(os.getpid())
            if random.random() < 0.5:
                (folder / "who").unlink()
            got += 1
    except InputError as error:
        assert "is writing there" in str(error), error
"""
    crowd = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    for process in crowd:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint.decode()
