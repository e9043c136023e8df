"""A contact sheet: random pairs, each picture above its overlay, so that one look tells whether labels line up."""

from __future__ import annotations

import base64
import html
import random
from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np

from lanecli.data.manifest import DatasetInfo, Sample
from lanecli.draw.overlay import OverlayPainter, OverlayStyle
from lanecli.geometry import resize
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.frame import Frame
from lanecli.media.outputs import write_atomically
from lanecli.media.pictures import read_mask, read_picture, write_picture

PNG, HTML = "contact_sheet.png", "contact_sheet.html"
_WIDTH, _COLUMNS, _GAP = 640, 3, 6
_IGNORED_COLOR = (110, 60, 220)


def write_contact_sheet(info: DatasetInfo, count: int = 12, seed: int = 0) -> None:
    """Write ``contact_sheet.png`` and a self-contained ``contact_sheet.html`` of `count` random pairs of `info`."""
    chosen = sorted(random.Random(seed).sample(range(len(info.samples)), min(count, len(info.samples))))
    samples = [info.samples[i] for i in chosen]
    tiles = [_tile(sample, info.label_map) for sample in samples]
    write_picture(info.root / PNG, _grid(tiles))
    write_atomically(info.root / HTML, _page(info, samples, tiles).encode())


def _tile(sample: Sample, label_map: LabelMap) -> np.ndarray:
    """(2h, `_WIDTH`, 3) RGB: the picture above its overlay, ignored pixels tinted violet."""
    picture = read_picture(sample.image, at_least=(_WIDTH, 1))
    mask = read_mask(sample.mask)
    size = (_WIDTH, max(1, round(_WIDTH * mask.shape[0] / mask.shape[1])))
    picture, mask = resize(picture, size), resize(mask, size, nearest=True)
    overlay = picture.copy()
    overlay[mask == IGNORE_ID] = overlay[mask == IGNORE_ID] // 2 + np.array(_IGNORED_COLOR, np.uint8) // 2
    if label_map.multilabel:
        # Of several labels at a pixel the last is drawn.
        planes = label_map.planes(mask) == 1
        mask = np.where(planes.any(0), len(planes) - 1 - planes[::-1].argmax(0), IGNORE_ID).astype(np.uint8)
    frame = Frame.from_rgb(overlay, 0, 0, Fraction(1, 25))
    painter = OverlayPainter(
        label_map.palette,
        names=label_map.names,
        background=label_map.background,
        style=OverlayStyle(alpha=0.55, contour=0),
    )
    painter.paint(frame, mask)
    return np.vstack([picture, frame.rgb()])


def _grid(tiles: Sequence[np.ndarray]) -> np.ndarray:
    rows = []
    for start in range(0, len(tiles), _COLUMNS):
        row = tiles[start : start + _COLUMNS]
        sheet = np.full((max(t.shape[0] for t in row) + _GAP, _COLUMNS * (_WIDTH + _GAP), 3), 255, np.uint8)
        for column, tile in enumerate(row):
            left = column * (_WIDTH + _GAP)
            sheet[: tile.shape[0], left : left + _WIDTH] = tile
        rows.append(sheet)
    return np.vstack(rows)


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
    """Pixel shares of each class by split, in per cent, with the class's colour."""
    splits = list(info.pixel_counts)
    head = "".join(f"<th>{html.escape(s)}</th>" for s in splits)
    rows = []
    colors = {c.name: c.color for c in info.label_map.classes}
    for name in next(iter(info.pixel_counts.values()), {}):
        red, green, blue = colors.get(name, _IGNORED_COLOR)
        cells = []
        for split in splits:
            counts = info.pixel_counts[split]
            cells.append(f"<td>{100 * counts[name] / max(1, sum(counts.values())):.3f} %</td>")
        swatch = f'<i style="background:rgb({red},{green},{blue})"></i>'
        rows.append(f'<tr><td style="text-align:left">{swatch}{html.escape(name)}</td>{"".join(cells)}</tr>')
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
