"""Reads lists, JSON and YAML that other programs wrote. Every error names the file and, where possible, the line.

The usual traps are handled here once for all formats: byte order marks, Windows line ends, other encodings, pipes and
devices, NaN and Infinity, endless nesting, and YAML that grows when its aliases are followed.
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
"""Size of the longest text file that is read. The labels of BDD100K's 70 000 training pictures take 1.2 GB."""
_MAX_BRACKETS = 200
MAX_YAML_NODES = 1_000_000
"""Most values a YAML file may hold once its aliases are followed."""


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: the file.
        most: largest size in bytes that is accepted.

    Raises:
        InputError: the file does not exist, is not a regular file (a pipe or device may never end), is too long, or
            cannot be read.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise InputError(f"{path}: is {'a folder' if stat.S_ISDIR(state.st_mode) else 'not a regular file'}")
            if state.st_size > most:
                raise InputError(f"{path}: has {state.st_size >> 20} MB; at most {most >> 20} MB are allowed")
            return file.read(state.st_size or most)  # Python allocates all it is asked for, so ask for no more
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a file") from error
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    r"""Return the text of a UTF-8 file, without a byte order mark and with ``\n`` as line ends.

    Raises:
        InputError: as for `read_bytes`, or the file is not UTF-8; the message names the line.
    """
    return decode_utf8(read_bytes(path, most), path).replace("\r\n", "\n").replace("\r", "\n")


def decode_utf8(data: bytes, path: Path) -> str:
    """Decode UTF-8 bytes, with or without a byte order mark. Raises InputError naming the line that is not UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: is in UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the error's position does not count a byte order mark
        at = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, at) + 1
        raise InputError(
            f"{path} line {line}: is not UTF-8 (byte 0x{data[at]:02x}); the file was saved in another encoding, so "
            "save it as UTF-8"
        ) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without surrounding space) for each line of a text file that is not empty.

    Raises:
        InputError: as for `read_text`.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if stripped := line.strip():
            yield number, stripped


def parse_json(text: str, where: str) -> Any:
    """Parse one JSON value. NaN and Infinity, which JSON does not have, are refused.

    Args:
        text: the document.
        where: the file (and line), for the error message.

    Raises:
        InputError: it is not valid JSON; the message names the line and column.

    Example:
        >>> parse_json('{"lanes": [1, 2]}', "lanes.json")
        {'lanes': [1, 2]}
    """

    def refuse(word: str) -> NoReturn:
        raise InputError(f"{where}: holds {word}, which is not a JSON number")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno} column {error.colno}"
        raise InputError(f"{where}: not readable as JSON: {error.msg} at {position}") from error
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deeply to be annotations") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{where}: not readable as JSON: {error}") from error


def read_json(path: Path) -> Any:
    """Return the value of a JSON file. Raises InputError as `read_text` and `parse_json` do."""
    return parse_json(read_text(path), str(path))


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Return the value of a YAML file, which may consist of plain values only.

    Args:
        path: the file.
        loader: the loader class; a subclass may read more plain values, such as ``1e-3`` as a number.

    Raises:
        InputError: as for `read_text`; or it is not YAML, or its aliases expand to more than `MAX_YAML_NODES` values.
    """
    text = read_text(path, 64 << 20)
    if _bracket_depth(text) > _MAX_BRACKETS:  # the library would take minutes to notice
        raise InputError(f"{path}: is nested too deeply or contains itself")
    try:
        opened = loader(text)
        try:
            node = opened.get_single_node()
            if node is None:
                return None
            if _expanded_size(node) > MAX_YAML_NODES:
                raise InputError(
                    f"{path}: would expand to more than {MAX_YAML_NODES} values when its aliases are followed"
                )
            return opened.construct_document(node)
        finally:
            opened.dispose()
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{line}: not readable as YAML: {first}") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply or contains itself") from error


def _bracket_depth(text: str) -> int:
    """Return the largest number of brackets that are open at once."""
    depth = deepest = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _expanded_size(node: yaml.Node) -> int:
    """Count the values of a document with its aliases followed, up to one more than `MAX_YAML_NODES`."""
    sizes: dict[int, int] = {}

    def size(item: yaml.Node) -> int:
        if id(item) not in sizes:
            sizes[id(item)] = MAX_YAML_NODES + 1  # a node that contains itself is endless
            inner: list[yaml.Node] = []
            if isinstance(item, yaml.MappingNode):
                inner = [part for pair in item.value for part in pair]
            elif isinstance(item, yaml.SequenceNode):
                inner = item.value
            sizes[id(item)] = min(MAX_YAML_NODES + 1, 1 + sum(map(size, inner)))
        return sizes[id(item)]

    return size(node)
