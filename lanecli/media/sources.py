"""From what a user names to what there is to do: pictures, folders, globs, videos, cameras and streams."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lanecli.errors import InputError
from lanecli.media.container import is_url
from lanecli.media.pictures import PICTURE_SUFFIXES

Kind = Literal["image", "video", "camera", "stream"]

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".wmv", ".asf"}
    | {".3gp", ".ogv", ".mjpeg", ".mjpg", ".h264", ".hevc", ".gif"}
)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\x00", b"MM\x00*", b"P5", b"P6")


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to read.

    Attributes:
        kind: image, video, camera or stream.
        path: The file's path, the camera's number or the stream's URL.
        relative: Folder below the output folder that mirrors where the source was found.
        stem: Name the outputs begin with; no two sources share `relative / stem`.
    """

    kind: Kind
    path: str
    relative: Path
    stem: str


def expand_sources(sources: Sequence[str | Path], *, exclude: str | Path | None = None) -> list[Source]:
    """Find every source that `sources` name, in their order; inside a folder or glob sorted by path.

    Folders are searched through, hidden files and folders left out, and their structure is mirrored in `relative`; so
    is what a glob's wildcards matched. A file named twice is taken once. Sources that would share an output name are
    told apart by what is in their own names, whatever their order: by suffix (`a.jpg` and `a.png` give the stems
    `a.jpg` and `a.png`), else by the folders above (`x/a.jpg` and `y/a.jpg` give `x-a` and `y-a`), else by a hash of
    the path. Upper and lower case count as the same, as some file systems take them.

    Args:
        sources: Paths, globs, camera numbers, stream URLs.
        exclude: A folder not to search, such as the one outputs go to.

    Raises:
        InputError: A path does not exist, a folder holds nothing to read, a glob matches nothing.
    """
    skip = os.path.abspath(exclude) if exclude is not None else None
    found: dict[str, Source] = {}
    for name in sources:
        for source in _expand(os.fspath(name), skip):
            key = os.path.abspath(source.path) if source.kind in ("image", "video") else source.path
            found.setdefault(key, source)
    if not found:
        raise InputError("nothing to read: name a picture, folder, glob, video, camera number or stream URL")
    return _with_unique_stems(list(found.values()))


def _expand(name: str, skip: str | None) -> Iterator[Source]:
    here = Path()
    if is_url(name):
        yield Source("stream", name, here, _url_stem(name))
    elif os.path.isdir(name):
        yield from _in_folder(name, skip)
    elif os.path.lexists(name):
        yield _file(name, here)
    elif name.isascii() and name.isdigit():
        yield Source("camera", name, here, f"camera{int(name)}")
    elif glob.has_magic(name):
        yield from _in_glob(name, skip)
    else:
        raise InputError(f"{name}: no such file or folder")


def _in_folder(name: str, skip: str | None) -> Iterator[Source]:
    count = 0
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(
            entry
            for entry in folders
            if not entry.startswith(".") and os.path.abspath(os.path.join(folder, entry)) != skip
        )
        for entry in sorted(files):
            if not entry.startswith(".") and Path(entry).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
                count += 1
                yield _file(os.path.join(folder, entry), Path(os.path.relpath(folder, name)))
    if not count:
        raise InputError(f"{name}: the folder holds no picture or video")


def _in_glob(pattern: str, skip: str | None) -> Iterator[Source]:
    fixed = Path(*_before_magic(Path(pattern)))
    count = 0
    for match in sorted(glob.glob(pattern, recursive=True)):
        absolute = os.path.abspath(match)
        if os.path.isdir(match) or (skip is not None and absolute.startswith(skip + os.sep)):
            continue
        if Path(match).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
            count += 1
            yield _file(match, Path(os.path.relpath(os.path.dirname(match) or ".", fixed)))
    if not count:
        raise InputError(f"{pattern}: matches no picture or video")


def _before_magic(pattern: Path) -> Iterator[str]:
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _file(name: str, relative: Path) -> Source:
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        kind: Kind = "image"
    elif suffix in VIDEO_SUFFIXES:
        kind = "video"
    else:
        kind = "image" if _looks_like_picture(path) else "video"
    return Source(kind, name, relative, path.stem)


def _looks_like_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


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
    """Names for the outputs of a source, from the plainest to one that is surely its own."""
    own = sha256(os.path.abspath(source.path).encode("utf-8", "surrogateescape")).hexdigest()[:10]
    if source.kind in ("camera", "stream"):
        return [source.stem, f"{source.stem}-{sha256(source.path.encode()).hexdigest()[:10]}"]
    path = Path(os.path.abspath(source.path))
    above = path.parts[1:-1]
    names = [path.stem, path.name]
    for depth in range(1, len(above) + 1):
        names.append("-".join([*above[-depth:], path.stem]))
        names.append("-".join([*above[-depth:], path.name]))
    return [*names, f"{path.stem}-{own}"]
