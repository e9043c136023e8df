"""Which group goes to which split: shares of whole groups by seed, or groups named by pattern."""

from __future__ import annotations

import fnmatch
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lanecli.errors import InputError

DEFAULT_SHARES = "train=0.8,val=0.2"


@dataclass(frozen=True)
class SplitRule:
    """What ``--split`` says.

    Attributes:
        patterns: (split, pattern) in order; the first that matches a group takes it.
        shares: split -> share of the pairs no pattern took; sums to 1, or empty.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    shares: Mapping[str, float] | None = None


def parse_split(text: str) -> SplitRule:
    """``"train=0.8,val=0.2"``, ``"val=Road02,train=*"``, or patterns first and shares of the rest.

    A number is a share; anything else is a pattern of group names (``*``, ``?``, ``[…]``) that also takes what lies
    below it: ``Road02`` takes ``Road02/Record001``.

    Raises:
        InputError: not NAME=VALUE, a share outside 0..1, or shares that do not sum to 1.
    """
    patterns: list[tuple[str, str]] = []
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise InputError(f"--split: '{part}' is not NAME=SHARE or NAME=GROUPS, as in {DEFAULT_SHARES}")
        try:
            share = float(value)
        except ValueError:
            patterns.append((name, value))
            continue
        if not 0 <= share <= 1:
            raise InputError(f"--split: share {value} of '{name}' is not between 0 and 1")
        if name in shares:
            raise InputError(f"--split: '{name}' has two shares")
        shares[name] = share
    if shares and abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"--split: shares sum to {sum(shares.values()):g}, not 1")
    return SplitRule(tuple(patterns), shares or None)


def takes(pattern: str, group: str) -> bool:
    """Whether `pattern` matches the group, or a folder above it."""
    return fnmatch.fnmatchcase(group, pattern) or fnmatch.fnmatchcase(group, f"{pattern}/*")


def assign(groups: Sequence[str], rule: SplitRule, seed: int = 0) -> list[str]:
    """The split of each pair, given the group of each pair; a group is never divided.

    Args:
        groups: one group per pair.
        rule: what was asked for.
        seed: orders groups of equal size; the same groups and seed give the same splits.

    Raises:
        InputError: a pattern that takes no group, or a group nothing takes.
    """
    sizes = Counter(groups)
    chosen: dict[str, str] = {}
    for split, pattern in rule.patterns:
        taken = [g for g in sizes if takes(pattern, g)]
        if not taken:
            raise InputError(f"--split: '{pattern}' names no group; there are: {_listed(sizes)}")
        for group in taken:
            chosen.setdefault(group, split)
    rest = {g: n for g, n in sizes.items() if g not in chosen}
    if rest:
        if rule.shares is None:
            raise InputError(f"--split: no split takes group '{next(iter(rest))}'; end with 'train=*' to take the rest")
        chosen.update(_share_out(rest, rule.shares, seed))
    return [chosen[g] for g in groups]


def _share_out(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Largest group first to the split that lacks most, so that shares come close and none stays empty needlessly."""
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in shares.items() if share > 0}
    empty = set(lacking)

    def order(group: str) -> tuple[int, str]:
        return -sizes[group], hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    chosen = {}
    ordered = sorted(sizes, key=order)
    for position, group in enumerate(ordered):
        candidates = empty if len(ordered) - position <= len(empty) and empty else set(lacking)
        split = max(sorted(candidates), key=lambda s: lacking[s])
        chosen[group] = split
        lacking[split] -= sizes[group]
        empty.discard(split)
    return chosen


def _listed(names: Iterable[str], most: int = 12) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
