"""Draws a contact sheet of random pairs, each picture above its overlay, to check whether labels fit the pictures."""

from __future__ import annotations

import base64
import html
import random
from collections.abc import Sequence

import cv2
import numpy as np

from lanecli import atomic
from lanecli.data.manifest import DatasetInfo, Sample
from lanecli.draw.sheet import IGNORED_COLOR, grid, labelled, legend_strip
from lanecli.geometry import resize
from lanecli.labels import LabelMap
from lanecli.media.pictures import read_mask, read_picture, write_picture

PNG, HTML = "contact_sheet.png", "contact_sheet.html"
_WIDTH, _COLUMNS = 640, 3


def write_contact_sheet(info: DatasetInfo, count: int = 12, seed: int = 0) -> None:
    """Write ``contact_sheet.png`` and a self-contained ``contact_sheet.html`` of random pairs, with a legend.

    Args:
        info: the dataset, whose folder receives the files.
        count: number of pairs, or fewer if the dataset has fewer.
        seed: seed that selects the pairs.
    """
    chosen = sorted(random.Random(seed).sample(range(len(info.samples)), min(count, len(info.samples))))
    samples = [info.samples[i] for i in chosen]
    tiles = [_tile(sample, info.label_map) for sample in samples]
    sheet = grid(tiles, _COLUMNS)
    write_picture(info.root / PNG, np.vstack([sheet, legend_strip(info.label_map, sheet.shape[1])]))
    atomic.write(info.root / HTML, _page(info, samples, tiles).encode())


def _tile(sample: Sample, label_map: LabelMap) -> np.ndarray:
    """Return (2h, `_WIDTH`, 3) uint8 RGB: the picture above its overlay, with ignored pixels tinted violet."""
    picture = read_picture(sample.image, at_least=(_WIDTH, 1))
    mask = read_mask(sample.mask)
    size = (_WIDTH, max(1, round(_WIDTH * mask.shape[0] / mask.shape[1])))
    picture, mask = resize(picture, size), resize(mask, size, nearest=True)
    return np.vstack([picture, labelled(picture, mask, label_map)])


def _page(info: DatasetInfo, samples: Sequence[Sample], tiles: Sequence[np.ndarray]) -> str:
    figures = []
    for sample, tile in zip(samples, tiles, strict=True):
        encoded = cv2.imencode(".jpg", cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        caption = html.escape(f"{sample.mask.relative_to(info.root / 'masks')} · {sample.split} · {sample.group}")
        data = base64.b64encode(encoded.tobytes()).decode()
        figures.append(
            f'<figure><img alt="" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
        )
    title = html.escape(f"{info.root.name}: {info.format}, {len(info.samples)} pairs, label map {info.label_map.name}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:15px sans-serif;margin:1.5em}figure{display:inline-block;margin:0 .5em 1em 0;width:640px}"
        "img{width:100%}figcaption{overflow-wrap:anywhere}td,th{padding:.15em .8em;text-align:right}"
        "i{display:inline-block;width:1em;height:1em;border:1px solid #888;margin-right:.4em}</style>"
        f"<h1>{title}</h1>{_table(info)}{''.join(figures)}</html>"
    )


def _table(info: DatasetInfo) -> str:
    """Return an HTML table with each class's colour and its share of the pixels of each split, in per cent."""
    splits = list(info.pixel_counts)
    head = "".join(f"<th>{html.escape(s)}</th>" for s in splits)
    rows = []
    colors = {c.name: c.color for c in info.label_map.classes}
    for name in next(iter(info.pixel_counts.values()), {}):
        red, green, blue = colors.get(name, IGNORED_COLOR)
        cells = []
        for split in splits:
            counts = info.pixel_counts[split]
            cells.append(f"<td>{100 * counts[name] / max(1, sum(counts.values())):.3f} %</td>")
        swatch = f'<i style="background:rgb({red},{green},{blue})"></i>'
        rows.append(f'<tr><td style="text-align:left">{swatch}{html.escape(name)}</td>{"".join(cells)}</tr>')
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
