"""What the network makes of a few validation pictures, as one sheet to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.draw.sheet import grid, labelled, legend_strip
from lanecli.labels import LabelMap
from lanecli.models.build import Network
from lanecli.training.answers import answers

_COUNT, _COLUMNS, _WIDTH = 6, 2, 480
MOST_CLASSES = 127
"""As many as can be drawn."""


def spread(sets: Sequence[EvaluationSet], count: int = _COUNT) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures (h, w, 3) and masks (h, w) of `sets` together, at even distances; at most `count`."""
    places = [(part, index) for part in sets for index in range(len(part))]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    return [places[i][0][places[i][1]] for i in chosen]


@torch.inference_mode()
def sample_sheet(
    network: Network,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    label_map: LabelMap,
    autocast: torch.autocast,
) -> np.ndarray:
    """Truth on the left, the network's answer on the right, two pictures a row, a legend below: (H, W, 3) uint8 RGB.

    Args:
        network: put into eval mode.
        pairs: from :func:`spread`, not empty.
        label_map: their classes.
        autocast: to compute under.
    """
    network.eval()
    tiles = []
    for picture, mask in pairs:
        with autocast:
            logits = network.logits(torch.from_numpy(picture)[None].to(network.scale.device))
        (decision,) = answers(logits, label_map)
        answer = decision.class_map if decision.labels is None else decision.labels
        step = max(1, picture.shape[1] // _WIDTH)
        sides = [labelled(picture, labels, label_map)[::step, ::step] for labels in (mask, answer)]
        tiles.append(np.hstack(sides))
    sheet = grid(tiles, _COLUMNS)
    return np.vstack([sheet, legend_strip(label_map, sheet.shape[1])])
