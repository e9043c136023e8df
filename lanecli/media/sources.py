"""Finds the sources that a user names: pictures, folders, globs, videos, cameras and streams."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lanecli.errors import InputError
from lanecli.media.container import is_url
from lanecli.media.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES, kind_of
from lanecli.media.mark import is_output

Kind = Literal["image", "video", "camera", "stream"]
Note = Callable[[str], object]

_LONGEST_STEM = 220  # bytes; a file name may have 255, and outputs add an ending


@dataclass(frozen=True, slots=True)
class Source:
    """A picture, video, camera or stream to read.

    Attributes:
        kind: image, video, camera or stream.
        path: the file's path, the camera's number or the stream's URL.
        relative: folder below the output folder, the same as the source's below the folder that was named.
        stem: start of the outputs' names; no two sources have the same `relative / stem`.
    """

    kind: Kind
    path: str
    relative: Path
    stem: str


def expand_sources(
    sources: Sequence[str | Path], *, exclude: str | Path | None = None, note: Note = lambda _line: None
) -> list[Source]:
    """Return every source that `sources` name, in their order, and sorted by path within a folder or glob.

    Folders are searched recursively without hidden files and folders, and their structure is kept in `relative`, as are
    the folders that a glob matched. A file named twice is read once. Sources whose outputs would have the same name get
    different stems, which do not depend on their order: by suffix (`a.jpg` and `a.png` get the stems `a.jpg` and
    `a.png`), or else by the folders above (`x/a.jpg` and `y/a.jpg` get `x-a` and `y-a`), or else by a hash of the path.
    Upper and lower case count as equal, as they are in some file systems.

    What `predict` and `overlay` wrote is never a source, even if it was moved or renamed.

    Args:
        sources: paths, globs, camera numbers, stream URLs.
        exclude: a folder not to search, such as the output folder.
        note: called with a line about what was left out of a folder or glob, and why.

    Raises:
        InputError: a path does not exist, a folder has nothing to read, or a glob matches nothing.

    Example:
        >>> [(source.kind, source.stem) for source in expand_sources(["0", "rtsp://garage/left"])]
        [('camera', 'camera0'), ('stream', 'left')]
    """
    skip = os.path.abspath(exclude) if exclude is not None else None
    found: dict[str, Source] = {}
    own_outputs = _LeftOut()
    for name in sources:
        for source in _expand(os.fspath(name), skip, note):
            if source.kind in ("image", "video"):
                key = os.path.abspath(source.path)
                if key in found or is_output(source.path):
                    if key not in found:
                        own_outputs.add("written by lanecli itself")
                    continue
            else:
                key = source.path
            found.setdefault(key, source)
    own_outputs.report("left out", note)
    if not found and own_outputs:
        raise InputError(f"nothing to read: {own_outputs}; lanecli does not read its own outputs")
    if not found:
        raise InputError("nothing to read: name a picture, folder, glob, video, camera number or stream URL")
    return _with_unique_stems(list(found.values()))


class _LeftOut:
    """Counts the files that are left out, by reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        self._counts[reason] += 1

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        return ", ".join(f"{n} {'file' if n == 1 else 'files'} {reason}" for reason, n in self._counts.most_common(6))

    def report(self, where: str, note: Note) -> None:
        if self:
            note(f"{where}: {self}")


def _expand(name: str, skip: str | None, note: Note) -> Iterator[Source]:
    here = Path()
    if is_url(name):
        yield Source("stream", name, here, _url_stem(name))
    elif os.path.isdir(name):
        yield from _in_folder(name, skip, note)
    elif os.path.lexists(name):
        yield _file(name, here)
    elif name.isascii() and name.isdigit():
        yield Source("camera", name, here, f"camera{int(name)}")
    elif glob.has_magic(name):
        yield from _in_glob(name, skip, note)
    else:
        raise InputError(f"{name}: no such file or folder")


def _in_folder(name: str, skip: str | None, note: Note) -> Iterator[Source]:
    left_out = _LeftOut()

    def unreadable(error: OSError) -> None:
        note(f"{error.filename}: left out, as it cannot be read ({error.strerror})")

    count = 0
    for folder, folders, files in os.walk(name, onerror=unreadable):
        for entry in folders:
            if os.path.islink(os.path.join(folder, entry)) and not entry.startswith("."):
                note(f"{os.path.join(folder, entry)}: left out, as it links to another folder; name it to read it")
        folders[:] = sorted(
            entry
            for entry in folders
            if not entry.startswith(".") and os.path.abspath(os.path.join(folder, entry)) != skip
        )
        for entry in sorted(files):
            if entry.startswith("."):
                left_out.add("hidden")
            elif _is_named_as_source(entry):
                count += 1
                yield _file(os.path.join(folder, entry), Path(os.path.relpath(folder, name)))
            else:
                left_out.add(f"named {Path(entry).suffix or 'without a suffix'}")
    left_out.report(f"{name}: left out", note)
    if not count:
        more = f" ({left_out})" if left_out else ""
        raise InputError(f"{name}: the folder holds no picture or video{more}")


def _in_glob(pattern: str, skip: str | None, note: Note) -> Iterator[Source]:
    fixed = Path(*_before_magic(Path(pattern)))
    left_out = _LeftOut()
    count = 0
    for match in sorted(glob.glob(pattern, recursive=True)):
        absolute = os.path.abspath(match)
        if os.path.isdir(match) or (skip is not None and absolute.startswith(skip + os.sep)):
            continue
        if _is_named_as_source(match):
            count += 1
            yield _file(match, Path(os.path.relpath(os.path.dirname(match) or ".", fixed)))
        else:
            left_out.add(f"named {Path(match).suffix or 'without a suffix'}")
    left_out.report(f"{pattern}: left out", note)
    if not count:
        raise InputError(f"{pattern}: matches no picture or video")


def _is_named_as_source(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _before_magic(pattern: Path) -> Iterator[str]:
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _file(name: str, relative: Path) -> Source:
    """Return a file as a picture or a video, by its suffix or else by its first bytes.

    A file that neither identifies is a picture, so that reading it fails with a message that names it.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    kind: Kind = "image"
    if suffix in VIDEO_SUFFIXES:
        kind = "video"
    elif suffix not in PICTURE_SUFFIXES:
        kind = kind_of(_head(path)) or "image"
    return Source(kind, name, relative, path.stem)


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file, and none of a pipe, on which reading could wait for ever."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(400)
    except OSError:
        pass  # reading the source will report it
    return b""


def _url_stem(url: str) -> str:
    parts = urlsplit(url)
    text = Path(parts.path).stem or parts.hostname or "stream"
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "stream"


def _with_unique_stems(sources: list[Source]) -> list[Source]:
    names = [_candidates(source) for source in sources]
    level = [0] * len(sources)
    while True:
        keys = [
            (os.fspath(s.relative).casefold(), n[i].casefold()) for s, n, i in zip(sources, names, level, strict=True)
        ]
        counts = Counter(keys)
        clash = [number for number, key in enumerate(keys) if counts[key] > 1]
        if not clash:
            return [replace(s, stem=n[i]) for s, n, i in zip(sources, names, level, strict=True)]
        for number in clash:
            level[number] = min(level[number] + 1, len(names[number]) - 1)


def _candidates(source: Source) -> list[str]:
    """Return possible stems of a source, from the simplest to one that no other source can have."""
    digest = sha256(os.path.abspath(source.path).encode("utf-8", "surrogateescape")).hexdigest()[:10]
    if source.kind in ("camera", "stream"):
        return [source.stem, f"{source.stem}-{sha256(source.path.encode()).hexdigest()[:10]}"]
    path = Path(os.path.abspath(source.path))
    above = path.parts[1:-1]
    names = [path.stem, path.name]
    for depth in range(1, len(above) + 1):
        names.append("-".join([*above[-depth:], path.stem]))
        names.append("-".join([*above[-depth:], path.name]))
    return [*(_short(name, digest) for name in names), f"{_short(path.stem, digest)}-{digest}"]


def _short(stem: str, digest: str) -> str:
    """Return a stem that leaves room for the endings of outputs: a longer one is cut and gets the hash of its path."""
    if len(os.fsencode(stem)) <= _LONGEST_STEM:
        return stem
    while len(os.fsencode(stem)) > _LONGEST_STEM - 2 * len(digest) - 2:
        stem = stem[:-1]
    return f"{stem}-{digest}"
