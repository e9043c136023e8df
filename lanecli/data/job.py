"""The options of `lanecli prepare` in one object."""

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
        out: the folder for the dataset: new, empty, or left unfinished with the same settings, which is then resumed.
        classes: a label map, its name, or the path of a YAML file; None for the layout's own.
        crop_top: number of rows to cut off at the top.
        size: (width, height) to resize pictures and masks to; None to keep their size.
        split: a rule for `parse_split`; None for the official split or else shares of whole groups.
        by: what stays together in one split: the layout's ``group``, the ``folder``, or nothing (``frame``).
        seed: seed for the order of groups of equal size and for the pairs on the contact sheet.
        workers: number of threads; None for one per core.
        overwrite: whether an existing dataset is replaced.
        tolerance: largest deviation of a colour, per channel, 0..255.
        contact_sheet: number of pairs on the contact sheet; 0 for no contact sheet.
        images: the folder of the pictures, if the labels came without them.
        line_width: width in pixels of drawn lines; None for the layout's own.
        image_suffix: what the stems of picture files end with.
        mask_suffix: what the stems of mask files end with.
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
        """Return the request for the layout's reader. Raises InputError if the source does not exist."""
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
        """Return as JSON text everything that masks and pictures depend on, to tell whether work can be resumed."""
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
