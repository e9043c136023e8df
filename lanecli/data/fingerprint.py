"""Records in few bytes which pictures a model was trained on, so that nothing is fitted on them by mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lanecli.data.manifest import Sample

_KEPT = 512  # of more hashes the smallest are kept: a random subset, in which every part is present in proportion


def sample_hash(sample: Sample) -> str:
    """Return 16 hex digits for a picture, from its group, its file name without suffix, and its file size.

    A picture that is prepared into two datasets has the same hash in both if its file is the same.
    """
    size = sample.image.stat().st_size
    return hashlib.sha256(f"{sample.group}\0{sample.image.stem}\0{size}".encode()).hexdigest()[:16]


def fingerprint(samples: Iterable[Sample]) -> dict[str, Any]:
    """Return the fingerprint of samples for a model's provenance.

    Returns:
        ``pictures``, the number of different pictures, and ``smallest``, at most 512 of their hashes.
    """
    hashes = sorted({sample_hash(sample) for sample in samples})
    return {"pictures": len(hashes), "smallest": hashes[:_KEPT]}


def share_seen(trained_on: Any, samples: Sequence[Sample]) -> float:
    """Return the share of `samples` that a model was trained on, an estimate if it had over 512 training pictures.

    Args:
        trained_on: the fingerprint in the model's provenance; for anything else the share is 0.
        samples: the samples to fit or score on.

    Example:
        >>> share_seen(None, [])
        0.0
    """
    if not isinstance(trained_on, dict) or not isinstance(trained_on.get("smallest"), list) or not samples:
        return 0.0
    known = {str(each) for each in trained_on["smallest"]}
    # nothing is known above the largest kept hash, so only hashes up to it are compared
    whole = trained_on.get("pictures") == len(known)
    comparable = [h for h in map(sample_hash, samples) if whole or h <= max(known, default="")]
    return sum(h in known for h in comparable) / len(comparable) if comparable else 0.0


def shared_pictures(first: Iterable[Sample], second: Iterable[Sample]) -> list[Path]:
    """Return the pictures of `first` whose content is that of a picture of `second`, whatever their names are.

    Only files of equal size are read.
    """
    by_size: dict[int, list[Path]] = {}
    for sample in second:
        by_size.setdefault(sample.image.stat().st_size, []).append(sample.image)
    digests: dict[int, set[bytes]] = {}
    found = []
    for sample in first:
        size = sample.image.stat().st_size
        if size not in by_size:
            continue
        if size not in digests:
            digests[size] = {_digest(path) for path in by_size[size]}
        if _digest(sample.image) in digests[size]:
            found.append(sample.image)
    return found


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def join_fingerprints(fingerprints: Iterable[Any]) -> dict[str, Any] | None:
    """Return the fingerprint of all pictures that any of several models was trained on; None if one is unknown.

    Args:
        fingerprints: the models' fingerprints, as :func:`fingerprint` returns them.
    """
    known: set[str] = set()
    largest = 0
    bound: str | None = None  # up to this hash, every fingerprint is complete
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
