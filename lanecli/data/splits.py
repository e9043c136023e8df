"""Assigns groups to splits, by patterns of group names or by shares of whole groups."""

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
    """The rule that ``--split`` gives.

    Attributes:
        patterns: (split, pattern) in order; the first pattern that matches a group decides.
        shares: each split's share of the pairs that no pattern matches, which sum to 1; None if there are none.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    shares: Mapping[str, float] | None = None


def parse_split(text: str) -> SplitRule:
    """Parse a rule such as ``"train=0.8,val=0.2"`` or ``"val=Road02,train=*"``.

    A number is a share; anything else is a pattern of group names (``*``, ``?``, ``[…]``), which also matches the
    groups below: ``Road02`` matches ``Road02/Record001``. Shares divide the pairs that no pattern matches.

    Raises:
        InputError: a part is not NAME=VALUE, a share is outside 0..1, or the shares do not sum to 1.

    Example:
        >>> parse_split("train=0.8,val=0.2").shares
        {'train': 0.8, 'val': 0.2}
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
        raise InputError(f"--split: the shares sum to {sum(shares.values()):g}, not 1")
    return SplitRule(tuple(patterns), shares or None)


def takes(pattern: str, group: str) -> bool:
    """Whether `pattern` matches the group or a folder above it."""
    return fnmatch.fnmatchcase(group, pattern) or fnmatch.fnmatchcase(group, f"{pattern}/*")


def assign(groups: Sequence[str], rule: SplitRule, seed: int = 0) -> list[str]:
    """Return the split of each pair. A group is never divided.

    Args:
        groups: the group of each pair.
        rule: the rule to follow.
        seed: seed for the order of groups of equal size; the same groups and seed give the same splits.

    Raises:
        InputError: a pattern matches no group, or a group is in no split.
    """
    sizes = Counter(groups)
    chosen: dict[str, str] = {}
    for split, pattern in rule.patterns:
        taken = [g for g in sizes if takes(pattern, g)]
        if not taken:
            raise InputError(f"--split: '{pattern}' matches no group; the groups are: {_listed(sizes)}")
        for group in taken:
            chosen.setdefault(group, split)
    rest = {g: n for g, n in sizes.items() if g not in chosen}
    if rest:
        if rule.shares is None:
            raise InputError(
                f"--split: group '{next(iter(rest))}' is in no split; end with 'train=*' to put the rest into train"
            )
        chosen.update(_share_out(rest, rule.shares, seed))
    return [chosen[g] for g in groups]


def _share_out(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give each group, the largest first, to the split that lacks most pairs; leave no split empty if possible."""
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
