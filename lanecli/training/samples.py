"""What the network makes of a few validation pictures, as one sheet to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.draw.sheet import grid, labelled
from lanecli.labels import LabelMap
from lanecli.models.build import Network

_COUNT, _COLUMNS, _WIDTH = 6, 2, 480


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
    """Truth on the left, the network's answer on the right, two pictures a row: (H, W, 3) uint8 RGB.

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
            logits = network.logits(torch.from_numpy(picture)[None].to(network.scale.device))[0].float()
        if label_map.multilabel:
            bits = 1 << torch.arange(len(logits), device=logits.device).view(-1, 1, 1)
            found = ((logits > 0) * bits).sum(0)
        else:
            found = logits.max(0)[1]
        answer = found.to(torch.uint8).cpu().numpy()
        step = max(1, picture.shape[1] // _WIDTH)
        sides = [labelled(picture, labels, label_map)[::step, ::step] for labels in (mask, answer)]
        tiles.append(np.hstack(sides))
    return grid(tiles, _COLUMNS)
