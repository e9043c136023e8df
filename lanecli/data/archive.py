"""Files from outside that could bite: zip archives that reach out of their folder, XML that grows when read."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from lanecli import atomic
from lanecli.data.manifest import safe_relative
from lanecli.errors import InputError

_MAX_RATIO = 200
_HARMLESS = 64 << 20
"""An archive this small when unpacked is no bomb, however well it was packed."""


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip below `folder` and return it; files that are there with the right size are left.

    Raises:
        InputError: not a zip, damaged, with a name that leads outside, a link, or far larger than it looks.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [e for e in opened.infolist() if not e.is_dir()]
            _check_entries(archive, entries)
            for entry in entries:
                target = folder / safe_relative(entry.filename)
                if target.is_file() and target.stat().st_size == entry.file_size:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic.file(target) as temporary, opened.open(entry) as packed, temporary.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{archive}: not a zip that can be read ({error})") from error
    return folder


def _check_entries(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        try:
            safe_relative(entry.filename)
        except ValueError as error:
            raise InputError(f"{archive}: refused, it holds a path that leads outside: {error}") from error
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{archive}: refused, '{entry.filename}' is a link")
    total, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if total > _HARMLESS and total > _MAX_RATIO * max(packed, 1):
        raise InputError(f"{archive}: refused, {packed} bytes would unpack to {total}")


def read_xml(path: Path) -> Element:
    """Parse XML without document types, so that no entity expands and nothing outside is read.

    Raises:
        InputError: no such file, not well-formed, or with a document type or entity.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: refused, it declares a document type or entities; annotations have none")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except expat.ExpatError as error:
        raise InputError(f"{path}: not well-formed XML ({error})") from error
    return builder.close()
