"""``--help`` in groups, as plain text: rich's own renderer costs a quarter of a second at each start."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

INPUT, MODEL, OUTPUT, SPEED = "Input", "Model", "Output", "Speed"
REFINE, TRUST, ENSEMBLE, OTHER = "Refine", "Trust", "Ensembles", "Other"
WIDTH = 100
"""Characters of a line, where the terminal has so many."""
_WORDS = re.compile(r"<[^>]*>|\b(TEXT|INTEGER|FLOAT|PATH)( RANGE)?\b")
_KINDS = {"int": "N", "INTEGER": "N", "float": "X", "FLOAT": "X", "path": "PATH", "PATH": "PATH"}
_LONGEST = 26  # characters of an option whose help still stands on its line


class Command(TyperCommand):
    """A command that shows its parameters under the headings they name (``rich_help_panel``), then its examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Words behind the command's name."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *map(_argument, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, in the order of the parameters."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            usual, record = "Options", (_WORDS.sub(_word, record[0]), record[1])
            if parameter.param_type_name == "argument":
                usual, record = "Arguments", (_argument(parameter), record[1].removesuffix("[required]").rstrip())
            heading = getattr(parameter, "rich_help_panel", None) or usual
            sections.setdefault(OTHER if "--help" in parameter.opts else heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=_LONGEST)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, a line each."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}".rstrip() + "\n")


def _word(found: re.Match[str]) -> str:
    """``N`` for typer's ``<int range>``."""
    return next((word for kind, word in _KINDS.items() if kind in found[0]), "TEXT")


def _argument(parameter: Any) -> str:
    """What an argument is called: its metavar, or its name."""
    if parameter.metavar:
        return str(parameter.metavar)
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"
