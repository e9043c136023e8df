"""Which pictures a model was trained on, in few bytes, so that nothing is fitted on them by mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from lanecli.data.manifest import Sample

_KEPT = 512  # hashes: of a larger set, those with the smallest values, which any part of it shares in proportion


def sample_hash(sample: Sample) -> str:
    """16 hex digits for a picture: its group, its file's name without the ending, and the file's size in bytes.

    The same picture prepared into two sets has the same hash where its file is the same.
    """
    size = sample.image.stat().st_size
    return hashlib.sha256(f"{sample.group}\0{sample.image.stem}\0{size}".encode()).hexdigest()[:16]


def fingerprint(samples: Iterable[Sample]) -> dict[str, Any]:
    """``pictures``, how many different ones, and ``smallest``, at most 512 of their hashes, for the provenance."""
    hashes = sorted({sample_hash(sample) for sample in samples})
    return {"pictures": len(hashes), "smallest": hashes[:_KEPT]}


def share_seen(trained_on: Any, samples: Sequence[Sample]) -> float:
    """The share of `samples` that a model was trained on: exact for up to 512 training pictures, else an estimate.

    Args:
        trained_on: what :func:`fingerprint` gave, from a model's provenance; anything else says nothing, and gives 0.
        samples: to be fitted or scored on.

    Example:
        >>> share_seen(None, [])
        0.0
    """
    if not isinstance(trained_on, dict) or not isinstance(trained_on.get("smallest"), list) or not samples:
        return 0.0
    known = {str(each) for each in trained_on["smallest"]}
    # beyond the largest kept hash nothing is known: only those below it are compared
    whole = trained_on.get("pictures") == len(known)
    comparable = [h for h in map(sample_hash, samples) if whole or h <= max(known, default="")]
    return sum(h in known for h in comparable) / len(comparable) if comparable else 0.0


def joined(fingerprints: Iterable[Any]) -> dict[str, Any] | None:
    """The fingerprint of everything that any of several was trained on; None where one of them says nothing.

    Args:
        fingerprints: as :func:`fingerprint` gives them, out of models' provenance.
    """
    known: set[str] = set()
    largest = 0
    bound: str | None = None  # beyond the least of the largest kept hashes, nothing is known of all
    for each in fingerprints:
        if not isinstance(each, dict) or not isinstance(each.get("smallest"), list):
            return None
        own = {str(name) for name in each["smallest"]}
        known |= own
        largest = max(largest, int(each.get("pictures", 0)))
        if each.get("pictures") != len(own) and own:
            bound = max(own) if bound is None else min(bound, max(own))
    kept = sorted(name for name in known if bound is None or name <= bound)
    return {"pictures": max(largest, len(known)), "smallest": kept[:_KEPT]}
