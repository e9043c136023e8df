"""Pages of docs/ whose commands are walked one by one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from samples import Outcome

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Code of a language on a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """Words of each command of a page, in order."""
    return [shlex.split(line, comments=True) for part in blocks(page, "sh") for line in part.strip().splitlines()]


def walk(
    cli: Callable[..., Outcome], lines: Sequence[Sequence[str]], smaller: Mapping[str, Sequence[str]]
) -> list[Outcome]:
    """Run commands as they stand on a page, with what makes them small behind each.

    Args:
        cli: runs ``lanecli ARGS…``.
        lines: from :func:`commands`.
        smaller: by subcommand, what is added.
    """
    done = []
    for words in lines:
        assert words[0] == "lanecli"
        outcome = cli(*words[1:], *smaller.get(words[1], []))
        assert outcome.code == 0, f"{shlex.join(words)}: {outcome.err}"
        done.append(outcome)
    return done
