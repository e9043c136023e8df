"""comma10k: ``imgs/`` and ``masks/``, ``imgs2/`` and ``masks2/`` (wide camera), ``imgsd/`` and ``masksd/`` (driver).

Pictures whose names end in 9 are the official validation set. The group is the route (device and start of the drive).
"""

from __future__ import annotations

import re

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match

_ROUTE = re.compile(r"([0-9a-f]{16}_\d{4}-\d{2}-\d{2}--\d{2}-\d{2}-\d{2})")


def read(request: Request) -> Layout:
    """Pair the pictures of the road camera, and those of the wide and driver cameras if they are there."""
    root = request.source
    first_folder(root, "imgs")
    first_folder(root, "masks")
    pairs: list[Pair] = []
    notes: list[str] = []
    for camera in ("", "2", "d"):
        if camera and not ((root / f"imgs{camera}").is_dir() and (root / f"masks{camera}").is_dir()):
            continue
        found, alone = match(
            root / f"imgs{camera}",
            by_key(files_below(root / f"imgs{camera}"), lambda p: p.stem),
            by_key(files_below(root / f"masks{camera}"), lambda p: p.stem),
        )
        notes += alone
        for key, image, label in found:
            route = _ROUTE.search(key)
            split = "val" if key.endswith("9") else "train"
            pairs.append(Pair(image, f"imgs{camera}/{key}", route[1] if route else key, label, split))
    return Layout(
        tuple(pairs),
        "comma10k",
        "comma10k",
        notes=tuple(notes),
        grouping="route (device and start of the drive)",
        splitting="names that end in 9 are val",
    )
