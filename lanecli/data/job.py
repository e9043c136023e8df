"""What `lanecli prepare` is asked for, in one object."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from lanecli.data.layout import Request
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.labels import LabelMap


@dataclass(frozen=True)
class Job:
    """One dataset to prepare or check.

        Job("camvid", Path("CamVid"), Path("data/camvid"), size=(480, 360))

    Attributes:
        format: a name in `FORMATS`.
        source: the layout's folder, zip or file.
        out: the dataset's folder: new, empty, or begun with the same settings, then it goes on where it stopped.
        classes: a label map, its name, or the path of a YAML file; None is the layout's own.
        crop_top: rows cut off at the top.
        size: (width, height) pictures and masks get; None keeps them.
        split: as `parse_split` reads it; None is the official split, or shares of whole groups.
        by: what is kept together: the layout's ``group``, ``folder``, or nothing (``frame``).
        seed: orders groups of equal size, and picks the contact sheet's pairs.
        workers: threads; None is one per core.
        overwrite: replace a dataset that is there.
        tolerance: how far colours may be off, per channel.
        contact_sheet: pairs on the contact sheet; 0 makes none.
        images: where the pictures are, when the labels came without them.
        line_width: thickness in pixels lines are drawn with; None is the layout's own.
        image_suffix, mask_suffix: what a folder's file stems end with, before the file suffix.
    """

    format: str
    source: Path
    out: Path | None = None
    classes: str | LabelMap | None = None
    crop_top: int = 0
    size: Size | None = None
    split: str | None = None
    by: str = "group"
    seed: int = 0
    workers: int | None = None
    overwrite: bool = False
    tolerance: int = 0
    contact_sheet: int = 12
    images: Path | None = None
    line_width: int | None = None
    image_suffix: str = ""
    mask_suffix: str = ""

    def request(self, unpack_to: Path) -> Request:
        """What the reader is asked for. Raises InputError when there is no such source."""
        source = Path(os.path.abspath(self.source))
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        return Request(
            source,
            None if self.images is None else Path(os.path.abspath(self.images)),
            self.classes if isinstance(self.classes, str) else None,
            self.line_width,
            self.image_suffix,
            self.mask_suffix,
            unpack_to,
        )

    def settings(self) -> str:
        """What decides the masks and pictures, as text: an unfinished dataset of the same settings can go on."""
        return json.dumps(
            {
                "format": self.format,
                "source": os.path.abspath(self.source),
                "images": None if self.images is None else os.path.abspath(self.images),
                "classes": self.classes.to_dict() if isinstance(self.classes, LabelMap) else self.classes,
                "geometry": [self.crop_top, self.size],
                "lines": self.line_width,
                "suffixes": [self.image_suffix, self.mask_suffix],
                "tolerance": self.tolerance,
            },
            sort_keys=True,
        )
