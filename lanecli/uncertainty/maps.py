"""The named maps of uncertainty: what each means, which of its ends is the doubtful one, and where it is drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MapKind:
    """What is known of one kind of map.

    Attributes:
        title: for legends and plots.
        sign: 1 where high values are doubtful, -1 where low ones are.
        bounded: whether its values lie between 0 and the largest entropy, so that one threshold means the same for
            every model of the same classes.
        drawn: share of the largest entropy that is drawn as wholly doubtful; mutual information seldom comes near it.
    """

    title: str
    sign: int
    bounded: bool
    drawn: float = 1.0


MAPS: dict[str, MapKind] = {
    "entropy": MapKind("entropy", 1, True),
    "mutual_information": MapKind("mutual information", 1, True, 0.25),
    "log_density": MapKind("log feature density", -1, False),
    "energy": MapKind("energy", 1, False),
    "neco": MapKind("NECO", -1, False),
}
"""By the names predictions, files and exported graphs give them."""


DOUBTFUL = "doubtful"
"""Not an uncertainty but what came of one: 1 where a pixel was left undecided, else 0 (`predict --certain`)."""


def map_kind(name: str) -> MapKind:
    """What is known of map `name`; of one that is not listed, that high values are doubtful."""
    return MAPS.get(name) or MapKind(name, 1, False)


def measured(names: Iterable[str]) -> list[str]:
    """The names that are maps of uncertainty, in their order: the measure's first one is the one that is drawn."""
    return [name for name in names if name != DOUBTFUL]


def doubt(name: str, values: np.ndarray) -> np.ndarray:
    """A map's values turned so that **high is uncertain**, the one direction metrics, thresholds and colours know.

    Args:
        name: of the map: entropies and energy stay as they are, densities and NECO change their sign.
        values: of any shape.

    Returns:
        The same shape and dtype; the very array where nothing changes.
    """
    return values if map_kind(name).sign > 0 else -values
