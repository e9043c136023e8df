"""The named maps of uncertainty: what each means, which of its ends is the doubtful one, and where it is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lanecli.errors import InputError, nearest


@dataclass(frozen=True)
class MapKind:
    """What is known of one kind of map.

    Attributes:
        title: for legends and plots.
        sign: 1 where high values are doubtful, -1 where low ones are.
        bounded: whether its values lie between 0 and the largest entropy, so that one threshold means the same for
            every model of the same classes.
    """

    title: str
    sign: int
    bounded: bool


MAPS: dict[str, MapKind] = {
    "entropy": MapKind("entropy", 1, True),
    "mutual_information": MapKind("mutual information", 1, True),
    "log_density": MapKind("log feature density", -1, False),
    "energy": MapKind("energy", 1, False),
    "neco": MapKind("NECO", -1, False),
}
"""By the names predictions, files and exported graphs give them."""


def map_kind(name: str) -> MapKind:
    """What is known of map `name`. Raises InputError that names the nearest one."""
    if name not in MAPS:
        raise InputError(f"unknown uncertainty map '{name}'{nearest(name, MAPS)}")
    return MAPS[name]


def doubt(name: str, values: np.ndarray) -> np.ndarray:
    """A map's values turned so that **high is uncertain**, the one direction metrics, thresholds and colours know.

    Args:
        name: of the map: entropies and energy stay as they are, densities and NECO change their sign.
        values: of any shape.

    Returns:
        The same shape and dtype; the very array where nothing changes.
    """
    return values if map_kind(name).sign > 0 else -values
