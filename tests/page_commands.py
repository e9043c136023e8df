"""The command lines of the pages: lines of their shell blocks, and commands in the running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PLACEHOLDERS = {
    "MODEL": "runs/train",
    "DIR": "data/camvid",
    "CONFIG": "tusimple",
    "FORMAT": "camvid",
    "SRC": "CamVid/",
    "COMMAND": "predict",
    "N": "2",
    "…": "entropy",
    "[CONFIG]": "tusimple",
    "[KEY=VALUE]...": "train.seed=1",
    "loss=ce+exponential": "loss=ce+dice",
}
"""Words that stand for what a reader puts in their place; CONTRIBUTING adds the loss `exponential`."""

COMPLETED = {
    "lanecli predict --model lanes.onnx": ["drive.mp4"],
    "lanecli predict --save probabilities": ["roads/"],
    "lanecli evaluate --uncertainty …": ["--data", "data/camvid"],
    "lanecli evaluate ens.yaml": ["--data", "data/tusimple"],
    "lanecli prepare frames": ["drive.mp4", "--out", "to_label"],
}
"""Commands that the text shortens to what it speaks of, with the words that make them whole."""


class PageCommand(NamedTuple):
    """``lanecli WORDS…`` on a page."""

    page: str
    """Path in the repository, such as ``docs/lanes.md``."""
    in_block: bool
    """Whether it is a line of a shell block, and not in the text."""
    text: str
    """As it stands there, from ``lanecli`` on."""

    @property
    def words(self) -> list[str]:
        """The words behind ``lanecli``, whole and without placeholders."""
        words = [*shlex.split(self.text)[1:], *COMPLETED.get(self.text, [])]
        layout = words[1] if words[0] == "prepare" and "SRC" in words and words[1] != "FORMAT" else None
        source = {"SRC": f"layouts/{layout}"} if layout else {}
        return [{**PLACEHOLDERS, **source}.get(word, word) for word in words]


def read_commands(path: Path) -> Iterator[PageCommand]:
    """Yield the commands of a page; what stands before ``lanecli``, such as ``torchrun -m``, is left out."""
    page = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    for language, block in _BLOCK.findall(text):
        for line in block.splitlines() if language == "sh" else ():
            if found := re.search(r"(?:^|[\s/])(lanecli\s.*?)(?:\s+#.*)?$", line):
                yield PageCommand(page, True, found[1])
    for inline in re.findall(r"`(lanecli\s[^`]+)`", _BLOCK.sub("", text)):
        yield PageCommand(page, False, " ".join(inline.split()))


COMMANDS = [command for path in PAGES for command in read_commands(path)]
"""Of all pages, in order."""
