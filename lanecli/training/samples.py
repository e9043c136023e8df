"""A sheet with the predictions for a few validation pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.draw.sheet import grid, labelled, legend_strip
from lanecli.labels import LabelMap
from lanecli.models.build import Network
from lanecli.training.decisions import decisions

_COUNT, _COLUMNS, _WIDTH = 6, 2, 480
MOST_CLASSES = 127
"""The largest number of classes that can be drawn."""


def spaced_samples(sets: Sequence[EvaluationSet], count: int = _COUNT) -> list[tuple[np.ndarray, np.ndarray]]:
    """Take at most `count` evenly spaced samples of `sets`: pictures (h, w, 3) and masks (h, w)."""
    indices = [(part, index) for part in sets for index in range(len(part))]
    chosen = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))
    return [part[index] for part, index in (indices[i] for i in chosen)]


@torch.inference_mode()
def sample_sheet(
    network: Network,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    label_map: LabelMap,
    autocast: torch.autocast,
) -> np.ndarray:
    """Draw the true mask on the left of each picture and the prediction on the right.

    Args:
        network: a network, which is put into eval mode.
        pairs: the samples of :func:`spaced_samples`, at least one.
        label_map: their classes.
        autocast: the context to compute under.

    Returns:
        (H, W, 3) uint8 RGB: two samples per row, and a legend below.
    """
    network.eval()
    tiles = []
    for picture, mask in pairs:
        with autocast:
            logits = network.logits(torch.from_numpy(picture)[None].to(network.scale.device))
        (decision,) = decisions(logits, label_map)
        answer = decision.class_map if decision.labels is None else decision.labels
        step = max(1, picture.shape[1] // _WIDTH)
        sides = [labelled(picture, labels, label_map)[::step, ::step] for labels in (mask, answer)]
        tiles.append(np.hstack(sides))
    sheet = grid(tiles, _COLUMNS)
    return np.vstack([sheet, legend_strip(label_map, sheet.shape[1])])
