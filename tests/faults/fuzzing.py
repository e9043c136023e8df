"""Damaged files for every reader of foreign data: no exception but ours, no hang, no signal, bounded memory.

By hand, in processes of their own that are told apart when they die::

    PYTHONPATH=.:tests python tests/faults/fuzzing.py --count 2000 --seed 1 [--only NAME]...
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lanecli.errors import LaneError

Made = tuple[list[Path], Callable[[], object]]
LONGEST = 30.0
"""Seconds one input may take, on a machine that others use."""

_NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "0.5", "1e9", "100000", "16384", "2147483648"),
    *(
        "9223372036854775808",
        "-9223372036854775809",
        "1" * 400,
        "1" * 5000,
        "1e-400",
        "true",
        "null",
        '"x"',
        "[]",
        "{}",
    ),
)
_TEXTS = (
    *("", "..", "../x", "/etc/passwd", "a/b", "\x1b[31m", "\\u0000", "\\ud800", "\r\n", "x" * 300, "x" * 5000),
    *(
        "é",
        "\u202e",
        "C:\\\\x",
        "~",
        "*",
        "nul",
        ".",
        "%s",
        "{0}",
        "=1+1",
        "'",
        "&a",
        "*a",
        "!!python/object:os.system",
    ),
)
_MAGIC = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff" * 8,
    b"\n",
    b'"',
)


@dataclass(frozen=True)
class Reader:
    """One reader: `make` writes files it reads into a folder, and gives them with what reads them."""

    name: str
    make: Callable[[Path], Made]


@dataclass
class Found:
    """What came of the damaged files of one reader."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    """Of the processor's time, for all of them."""
    slowest: float = 0.0
    grown: int = 0
    """Megabytes by which the largest memory of the process grew."""
    faults: dict[str, str] | None = None
    """The traceback of each kind of fault, with the seed of the input."""


class HangError(BaseException):
    """An input took longer than `LONGEST`."""


def damaged(data: bytes, draw: random.Random) -> bytes:
    """`data` with one to four faults of the kinds that happen and that people think of."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(_FAULTS)(data, draw)
    return data


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    reach = len(changed) if draw.random() < 0.5 else min(len(changed), 200)
    for _ in range(draw.randint(1, 6) if reach else 0):
        changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _drop(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data) + 1)
    return data[:start] + data[start + draw.choice((1, 2, 8, 100, 1000)) :]


def _double(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data) + 1)
    return data[:start] + data[start : start + draw.choice((1, 8, 100, 1000))] * draw.choice((2, 2, 50)) + data[start:]


def _insert(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data) + 1)
    word = draw.choice(_MAGIC) if draw.random() < 0.5 else draw.randbytes(draw.randint(1, 40))
    return data[:start] + word + data[start + len(word) * draw.randint(0, 1) :]


def _number(data: bytes, draw: random.Random) -> bytes:
    places = list(re.finditer(rb"-?\d+(\.\d+)?", data[:200_000]))
    if not places:
        return _flip(data, draw)
    place = draw.choice(places)
    return data[: place.start()] + draw.choice(_NUMBERS).encode() + data[place.end() :]


def _text(data: bytes, draw: random.Random) -> bytes:
    places = list(re.finditer(rb"[A-Za-z_][\w./-]*", data[:200_000]))
    if not places:
        return _insert(data, draw)
    place = draw.choice(places)
    return data[: place.start()] + draw.choice(_TEXTS).encode("utf-8", "surrogatepass") + data[place.end() :]


def _nest(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data) + 1)
    word = draw.choice((b"[", b'{"a":', b"<a>", b"- ", b"(", b"{a: "))
    return data[:start] + word * draw.choice((3, 300, 300, 300, 5000)) + data[start:]


def _swap(data: bytes, draw: random.Random) -> bytes:
    lines = data.split(b"\n")
    if len(lines) > 1:
        one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _encode(data: bytes, draw: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return draw.choice(
        (
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16"),
            text.encode("latin-1", "replace"),
            data.replace(b"\n", b"\r\n"),
            data.replace(b'"', b"'"),
            data.replace(b"a", b"\xe9"),
        )
    )


_FAULTS = (_flip, _flip, _cut, _drop, _double, _insert, _number, _number, _text, _text, _nest, _swap, _encode)


def fuzz(
    reader: Reader, folder: Path, count: int, seed: int, start: int = 0, tell: Callable[[int], object] = id
) -> Found:
    """Give `reader` `count` damaged inputs.

    Args:
        reader: of `READERS`.
        folder: an empty one.
        count: of inputs.
        seed: with its number it decides each input.
        start: the number of the first.
        tell: told the number of each before it is read.
    """
    paths, read = reader.make(folder)
    whole = {path: path.read_bytes() for path in paths}
    read()  # what is not damaged is read
    found = Found(faults={})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def hang(_number: int, _frame: object) -> None:
        raise HangError

    handler = signal.signal(signal.SIGALRM, hang)
    began = time.process_time()
    try:
        for number in range(start, start + count):
            draw = random.Random(f"{reader.name} {seed} {number}")
            path = draw.choice(paths)
            path.write_bytes(damaged(whole[path], draw))
            tell(number)
            since = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                read()
            except LaneError:
                found.refused += 1
            except (Exception, HangError) as error:
                # one of a kind: the last line of ours it went through
                steps = traceback.extract_tb(error.__traceback__)
                ours = next((step for step in reversed(steps) if "lanecli/" in step.filename), steps[-1])
                kind = f"{type(error).__name__} in {Path(ours.filename).name}:{ours.lineno}"
                what = f"{kind}, then {Path(steps[-1].filename).name}:{steps[-1].lineno}: {str(error)[:200]}"
                found.faults.setdefault(kind, f"seed {seed} number {number} file {path.name}: {what}")  # type: ignore[union-attr]
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            found.slowest = max(found.slowest, time.perf_counter() - since)
            found.inputs += 1
            path.write_bytes(whole[path])
    finally:
        signal.signal(signal.SIGALRM, handler)
    found.seconds = time.process_time() - began
    found.grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return found


def main() -> int:
    """Fuzz every reader in a process of its own; a line for each, and the faults."""
    from fuzzed_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "START", "PLACE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        name, start, place = asked.worker
        with tempfile.TemporaryDirectory() as folder, open(place, "w") as told:

            def tell(number: int) -> None:
                told.seek(0)
                told.write(f"{number:12}")
                told.flush()

            found = fuzz(
                next(r for r in READERS if r.name == name), Path(folder), asked.count, asked.seed, int(start), tell
            )
        print(json.dumps(found.__dict__))
        return 0
    total = faults = 0
    began = time.perf_counter()
    for reader in READERS:
        if asked.only and reader.name not in asked.only:
            continue
        found, dead = _in_process(reader.name, asked.count, asked.seed)
        total += found.inputs
        faults += len(found.faults or ()) + len(dead)
        print(
            f"{reader.name:22} {found.inputs:7} inputs  {found.refused:7} refused  {found.seconds:7.1f} s  slowest "
            f"{found.slowest:5.2f} s  {found.grown:5} MB more  {len(found.faults or ())} faults  {len(dead)} deaths",
            flush=True,
        )
        for text in [*(found.faults or {}).values(), *dead]:
            print("    " + text.strip().replace("\n", "\n    "), flush=True)
    print(f"{total} inputs, {faults} faults, {time.perf_counter() - began:.0f} s")
    return 1 if faults else 0


def _in_process(name: str, count: int, seed: int) -> tuple[Found, list[str]]:
    """`count` inputs in one process, or as many as it takes: one that dies is followed by another behind the input."""
    all_found, dead, start = Found(faults={}), [], 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "place"
        while start < count and len(dead) < 5:
            place.write_text("-1")
            words = [sys.executable, __file__, "--count", str(count - start), "--seed", str(seed)]
            words += ["--worker", name, str(start), str(place)]
            done = subprocess.run(words, capture_output=True, text=True, env=os.environ, check=False)
            if done.returncode == 0:
                found = Found(**json.loads(done.stdout.splitlines()[-1]))
                all_found = Found(
                    all_found.inputs + found.inputs,
                    all_found.refused + found.refused,
                    all_found.seconds + found.seconds,
                    max(all_found.slowest, found.slowest),
                    max(all_found.grown, found.grown),
                    {**(found.faults or {}), **(all_found.faults or {})},
                )
                break
            at = int(place.read_text() or -1)
            dead.append(f"died with {done.returncode} at seed {seed} number {at}: {done.stderr[-800:]}")
            all_found.inputs += max(0, at - start)
            start = max(at, start) + 1
    return all_found, dead


if __name__ == "__main__":
    sys.exit(main())
