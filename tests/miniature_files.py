"""Files the miniatures of public layouts are made of, written with Pillow alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def picture(path: Path, size: tuple[int, int] = (16, 8), level: int = 90) -> Path:
    """A grey picture with a white left half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), level, np.uint8)
    pixels[:, : size[0] // 2] = 255
    Image.fromarray(pixels).save(path)
    return path


def ids(path: Path, values: Any) -> Path:
    """A grey PNG of ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def palette_ids(path: Path, values: Any) -> Path:
    """A palette PNG whose indices are ids and whose colours say something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8), mode="P")
    image.putpalette([c for i in range(256) for c in (255 - i, (7 * i) % 256, i // 2)])
    image.save(path)
    return path


def colors(path: Path, rows: Iterable[Iterable[Any]]) -> Path:
    """An RGB or RGBA PNG from rows of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rows if isinstance(rows, np.ndarray) else [list(row) for row in rows]
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def text(path: Path, content: str) -> Path:
    """A UTF-8 text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def as_json(path: Path, content: Any) -> Path:
    """A JSON file."""
    return text(path, json.dumps(content, ensure_ascii=False))


def block(size: tuple[int, int], value: int, left: int, top: int, right: int, bottom: int, base: int = 0) -> np.ndarray:
    """(H, W) of `base` with `value` in columns left..right-1 of rows top..bottom-1."""
    mask = np.full((size[1], size[0]), base, np.uint8)
    mask[top:bottom, left:right] = value
    return mask


def stored(path: Path) -> np.ndarray:
    """A picture as Pillow reads it."""
    with Image.open(path) as image:
        return np.array(image)
