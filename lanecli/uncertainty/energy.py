"""The energy of logits: an uncertainty that needs nothing but the logits."""

from __future__ import annotations

import numpy as np


def energy(logits: np.ndarray, *, multilabel: bool = False) -> np.ndarray:
    """Return the energy of each pixel; it is high where the network has seen little like it.

    E = -ln sum_c exp(l_c): Liu et al., "Energy-based Out-of-distribution Detection", arXiv 2010.03759, equation 4 (the
    temperature is already in the logits). For multi-label maps the labels' own energies are summed,
    E = -sum_c ln(1 + exp(l_c)): Wang et al., "Can multi-label classification networks know what they don't know?",
    arXiv 2109.14162.

    Args:
        logits: (C, …) float, the logits of all classes, not their differences.
        multilabel: whether to use the multi-label formula.

    Returns:
        (…) of the logits' dtype, nats.

    Example:
        >>> round(float(energy(np.array([0.0, 0.0]))), 6)
        -0.693147
    """
    if multilabel:
        return -np.logaddexp(0, logits).sum(0)
    return -np.logaddexp.reduce(logits, axis=0)
