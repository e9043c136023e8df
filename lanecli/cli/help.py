"""``--help`` with options in groups, as plain text: rich's own renderer costs a quarter of a second at each start."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

INPUT, MODEL, OUTPUT, SPEED = "Input", "Model", "Output", "Speed"
REFINE, TRUST = "Refine", "Trust"
WIDTH = 100
"""Characters of a line, if the terminal has so many."""
SCREEN = 42
"""Lines of a page above which its sections are set without blank lines between them."""
_TYPES = re.compile(r"<[^>]*>|\b(TEXT|INTEGER|FLOAT|PATH)( RANGE)?\b")
_METAVARS = {"int": "N", "INTEGER": "N", "float": "X", "FLOAT": "X", "path": "PATH", "PATH": "PATH"}
_NOTES = re.compile(r"\s*\[([^\[\]]*)\]$")
_LONGEST = 26  # characters of an option whose help still starts on the same line


class Command(TyperCommand):
    """A command that shows its parameters under the headings they name (``rich_help_panel``), then its examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words that follow the command's name in the usage line."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *map(parameter_name, arguments)]

    def get_help(self, ctx: Any) -> str:
        """Return the page, without blank lines between sections if it would fill more than a screen."""
        page = str(super().get_help(ctx))
        if page.count("\n") < SCREEN:
            return page
        opening, *sections = re.split(r"\n\n(?=\w[\w -]*:\n)", page)
        return opening + "\n\n" + "\n".join(sections)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, in the order of the parameters; ``--help`` itself needs no line there."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or "--help" in parameter.opts:
                continue
            argument = parameter.param_type_name == "argument"
            name = parameter_name(parameter) if argument else _TYPES.sub(_metavar, record[0])
            heading = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
            sections.setdefault(heading, []).append((name, _described(record[1], argument)))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=_LONGEST)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one on each line."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}".rstrip() + "\n")


def parameter_name(parameter: Any) -> str:
    """Return a parameter as it is typed: ``SOURCE...``, ``[MODEL]``, ``--masks DIR``."""
    if parameter.param_type_name == "option":
        metavar = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
        return max(parameter.opts, key=len) + metavar
    if parameter.metavar:
        return str(parameter.metavar)
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _metavar(match: re.Match[str]) -> str:
    """Return ``N`` for typer's ``<int range>``, and so on."""
    return next((word for kind, word in _METAVARS.items() if kind in match[0]), "TEXT")


def _described(text: str, argument: bool) -> str:
    """Return a parameter's help without what typer adds and nobody needs: ranges, defaults that say themselves."""
    added = _NOTES.search(text)
    if added is None:
        return text
    notes = [note for note in added[1].split("; ") if note.startswith(("default: ", "required"))]
    unneeded = ("default: auto", "default: none", *(("required",) if argument else ()))
    kept = "; ".join(note for note in notes if note not in unneeded)
    return text[: added.start()] + (f"  [{kept}]" if kept else "")
