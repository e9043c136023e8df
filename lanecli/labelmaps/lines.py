"""Label maps of data sets whose labels are lines: binary, and one class per lane slot from left to right."""

from __future__ import annotations

from lanecli.labels import LabelClass, LabelMap

_SLOT_COLORS = ((255, 128, 0), (255, 0, 255), (0, 255, 0), (0, 160, 255), (255, 255, 0), (255, 0, 0))


def _slots(name: str, words: tuple[str, ...], colors: tuple[tuple[int, int, int], ...]) -> LabelMap:
    """Return a map of the background and one class per slot; a mirrored picture reverses the order of the slots."""
    classes = tuple(LabelClass(w, c, (i,)) for i, (w, c) in enumerate(zip(words, colors, strict=True), 1))
    count = len(words)
    swaps = tuple((i, count + 1 - i) for i in range(1, count // 2 + 1))
    return LabelMap(name, (LabelClass("background", (0, 0, 0), (0,)), *classes), (255,), swaps=swaps)


BINARY = LabelMap(
    "binary",
    (LabelClass("background", (0, 0, 0), (0,)), LabelClass("lane marking", (0, 255, 0), (255,))),
    (),
)
TUSIMPLE_BINARY = LabelMap(
    "tusimple-binary",
    (LabelClass("background", (0, 0, 0), (0,)), LabelClass("lane", (0, 255, 0), (255, *range(1, 7)))),
    (),
)
TUSIMPLE_SLOTS = _slots("tusimple-slots", tuple(f"lane {i}" for i in range(1, 7)), _SLOT_COLORS)
CULANE = _slots("culane", tuple(f"lane {i}" for i in range(1, 5)), _SLOT_COLORS[1:5])
LLAMAS = _slots("llamas", ("l1", "l0", "r0", "r1"), _SLOT_COLORS[1:5])
