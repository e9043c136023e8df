"""Reads zip archives and XML from others safely: paths may lead outside their folder, and XML may expand endlessly."""

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
"""Unpacked size in bytes up to which an archive is not a zip bomb, however well it is compressed."""
_MAX_ENTRIES = 1_000_000
_MAX_DEPTH = 64
"""Deepest nesting of XML elements that is accepted; annotations need five levels."""
_DECLARED = re.compile(rb"(\xff\xfe|\xfe\xff|\s*<\?xml[^>]*encoding\s*=\s*[\"'](?!utf-?8[\"']))", re.IGNORECASE)
"""Matches the beginning of an XML file that declares an encoding other than UTF-8, which the parser then uses."""
_UTF8_NAME = 0x800


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip below `folder` and return `folder`. Files that exist with the right size are not unpacked again.

    Raises:
        InputError: it is not a zip or is damaged; it holds a link or a path that leads outside; or it would unpack to
            suspiciously many bytes, or to more than the disk has room for.
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
        raise InputError(f"{archive}: not readable as a zip ({error!s:.500})") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{archive}: cannot be unpacked ({reason!s:.500})") from error
    return folder


def _pieces(packed: IO[bytes]) -> Iterator[bytes]:
    """Yield a packed file piece by piece. A reading error becomes BadZipFile, unlike an error of writing."""
    while True:
        try:
            piece = packed.read(1 << 20)
        except OSError as error:
            raise zipfile.BadZipFile(f"an entry points outside the file: {error.strerror or error}") from error
        if not piece:
            return
        yield piece


def inner_folder(folder: Path) -> Path:
    """Follow folders that hold nothing but one folder, and return the last; `folder` itself if it holds more."""
    while True:
        inner = [p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "__MACOSX"]
        if len(inner) != 1 or not inner[0].is_dir():
            return folder
        folder = inner[0]


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name with forward slashes, read as UTF-8 even if it is not marked as UTF-8."""
    name = entry.filename
    if not entry.flag_bits & _UTF8_NAME:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name.replace("\\", "/")


def _check_entries(archive: Path, entries: dict[str, zipfile.ZipInfo]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise InputError(f"{archive}: refused, since it holds {len(entries)} files, more than {_MAX_ENTRIES}")
    for name, entry in entries.items():
        try:
            safe_relative(name)
        except ValueError as error:
            raise InputError(f"{archive}: refused, since it holds a path that leads outside: {error!s:.500}") from error
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{archive}: refused, since '{printable_name(name)}' is a link")
    total, packed = (
        sum(e.file_size for e in entries.values()),
        sum(e.compress_size for e in entries.values()),
    )
    if total > _HARMLESS and total > _MAX_RATIO * max(packed, 1):
        raise InputError(f"{archive}: refused, since {packed} bytes would unpack to {total} bytes")


def _check_room(archive: Path, folder: Path, total: int) -> None:
    existing = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    if total > free:
        raise InputError(f"{archive}: unpacks to {total >> 20} MB, but {existing} has room for only {free >> 20} MB")


def read_xml(path: Path) -> Element:
    """Parse XML and refuse document types, so that no entity expands and no other file is read.

    Raises:
        InputError: the file does not exist, is not well-formed, is nested too deeply, or declares a document type or
            entities.
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
        raise InputError(f"{path}: refused, since it declares a document type or entities; annotations have none")

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
        raise InputError(f"{path}: is not well-formed XML ({error})") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know either
        raise InputError(f"{path}: is in an unknown encoding ({error}); save it as UTF-8") from error
    return builder.close()
