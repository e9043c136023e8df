"""The pictures that a run draws after an epoch: its curves, and sheets of samples."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from lanecli.media.pictures import write_picture
from lanecli.models.build import Network
from lanecli.training.log import draw_curves
from lanecli.training.samples import MOST_CLASSES, sample_sheet, spaced_samples
from lanecli.training.stage import Stage

_PAUSE = 20  # the curves are drawn again after this many times the time that drawing them takes


class EpochPictures:
    """Draws ``curves.png`` and ``samples/`` of a run folder."""

    def __init__(self, folder: Path, epochs: int, *, sample_epochs: int, main: bool) -> None:
        """Keep when pictures are due.

        Args:
            folder: the folder of the run.
            epochs: number of epochs of the run.
            sample_epochs: number of epochs between sheets of samples; 0 for none.
            main: whether this process writes files.
        """
        self.folder, self.epochs, self.sample_epochs, self.main = folder, epochs, sample_epochs, main
        self._next_curves = 0.0

    def draw(
        self, epoch: int, rows: list[dict[str, Any]], network: Network, stage: Stage, autocast: torch.autocast
    ) -> None:
        """Draw the pictures that are due after `epoch` epochs.

        Args:
            epoch: number of epochs that are finished.
            rows: the rows of the log.
            network: the network whose answers are shown; it is put into eval mode.
            stage: the stage that the epoch belongs to.
            autocast: the context to compute under.
        """
        self._draw_samples(epoch, network, stage, autocast)
        self._draw_curves(epoch, rows)

    def _draw_curves(self, epoch: int, rows: list[dict[str, Any]]) -> None:
        """Draw the curves unless that would take much of the time of short epochs; always after the last epoch."""
        now = time.perf_counter()
        if not self.main or (epoch < self.epochs and now < self._next_curves):
            return
        draw_curves(rows, self.folder / "curves.png")
        self._next_curves = now + (time.perf_counter() - now) * _PAUSE

    def _draw_samples(self, epoch: int, network: Network, stage: Stage, autocast: torch.autocast) -> None:
        """Write a sheet of samples if one is due and its classes can be drawn."""
        every, label_map = self.sample_epochs, stage.label_map
        if not every or not stage.validation or (epoch % every and epoch != self.epochs):
            return
        if len(label_map.classes) > MOST_CLASSES:
            return
        sheet = sample_sheet(network, spaced_samples(stage.validation), label_map, autocast)
        if self.main:
            write_picture(self.folder / "samples" / f"epoch-{epoch:03}.jpg", sheet)
