"""LabelMap: the classes, how source ids or colours are encoded to train ids, and how they are decoded back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from lanecli.errors import InputError, reason

IGNORE_ID = 255
"""The train id of a pixel that counts neither in a loss nor in a metric."""

_UNKNOWN = 254  # never a train id: marks source values that no class declares
MAX_MULTILABEL = 7
"""Most classes a multi-label map can have: its masks hold one bit per class, and all bits set is `IGNORE_ID`."""


@dataclass(frozen=True)
class LabelClass:
    """One class: its name, the RGB colour it is drawn in, and the source values it stands for.

    Attributes:
        name: the class's name.
        color: (R, G, B), each 0..255.
        sources: source ids, or colours packed as ``0xRRGGBB``, that are encoded to this class.
        decode: the source value this class is decoded to; None for its first source.
    """

    name: str
    color: tuple[int, int, int]
    sources: tuple[int, ...] = ()
    decode: int | None = None

    @property
    def decoded(self) -> int | None:
        """The source value this class is decoded to: `decode`, else its first source, else None."""
        return self.decode if self.decode is not None else (self.sources[0] if self.sources else None)


@dataclass(frozen=True)
class Decision:
    """Class ids chosen from scores.

    Attributes:
        class_map: (H, W) uint8 train ids; `IGNORE_ID` where no class holds (multi-label maps without a background).
        labels: (H, W) uint8, bit i set where class i holds, for multi-label maps; else None.
    """

    class_map: np.ndarray
    labels: np.ndarray | None = None


def pack_color(color: Iterable[int]) -> int:
    """Return (R, G, B), each 0..255, as ``0xRRGGBB``."""
    red, green, blue = (int(c) for c in color)
    return red << 16 | green << 8 | blue


def unpack_color(value: int) -> tuple[int, int, int]:
    """Return ``0xRRGGBB`` as (R, G, B)."""
    return value >> 16 & 255, value >> 8 & 255, value & 255


@dataclass(frozen=True)
class LabelMap:
    """A named set of classes, with the source values they are encoded from and decoded to.

    A class's index in `classes` is its train id.

    Attributes:
        name: its name on the command line and in files.
        classes: the classes in train id order (at most 254).
        ignored: source values that are encoded to `IGNORE_ID`.
        coding: ``"ids"`` (grey or palette pictures) or ``"colors"`` (RGB pictures, sources packed as 0xRRGGBB).
        background: train id of the class that metrics may leave out and overlays do not draw; None if there is none.
        swaps: pairs of train ids that are exchanged when a picture is mirrored left to right.
        multilabel: whether several classes may hold at one pixel (sigmoid) instead of exactly one (softmax). A source
            value may then belong to several classes, and a mask holds bit ``1 << i`` for class i instead of a train id.
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
            raise InputError(f"label map '{self.name}' must have 1 to 254 classes, not {len(self.classes)}")
        if self.coding not in ("ids", "colors"):
            raise InputError(f"label map '{self.name}': coding must be 'ids' or 'colors', not '{self.coding}'")
        if self.multilabel and len(self.classes) > MAX_MULTILABEL:
            raise InputError(f"label map '{self.name}': a multi-label map has at most {MAX_MULTILABEL} classes")
        seen: dict[int, str] = {}
        limit = 0xFF if self.coding == "ids" else 0xFFFFFF
        for name, values in (*((c.name, c.sources) for c in self.classes), ("ignored", self.ignored)):
            for value in values:
                if not 0 <= value <= limit:
                    raise InputError(f"label map '{self.name}': source {value} of '{name}' is outside 0..{limit}")
                if value in seen and (not self.multilabel or name == "ignored" or seen[value] == name):
                    raise InputError(f"label map '{self.name}': source {value} is in both '{seen[value]}' and '{name}'")
                seen[value] = name
        for label in self.classes:
            if not all(0 <= level <= 255 for level in label.color):
                raise InputError(f"label map '{self.name}': colour {label.color} of '{label.name}' is outside 0..255")
            if label.decode is not None and not 0 <= label.decode <= limit:
                raise InputError(f"label map '{self.name}': '{label.name}' decodes to {label.decode}, not 0..{limit}")
        if len({c.name for c in self.classes}) < len(self.classes):
            raise InputError(f"label map '{self.name}' names a class twice")
        if self.background is not None and not 0 <= self.background < len(self.classes):
            raise InputError(f"label map '{self.name}': there is no class {self.background} to be the background")
        if any(not 0 <= i < len(self.classes) for pair in self.swaps for i in pair):
            raise InputError(f"label map '{self.name}': a swap names a class that does not exist")

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

    @property
    def bernoulli(self) -> bool:
        """Whether scores are independent yes-or-no planes: one plane for two exclusive classes, or one per label."""
        return self.multilabel or len(self.classes) == 2

    @property
    def plane_classes(self) -> tuple[int, ...]:
        """The class that each plane of scores stands for: class 1 alone for two exclusive classes, else every class."""
        return (1,) if self.bernoulli and not self.multilabel else tuple(range(len(self.classes)))

    def same_classes(self, other: LabelMap) -> bool:
        """Return whether predictions of both maps mean the same: equal names in equal order, and the same mode."""
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
        """Encode source labels to train ids.

        Args:
            source: (H, W) uint8 ids, or (H, W, 3) uint8 RGB when `coding` is ``"colors"``.
            where: the file's name, for the error.

        Returns:
            (H, W) uint8 train ids, `IGNORE_ID` where ignored.

        Raises:
            InputError: a value is not in the map; the message names it, its pixel count and the nearest known value.

        Example:
            >>> from lanecli.labelmaps import label_map
            >>> label_map("culane").encode(np.array([[0, 2, 255]], np.uint8))
            array([[  0,   2, 255]], dtype=uint8)
        """
        wanted = 2 if self.coding == "ids" else 3
        if source.ndim != wanted or source.dtype != np.uint8:
            kind = "one channel of 8-bit ids" if wanted == 2 else "RGB colours"
            raise InputError(f"{where}: label map '{self.name}' needs {kind}, not {source.dtype} {source.shape}")
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
        unknown_values, counts = np.unique(values, return_counts=True)
        value, count = int(unknown_values[counts.argmax()]), int(counts.max())
        known = np.array(sorted({v for c in self.classes for v in c.sources} | set(self.ignored)))
        text = f"id {value}" if self.coding == "ids" else f"colour {unpack_color(value)}"
        more = f" and {len(unknown_values) - 1} more" if len(unknown_values) > 1 else ""
        unknown = f"{text} ({count} pixels){more} is not in label map '{self.name}'"
        if not known.size:
            return f"{unknown}, which has no source values at all"
        if self.coding == "ids":
            closest = int(known[np.abs(known - value).argmin()])
            near = f"id {closest}"
        else:
            rgb = np.array([unpack_color(int(v)) for v in known])
            closest = int(known[np.abs(rgb - np.array(unpack_color(value))).sum(1).argmin()])
            near = f"{unpack_color(closest)}"
        owner = next((c.name for c in self.classes if closest in c.sources), "ignored")
        return f"{unknown}; the nearest known value is {near} ('{owner}')"

    def decode(self, train_ids: np.ndarray) -> np.ndarray:
        """Decode train ids to source labels.

        Ignored pixels become the first ignored source value, or else the background.

        Args:
            train_ids: (H, W) uint8.

        Returns:
            (H, W) uint8 ids, or (H, W, 3) uint8 RGB for a map of colours.

        Raises:
            InputError: a class has no source, an id is not a class, or the map is multi-label, whose masks hold less
                than their sources.
        """
        if self.multilabel:
            raise InputError(f"label map '{self.name}' is multi-label, and its masks cannot be decoded to source ids")
        values: list[int] = []
        for label in self.classes:
            if label.decoded is None:
                raise InputError(f"label map '{self.name}': class '{label.name}' has no source value to decode to")
            values.append(label.decoded)
        highest = int(train_ids[train_ids != IGNORE_ID].max(initial=0))
        if highest >= len(values):
            raise InputError(f"train id {highest} is not one of the {len(values)} classes of label map '{self.name}'")
        table = np.zeros(256, np.uint32)
        table[: len(values)] = values
        table[IGNORE_ID] = self.ignored[0] if self.ignored else values[self.background or 0]
        decoded = table[train_ids]
        if self.coding == "ids":
            return decoded.astype(np.uint8)
        return np.stack([decoded >> 16 & 255, decoded >> 8 & 255, decoded & 255], axis=-1).astype(np.uint8)

    def split_labels(self, masks: np.ndarray) -> np.ndarray:
        """Split multi-label masks, which hold bit i for class i, into one plane per class.

        Args:
            masks: (…, H, W) uint8; `IGNORE_ID` where ignored.

        Returns:
            (…, C, H, W) uint8: 1 where the class holds, 0 where not, `IGNORE_ID` where ignored.
        """
        bits = np.arange(len(self.classes), dtype=np.uint8)[:, None, None]
        wide = masks[..., None, :, :]
        return np.where(wide == IGNORE_ID, np.uint8(IGNORE_ID), wide >> bits & 1).astype(np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Return a form for JSON and YAML, from which :meth:`from_dict` builds an equal map."""
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
        """Build a map from what :meth:`to_dict` returned. Raises InputError that says what is missing or wrong."""
        try:
            return cls(
                name=str(data["name"]),
                classes=tuple(
                    LabelClass(
                        str(c["name"]),
                        (_whole(c["color"][0]), _whole(c["color"][1]), _whole(c["color"][2])),
                        tuple(map(_whole, c.get("sources", ()))),
                        None if c.get("decode") is None else _whole(c["decode"]),
                    )
                    for c in data["classes"]
                ),
                ignored=tuple(map(_whole, data.get("ignored", (IGNORE_ID,)))),
                coding=str(data.get("coding", "ids")),
                background=None if data.get("background", 0) is None else _whole(data.get("background", 0)),
                swaps=tuple((_whole(a), _whole(b)) for a, b in data.get("swaps", ())),
                multilabel=bool(data.get("multilabel", False)),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise InputError(f"the label map cannot be read: {reason(error)}") from error


def _whole(value: Any) -> int:
    """Return a number from a file as int. Raises ValueError if it is not a whole number."""
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def decide(planes: np.ndarray, label_map: LabelMap, ties: np.ndarray | None = None, threshold: float = 0.5) -> Decision:
    """Choose class ids from scores. No other code does this.

    Two exclusive classes: class 1 where its plane is above `threshold`. Multi-label: each label whose plane is above
    `threshold`; the class map then has the highest of them, or the background where there is none, or `IGNORE_ID` if
    the map has no background. Many exclusive classes: the highest plane, the first of equal ones.

    Args:
        planes: (K, H, W) float32, one plane for each of `LabelMap.plane_classes`: probabilities, or any scores that
            compare alike, such as logits with a threshold of 0.
        label_map: the classes.
        ties: (K, H, W) float32 scores that decide where `planes` are equal (or equal to the threshold); None to take
            the first of equal planes.
        threshold: value above which a yes-or-no plane holds.

    Example:
        >>> from lanecli.labelmaps import label_map
        >>> decide(np.array([[[0.2, 0.7]]], np.float32), label_map("lane")).class_map
        array([[0, 1]], dtype=uint8)
    """
    if label_map.bernoulli and not label_map.multilabel:
        above = _above(planes[0], threshold, None if ties is None else ties[0])
        return Decision(np.bitwise_and(above, np.uint8(1), out=above))
    if not label_map.multilabel:
        return Decision(_highest(planes, ties)[0])
    best, _ = _highest(planes, ties)
    labels = np.zeros(best.shape, np.uint8)
    for train_id, plane in enumerate(planes):
        above = _above(plane, threshold, None if ties is None else ties[train_id])
        labels |= above & np.uint8(1 << train_id)
    none = IGNORE_ID if label_map.background is None else label_map.background
    best[labels == 0] = none
    return Decision(best, labels)


def _above(plane: np.ndarray, threshold: float, ties: np.ndarray | None) -> np.ndarray:
    """Return (H, W) uint8: 255 where `plane` is above `threshold`, or equal to it with a tie score above it."""
    if plane.size == 1:  # OpenCV treats an array of one pixel as a scalar
        above = np.where(plane > threshold, np.uint8(255), np.uint8(0))
    else:
        above = cv2.compare(plane, threshold, cv2.CMP_GT)
    if ties is not None:
        equal = np.isclose(plane, threshold, rtol=0, atol=_EQUAL)
        above[equal] = np.where(ties[equal] > threshold, 255, 0)
    return above.reshape(plane.shape)


def _highest(planes: np.ndarray, ties: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the highest plane, (H, W) uint8, and its value, (H, W)."""
    best = np.zeros(planes.shape[1:], np.uint8)
    highest = planes[0].copy()
    tie = None if ties is None else ties[0].copy()
    for number in range(1, len(planes)):
        if tie is None or ties is None:
            higher = planes[number] > highest
        else:
            equal = np.isclose(planes[number], highest, rtol=0, atol=_EQUAL)
            higher = np.where(equal, ties[number] > tie, planes[number] > highest)
            tie[higher] = ties[number][higher]
        best[higher] = number
        np.maximum(highest, planes[number], out=highest)
    return best, highest


_EQUAL = 1e-6
"""Largest difference of two shares of votes that still count as equal: weights are sums of float32."""


def planes_of(scores: np.ndarray, label_map: LabelMap, *, logits: bool = False) -> np.ndarray:
    """Reduce one score per class, (C, …), to one per `LabelMap.plane_classes`, (K, …).

    For the logits of two exclusive classes it is their difference, whose sigmoid is the probability of class 1.
    """
    if label_map.multilabel or len(label_map.classes) != 2:
        return scores
    return scores[1:] - scores[:1] if logits else scores[1:]


def probabilities_of(planes: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Expand (K, H, W) planes of probabilities, as :func:`decide` takes them, to (C, H, W), one for every class."""
    if label_map.multilabel or len(label_map.classes) != 2:
        return planes
    return np.concatenate([1 - planes, planes])
