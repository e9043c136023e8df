"""Text that other programs wrote: lists, JSON and YAML, read behind one boundary that names the file and the place.

What trips a reader is met here once, for every format: a byte order mark, the line ends of Windows, other encodings,
files that are no regular files, numbers that are none, nesting without end, and YAML that grows when it is read.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from lanecli.errors import InputError

MAX_BYTES = 2 << 30
"""Longest text file that is read: the labels of the 70 000 training pictures of BDD100K take 1.2 GB."""
_MAX_BRACKETS = 200
MAX_YAML_NODES = 1_000_000
"""Most values a YAML file may hold once its aliases are followed."""


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        most: refuse a longer one.

    Raises:
        InputError: no such file, not a regular file (a pipe or device would never end), too long, or not readable.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise InputError(f"{path}: is {'a folder' if stat.S_ISDIR(state.st_mode) else 'no regular file'}")
            if state.st_size > most:
                raise InputError(f"{path}: {state.st_size >> 20} MB are more than the {most >> 20} MB allowed")
            return file.read(state.st_size or most)  # Python sets aside what is asked for: far more costs far longer
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a file") from error
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    r"""A text file in UTF-8, with or without a byte order mark; line ends become ``\n``.

    Raises:
        InputError: as `read_bytes`; or it is in another encoding, named with the line.
    """
    return decoded(read_bytes(path, most), path).replace("\r\n", "\n").replace("\r", "\n")


def decoded(data: bytes, path: Path) -> str:
    """UTF-8 bytes, with or without a byte order mark, as text. Raises InputError naming the line of what is not."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: is in UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # with a byte order mark, the error counts from behind it
        at = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, at) + 1
        raise InputError(
            f"{path} line {line}: is not UTF-8 (byte 0x{data[at]:02x}); it was saved in another encoding, save it as "
            "UTF-8"
        ) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without surrounding space) of the lines of a text file that are not empty.

    Raises:
        InputError: as `read_text`.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if stripped := line.strip():
            yield number, stripped


def parse_json(text: str, where: str) -> Any:
    """One JSON value; NaN and Infinity, which JSON does not have, are refused.

    Args:
        text: the document.
        where: the file (and line), for the error.

    Raises:
        InputError: it is none, with the line and column.
    """

    def refuse(word: str) -> NoReturn:
        raise InputError(f"{where}: holds {word}, which is no number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InputError(f"{where}: is no JSON ({error.msg} at {place})") from error
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deep to be annotations") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{where}: is no JSON that can be read ({error})") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises InputError as `read_text` and `parse_json`."""
    return parse_json(read_text(path), str(path))


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The value of a YAML file, made of plain values only.

    Args:
        path: the file.
        loader: that reads more plain values, such as ``1e-3`` as a number.

    Raises:
        InputError: as `read_text`; not YAML, or it would grow beyond `MAX_YAML_NODES` values by its aliases.
    """
    text = read_text(path, 64 << 20)
    if _brackets(text) > _MAX_BRACKETS:  # which the library would take minutes to find out
        raise InputError(f"{path}: is nested too deep or holds itself")
    try:
        opened = loader(text)
        try:
            node = opened.get_single_node()
            if node is None:
                return None
            if _grown(node) > MAX_YAML_NODES:
                raise InputError(
                    f"{path}: would grow to more than {MAX_YAML_NODES} values when its aliases are followed"
                )
            return opened.construct_document(node)
        finally:
            opened.dispose()
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{place}: not readable as YAML: {first}") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deep or holds itself") from error


def _brackets(text: str) -> int:
    """How many brackets are open at once."""
    depth = deepest = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _grown(node: yaml.Node) -> int:
    """How many values a document holds once aliases are followed; a million and more counts as that."""
    sizes: dict[int, int] = {}

    def size(item: yaml.Node) -> int:
        if id(item) not in sizes:
            sizes[id(item)] = MAX_YAML_NODES + 1  # what holds itself never ends
            inner: list[yaml.Node] = []
            if isinstance(item, yaml.MappingNode):
                inner = [part for pair in item.value for part in pair]
            elif isinstance(item, yaml.SequenceNode):
                inner = item.value
            sizes[id(item)] = min(MAX_YAML_NODES + 1, 1 + sum(map(size, inner)))
        return sizes[id(item)]

    return size(node)
