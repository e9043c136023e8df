"""What a user sees when something is wrong: one line that names the file; the catch-all only for mistakes of ours."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import Outcome
from test_predict_faults import pictures

from lanecli.errors import InputError, LaneError, one_line, printable, printable_name, reading
from lanecli.media import write_picture

Command = Callable[..., Outcome]
HOSTILE = "a\x1b[31mred\x07\r\nline two\u202e\x9b"


@given(st.text(st.characters(), max_size=60))
def test_nothing_that_is_shown_moves_the_cursor(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\u202e\u2066" for c in shown)
    if text.isprintable():
        assert shown == text


def test_long_names_are_cut_in_the_middle() -> None:
    assert one_line("x" * 1200) == "x" * 1200
    assert len(one_line("x" * 10**6)) < 1300
    assert printable_name("a" * 50 + "b" * 50).startswith("a" * 50)
    assert "…" in printable_name("a" * 50 + "b" * 50)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "x"),
            "f: not readable as JSON: byte 0xff at 2 is not UTF-8 text",
        ),
        (RecursionError("maximum"), "f: not readable as JSON: it is nested too deeply"),
        (KeyError("name"), "f: not readable as JSON: 'name' is missing"),
        (OSError(errno.ENAMETOOLONG, "x", "f"), "f: not readable as JSON: File name too long"),
        (MemoryError(), "f: not readable as JSON: out of memory"),
        (ValueError("two\nlines"), "f: not readable as JSON: two lines"),
        (ZeroDivisionError(), "f: not readable as JSON: ZeroDivisionError"),
    ],
)
def test_whatever_fails_while_reading_names_the_file(error: Exception, said: str) -> None:
    def read() -> None:
        with reading("f", "as JSON"):
            raise error

    with pytest.raises(InputError) as refused:
        read()
    assert str(refused.value) == said


def test_errors_of_ours_and_interruptions_pass_as_they_are() -> None:
    for error in (LaneError("x"), InputError("y"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as passed, reading("f"):
            raise error
        assert passed.value is error


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import lanecli.shipped

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(lanecli.shipped, "find_model", fail)


def test_the_catch_all_means_a_mistake_and_says_how_to_report_it(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, ValueError("some\nthing"))
    outcome = cli("show", "lane")
    assert outcome.code == 1
    assert outcome.err == (
        "error: ValueError: some\\nthing: this is a bug in lanecli; please report it with the command and what it "
        "prints as 'lanecli --debug …'\n"
    )
    monkeypatch.setenv("LANECLI_DEBUG", "1")
    with pytest.raises(ValueError, match="some"):
        cli("show", "lane")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "/some/file"), "error: /some/file: No space left on device\n"),
        (PermissionError(errno.EACCES, "x"), "error: Permission denied\n"),
        (MemoryError(), "error: out of memory\n"),
    ],
)
def test_a_full_disk_is_no_mistake_of_ours(
    error: Exception, said: str, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, error)
    outcome = cli("show", "lane")
    assert (outcome.code, outcome.err) == (1, said)


def test_names_are_shown_escaped(cli: Command, bright: Path, tmp_path: Path) -> None:
    for words in (["predict", tmp_path / HOSTILE], ["show", HOSTILE + ".onnx"], ["train", HOSTILE + ".yaml"]):
        err = cli(*words).err
        assert "\\x1b[31mred\\x07\\r\\nline two\\u202e\\x9b" in err
        assert err.count("\n") == 1
    assert len(cli("show", "m" * 5000 + ".onnx").err) < 1300
    source = pictures(tmp_path / "pictures", 1)
    (source / "000.png").rename(source / f"{HOSTILE}.png")
    done = cli("predict", source, "--model", bright, "--out", tmp_path / "out")
    assert done.code == 0
    assert "\\x1b[31mred" in done.out
    assert "\x1b" not in done.out + done.err


def test_bad_utf8_in_a_name_never_loses_the_document(cli: Command, bright: Path, tmp_path: Path) -> None:
    source = pictures(tmp_path / "pictures", 2)
    bad = os.path.join(os.fsencode(source), b"caf\xe9.png")
    try:
        os.rename(source / "000.png", bad)
    except OSError:
        pytest.skip("names here are UTF-8")
    done = cli("predict", source, "--model", bright, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    told = done.json()["sources"]  # type: ignore[index]
    assert sorted(os.fsencode(report["source"]) for report in told) == sorted([bad, os.fsencode(source / "001.png")])
    assert all(os.path.exists(output) for report in told for output in report["outputs"])
    text = cli("predict", source, "--model", bright, "--out", tmp_path / "text")
    assert text.code == 0
    assert "caf\\xe9.overlay.png" in text.out


def test_a_document_for_a_terminal_that_knows_no_utf8() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lanecli", "list", "losses", "--json"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=True,
    )
    assert done.stdout.isascii()
    assert json.loads(done.stdout)


def _yaml_bomb() -> bytes:
    return b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
    )


DAMAGED = {
    "not UTF-8": b"train: {epochs: \xff}\n",
    "UTF-16": "train: {epochs: 3}\n".encode("utf-16"),
    "infinity": b"optim: {lr: .inf}\n",
    "NaN": b"optim: {weight_decay: .nan}\n",
    "too large a number": b"train: {epochs: 1%s}\n" % (b"0" * 5000),
    "nesting": b"stages: " + b"[" * 10_000,
    "nested maps": b"stages: [" + b"{a: " * 5000 + b"}" * 5000 + b"]",
    "billion laughs": _yaml_bomb(),
    "an object": b"!!python/object/apply:os.system ['true']\n",
    "control characters": b"train: {epochs: \x1b[31m}\n",
    "a long key": b"k" * 100_000 + b": 1\n",
    "a date": b"train: {epochs: 2026-13-45}\n",
    "keys of other kinds": b"? [1, 2]\n: 3\n",
    "null bytes": b"\0" * 100,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_configurations_of_every_bad_kind_end_in_one_line(kind: str, cli: Command, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(DAMAGED[kind])
    outcome = cli("train", path, "--dry-run")
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith(f"error: {path}")
    assert outcome.err.count("\n") == 1
    assert len(outcome.err) < 1300


PLACES = ("file/below", "/proc/lanecli", "/sys/lanecli")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["export", "sweep", "prepare", "train", "synth", "predict", "evaluate"])
def test_a_place_that_cannot_be_written_is_one_line(
    command: str, place: str, cli: Command, bright: Path, tmp_path: Path
) -> None:
    if place.startswith("/") and not Path(place).parent.is_dir():
        pytest.skip(f"no {place} here")
    (tmp_path / "file").write_text("")
    target = tmp_path / place
    (tmp_path / "sweep.yaml").write_text("variants: {a: []}\n")
    source = pictures(tmp_path / "pictures", 1)
    for name in ("images", "masks"):
        write_picture(tmp_path / "folder" / name / "a.png", pictures_array())
    words: dict[str, list[object]] = {
        "export": ["export", "onnx", "lane", "--out", target / "m.onnx"],
        "sweep": ["sweep", tmp_path / "sweep.yaml", "--out", target],
        "prepare": ["prepare", "folder", tmp_path / "folder", "--classes", "lane", "--out", target],
        "train": ["train", "--out", target],
        "synth": ["synth", target, "--count", 1, "--size", "64x32"],
        "predict": ["predict", source, "--model", bright, "--out", target],
        "evaluate": ["evaluate", bright, "--data", tmp_path, "--out", target],
    }
    outcome = cli(*words[command])
    assert outcome.code in (1, 2)
    assert outcome.err.splitlines()[-1].startswith(("error: ", "cannot"))
    assert "bug in lanecli" not in outcome.err
    assert str(target) in outcome.err or str(target.parent) in outcome.err


@pytest.mark.parametrize("out", [".", "..", "/", "a/.."])
def test_a_run_into_the_folder_one_stands_in(
    out: str, cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    outcome = cli("train", "--out", out)
    assert outcome.code == 2
    assert outcome.err.startswith("error: --out ")
    assert outcome.err.count("\n") == 1


def pictures_array() -> object:
    """A small black picture."""
    import numpy as np

    return np.zeros((8, 8, 3), np.uint8)
