"""The named maps of uncertainty: what each means, which end is the doubtful one, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MapKind:
    """Properties of one kind of map.

    Attributes:
        title: title for legends and plots.
        sign: 1 if high values are doubtful, -1 if low ones are.
        bounded: whether its values lie between 0 and the largest entropy, so that a threshold means the same for every
            model with the same classes.
        drawn_share: share of the largest entropy that is drawn as wholly doubtful; mutual information seldom comes near
            the largest entropy.
    """

    title: str
    sign: int
    bounded: bool
    drawn_share: float = 1.0


MAPS: dict[str, MapKind] = {
    "entropy": MapKind("entropy", 1, True),
    "mutual_information": MapKind("mutual information", 1, True, 0.25),
    "log_density": MapKind("log feature density", -1, False),
    "energy": MapKind("energy", 1, False),
    "neco": MapKind("NECO", -1, False),
}
"""Maps by their names in predictions, files and exported graphs."""


DOUBTFUL = "doubtful"
"""Not an uncertainty but a result of one: 1 where a pixel was left undecided, else 0 (`predict --certain`)."""


def map_kind(name: str) -> MapKind:
    """Return the properties of map `name`; a map that is not listed is doubtful at high values."""
    return MAPS.get(name) or MapKind(name, 1, False)


def uncertainty_maps(names: Iterable[str]) -> list[str]:
    """Return the names that are maps of uncertainty, in their order. The first one is the one that is drawn."""
    return [name for name in names if name != DOUBTFUL]


def doubt(name: str, values: np.ndarray) -> np.ndarray:
    """Return a map's values with the sign for which **high is uncertain**, as metrics, thresholds and colours expect.

    Args:
        name: name of the map: entropies and energy keep their sign, densities and NECO change it.
        values: of any shape.

    Returns:
        The same shape and dtype; the very same array if the sign is kept.

    Example:
        >>> doubt("neco", np.array([0.25]))
        array([-0.25])
    """
    return values if map_kind(name).sign > 0 else -values
