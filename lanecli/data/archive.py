"""Files from outside that could bite: zip archives that reach out of their folder, XML that grows when read."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from lanecli import atomic
from lanecli.data.manifest import safe_relative
from lanecli.errors import InputError, printable_name
from lanecli.textfiles import decode_utf8, read_bytes

_MAX_RATIO = 200
_HARMLESS = 64 << 20
"""An archive this small when unpacked is no bomb, however well it was packed."""
_MAX_ENTRIES = 1_000_000
_MAX_DEPTH = 64
"""Deepest nesting of XML elements: annotations need five."""
_DECLARED = re.compile(rb"(\xff\xfe|\xfe\xff|\s*<\?xml[^>]*encoding\s*=\s*[\"'](?!utf-?8[\"']))", re.IGNORECASE)
"""An XML file that says it is in another encoding than UTF-8, which the parser then follows."""
_UTF8_NAME = 0x800


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip below `folder` and return it; files that are there with the right size are left.

    Raises:
        InputError: not a zip, damaged, with a name that leads outside, a link, or far larger than it looks or than the
            disk has room for.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = {_name_of(e): e for e in opened.infolist() if not e.is_dir()}
            _check_entries(archive, entries)
            _check_room(archive, folder, sum(e.file_size for e in entries.values()))
            for name, entry in entries.items():
                target = folder / safe_relative(name)
                if target.is_file() and target.stat().st_size == entry.file_size:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as packed, atomic.file(target) as temporary, temporary.open("wb") as file:
                    file.writelines(_pieces(packed))
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        LookupError,
    ) as error:
        raise InputError(f"{archive}: not a zip that can be read ({error!s:.500})") from error
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise InputError(f"{archive}: cannot be unpacked ({told!s:.500})") from error
    return folder


def _pieces(packed: IO[bytes]) -> Iterator[bytes]:
    """A packed file piece by piece; what cannot be read is the zip's fault, not that of the place it is written to."""
    while True:
        try:
            piece = packed.read(1 << 20)
        except OSError as error:
            raise zipfile.BadZipFile(f"it leads to places that are not in it: {error.strerror or error}") from error
        if not piece:
            return
        yield piece


def inner_folder(folder: Path) -> Path:
    """The folder an archive is wrapped in, however deep, or `folder` itself."""
    while True:
        inner = [p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "__MACOSX"]
        if len(inner) != 1 or not inner[0].is_dir():
            return folder
        folder = inner[0]


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name with forward slashes; UTF-8 that was not marked as such is read as UTF-8."""
    name = entry.filename
    if not entry.flag_bits & _UTF8_NAME:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name.replace("\\", "/")


def _check_entries(archive: Path, entries: dict[str, zipfile.ZipInfo]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise InputError(f"{archive}: refused, it holds {len(entries)} files, more than {_MAX_ENTRIES}")
    for name, entry in entries.items():
        try:
            safe_relative(name)
        except ValueError as error:
            raise InputError(f"{archive}: refused, it holds a path that leads outside: {error!s:.500}") from error
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{archive}: refused, '{printable_name(name)}' is a link")
    total, packed = (
        sum(e.file_size for e in entries.values()),
        sum(e.compress_size for e in entries.values()),
    )
    if total > _HARMLESS and total > _MAX_RATIO * max(packed, 1):
        raise InputError(f"{archive}: refused, {packed} bytes would unpack to {total}")


def _check_room(archive: Path, folder: Path, total: int) -> None:
    place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    if total > free:
        raise InputError(f"{archive}: unpacks to {total >> 20} MB, but {place} has room for {free >> 20} MB only")


def read_xml(path: Path) -> Element:
    """Parse XML without document types, so that no entity expands and nothing outside is read.

    Raises:
        InputError: no such file, not well-formed, nested without end, or with a document type or entity.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise InputError(f"{path} line {parser.CurrentLineNumber}: is nested too deeply to be annotations")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: refused, it declares a document type or entities; annotations have none")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    data = read_bytes(path)
    if not _DECLARED.match(data):
        decode_utf8(data, path)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(f"{path}: not well-formed XML ({error})") from error
    except (LookupError, ValueError) as error:  # an encoding Python does not know either
        raise InputError(f"{path}: is in an encoding that is not known ({error}); save it as UTF-8") from error
    return builder.close()
