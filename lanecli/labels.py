"""LabelMap: the classes, how source ids or colours become train ids, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from lanecli.errors import InputError

IGNORE_ID = 255
"""The train id of a pixel that counts neither in a loss nor in a metric."""

_UNKNOWN = 254  # never a train id: marks table entries nothing was declared for
MAX_MULTILABEL = 7
"""Most classes of a multi-label map: its masks hold one bit per class, and all bits set is `IGNORE_ID`."""


@dataclass(frozen=True)
class LabelClass:
    """One class: its name, the RGB colour it is drawn in, and the source values that become it.

    `sources` are source ids, or colours packed as ``0xRRGGBB``; `decode` is the one written back.
    """

    name: str
    color: tuple[int, int, int]
    sources: tuple[int, ...] = ()
    decode: int | None = None

    @property
    def decoded(self) -> int | None:
        """The source value this class is written back as: `decode`, else its first source."""
        return self.decode if self.decode is not None else (self.sources[0] if self.sources else None)


def pack_color(color: Iterable[int]) -> int:
    """(R, G, B), each 0..255, as ``0xRRGGBB``."""
    red, green, blue = (int(c) for c in color)
    return red << 16 | green << 8 | blue


def unpack_color(value: int) -> tuple[int, int, int]:
    """``0xRRGGBB`` as (R, G, B)."""
    return value >> 16 & 255, value >> 8 & 255, value & 255


@dataclass(frozen=True)
class LabelMap:
    """A named set of classes with its encode and decode sides; index in `classes` is the train id.

    Attributes:
        name: what it is called on the command line and in files.
        classes: the classes in train id order (at most 254).
        ignored: source values that become `IGNORE_ID`.
        coding: ``"ids"`` (grey or palette pictures) or ``"colors"`` (RGB pictures, sources packed as 0xRRGGBB).
        background: train id of the class metrics may leave out and overlays do not draw; None if there is none.
        swaps: pairs of train ids that change places when a picture is mirrored left to right.
        multilabel: several classes may hold at one pixel (sigmoid) instead of one of many (softmax). A source value
            may then be in several classes, and a mask holds bit ``1 << i`` for class i instead of a train id.
    """

    name: str
    classes: tuple[LabelClass, ...]
    ignored: tuple[int, ...] = (IGNORE_ID,)
    coding: str = "ids"
    background: int | None = 0
    swaps: tuple[tuple[int, int], ...] = ()
    multilabel: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= 254:
            raise InputError(f"label map '{self.name}' needs 1 to 254 classes, it has {len(self.classes)}")
        if self.coding not in ("ids", "colors"):
            raise InputError(f"label map '{self.name}': coding is 'ids' or 'colors', not '{self.coding}'")
        if self.multilabel and len(self.classes) > MAX_MULTILABEL:
            raise InputError(f"label map '{self.name}': a multi-label map has at most {MAX_MULTILABEL} classes")
        seen: dict[int, str] = {}
        limit = 0xFF if self.coding == "ids" else 0xFFFFFF
        for name, values in (*((c.name, c.sources) for c in self.classes), ("ignored", self.ignored)):
            for value in values:
                if not 0 <= value <= limit:
                    raise InputError(f"label map '{self.name}': source {value} of '{name}' is outside 0..{limit}")
                if value in seen and (not self.multilabel or name == "ignored" or seen[value] == name):
                    raise InputError(f"label map '{self.name}': source {value} is in '{seen[value]}' and '{name}'")
                seen[value] = name
        for label in self.classes:
            if not all(0 <= level <= 255 for level in label.color):
                raise InputError(f"label map '{self.name}': colour {label.color} of '{label.name}' is outside 0..255")
            if label.decode is not None and not 0 <= label.decode <= limit:
                raise InputError(f"label map '{self.name}': '{label.name}' decodes to {label.decode}, not 0..{limit}")
        if len({c.name for c in self.classes}) < len(self.classes):
            raise InputError(f"label map '{self.name}' names a class twice")
        if self.background is not None and not 0 <= self.background < len(self.classes):
            raise InputError(f"label map '{self.name}': background {self.background} is no class")
        if any(not 0 <= i < len(self.classes) for pair in self.swaps for i in pair):
            raise InputError(f"label map '{self.name}': a swap names a class that is not there")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in train id order."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8 RGB: the colour of each train id; ids without a class are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.classes)] = [c.color for c in self.classes]
        return table

    def same_classes(self, other: LabelMap) -> bool:
        """Whether predictions of both mean the same: equal names in equal order, and the same mode."""
        return self.names == other.names and self.multilabel == other.multilabel

    @cached_property
    def _encode_table(self) -> np.ndarray:
        table = np.full(256 if self.coding == "ids" else 1 << 24, _UNKNOWN, np.uint8)
        for train_id, label in enumerate(self.classes):
            sources = list(label.sources)
            if self.multilabel:
                table[sources] = np.where(table[sources] == _UNKNOWN, 0, table[sources]) | 1 << train_id
            else:
                table[sources] = train_id
        table[list(self.ignored)] = IGNORE_ID
        return table

    def encode(self, source: np.ndarray, where: str = "mask") -> np.ndarray:
        """Source labels to train ids.

        Args:
            source: (H, W) uint8 ids, or (H, W, 3) uint8 RGB when `coding` is ``"colors"``.
            where: the file's name, for the error.

        Returns:
            (H, W) uint8 train ids, `IGNORE_ID` where ignored.

        Raises:
            InputError: a value the map does not know, named with its pixel count and the nearest known one.
        """
        wanted = 2 if self.coding == "ids" else 3
        if source.ndim != wanted or source.dtype != np.uint8:
            kind = "one channel of 8-bit ids" if wanted == 2 else "RGB colours"
            raise InputError(f"{where}: label map '{self.name}' reads {kind}, got {source.dtype} {source.shape}")
        if self.coding == "colors":
            wide = source.astype(np.uint32)
            source = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
            encoded = self._encode_table[source]
        else:
            encoded = cv2.LUT(source, self._encode_table)
        unknown = encoded == _UNKNOWN
        if unknown.any():
            raise InputError(f"{where}: {self._describe_unknown(source[unknown])}")
        return encoded

    def _describe_unknown(self, values: np.ndarray) -> str:
        found, counts = np.unique(values, return_counts=True)
        value, count = int(found[counts.argmax()]), int(counts.max())
        known = np.array(sorted({v for c in self.classes for v in c.sources} | set(self.ignored)))
        text = f"id {value}" if self.coding == "ids" else f"colour {unpack_color(value)}"
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        unknown = f"{text} ({count} pixels){more} is not in label map '{self.name}'"
        if not known.size:
            return f"{unknown}, which names no source at all"
        if self.coding == "ids":
            closest = int(known[np.abs(known - value).argmin()])
            near = f"id {closest}"
        else:
            rgb = np.array([unpack_color(int(v)) for v in known])
            closest = int(known[np.abs(rgb - np.array(unpack_color(value))).sum(1).argmin()])
            near = f"{unpack_color(closest)}"
        owner = next((c.name for c in self.classes if closest in c.sources), "ignored")
        return f"{unknown}; the nearest known is {near} ('{owner}')"

    def decode(self, train_ids: np.ndarray) -> np.ndarray:
        """Train ids back to source labels: (H, W) uint8 ids, or (H, W, 3) uint8 RGB for a colour map.

        Ignored pixels become the first ignored source value, or the background where there is none.
        Raises InputError for a class without a source, or an id that is no class, or for a multi-label map, whose
        masks say less than their sources.
        """
        if self.multilabel:
            raise InputError(
                f"label map '{self.name}' holds several labels at a pixel and has no way back to source ids"
            )
        values: list[int] = []
        for label in self.classes:
            if label.decoded is None:
                raise InputError(f"label map '{self.name}': class '{label.name}' has no source value to decode to")
            values.append(label.decoded)
        highest = int(train_ids[train_ids != IGNORE_ID].max(initial=0))
        if highest >= len(values):
            raise InputError(f"train id {highest} is no class of label map '{self.name}' ({len(values)} classes)")
        table = np.zeros(256, np.uint32)
        table[: len(values)] = values
        table[IGNORE_ID] = self.ignored[0] if self.ignored else values[self.background or 0]
        decoded = table[train_ids]
        if self.coding == "ids":
            return decoded.astype(np.uint8)
        return np.stack([decoded >> 16 & 255, decoded >> 8 & 255, decoded & 255], axis=-1).astype(np.uint8)

    def planes(self, masks: np.ndarray) -> np.ndarray:
        """Masks of several labels at once, bit i for class i, as one plane a class.

        Args:
            masks: (…, H, W) uint8; `IGNORE_ID` where ignored.

        Returns:
            (…, C, H, W) uint8: 1 where the class holds, 0 where not, `IGNORE_ID` where ignored.
        """
        bits = np.arange(len(self.classes), dtype=np.uint8)[:, None, None]
        wide = masks[..., None, :, :]
        return np.where(wide == IGNORE_ID, np.uint8(IGNORE_ID), wide >> bits & 1).astype(np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """A JSON and YAML friendly form; :meth:`from_dict` reads it back equal."""
        return {
            "name": self.name,
            "coding": self.coding,
            "background": self.background,
            "multilabel": self.multilabel,
            "ignored": list(self.ignored),
            "swaps": [list(pair) for pair in self.swaps],
            "classes": [
                {"name": c.name, "color": list(c.color), "sources": list(c.sources), "decode": c.decode}
                for c in self.classes
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelMap:
        """Read :meth:`to_dict`'s form. Raises InputError naming what is missing or wrong."""
        try:
            return cls(
                name=str(data["name"]),
                classes=tuple(
                    LabelClass(
                        str(c["name"]),
                        (int(c["color"][0]), int(c["color"][1]), int(c["color"][2])),
                        tuple(int(v) for v in c.get("sources", ())),
                        None if c.get("decode") is None else int(c["decode"]),
                    )
                    for c in data["classes"]
                ),
                ignored=tuple(int(v) for v in data.get("ignored", (IGNORE_ID,))),
                coding=str(data.get("coding", "ids")),
                background=data.get("background", 0),
                swaps=tuple((int(a), int(b)) for a, b in data.get("swaps", ())),
                multilabel=bool(data.get("multilabel", False)),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise InputError(f"label map is not readable: {type(error).__name__} {error}") from error
