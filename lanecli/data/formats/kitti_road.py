"""KITTI road: ``training/image_2/um_000000.png`` with ``training/gt_image_2/um_road_000000.png`` (magenta is road).

The labels of the ego lane, ``um_lane_…``, are in the same folder and are not read. Groups are the three kinds of street
(um, umm, uu). ``testing`` has no labels.
"""

from __future__ import annotations

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match

_KIND = "_road_"


def read(request: Request) -> Layout:
    """Pair pictures with labels of the road."""
    root = first_folder(request.source, "training", ".")
    pictures, labels = first_folder(root, "image_2"), first_folder(root, "gt_image_2")
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: p.stem),
        by_key((p for p in files_below(labels) if _KIND in p.stem), lambda p: p.stem.replace(_KIND, "_")),
    )
    pairs = tuple(Pair(image, key, key.split("_")[0], label) for key, image, label in found)
    return Layout(pairs, "kitti-road", "kitti-road", notes=notes, grouping="kind of street (um, umm, uu)")
