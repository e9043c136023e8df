"""``--help`` in groups, examples that are commands, and what a shell completes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest
from samples import Outcome, loaded, run_line

from lanecli.cli.app import COMMANDS

Cli = Callable[..., Outcome]
GROUPS = {name: command for name, command in COMMANDS.items() if command.group}
GROUPED = {
    "predict": ["Input", "Model", "Refine", "Trust", "Output", "Speed"],
    "overlay": ["Input", "Output"],
    "train": ["Input", "Start", "Several models", "Output", "Speed"],
    "evaluate": ["Input", "Model", "Refine", "Trust", "Output", "Speed"],
    "score tusimple": ["Input", "Output"],
    "score culane": ["Input", "Rules", "Speed", "Output"],
    "score openlane": ["Input", "Rules", "Speed", "Output"],
    "score llamas": ["Input", "Rules", "Speed", "Output"],
    "score bdd100k": ["Input", "Rules", "Speed", "Output"],
    "score apolloscape": ["Input", "Speed", "Output"],
    "score masks": ["Input", "Speed", "Output"],
    "export onnx": ["Model", "Output"],
    "calibrate": ["Model", "Input", "Output"],
    "uncertainty fit": ["Model", "Input", "Output"],
    "uncertainty study": ["Input", "Output", "Speed"],
    "ensemble fit": ["Model", "Input", "Fit", "Meta-model of stacking and blending", "Output", "Speed"],
    "ensemble soup": ["Model", "Input", "Output", "Speed"],
    "ensemble study": ["Input", "Output", "Speed"],
    "prepare": ["Input", "Pictures and masks", "Splits", "Submissions and frames", "Output", "Speed"],
    "select": ["Input", "Choice", "Output", "Model", "Trust", "Speed"],
    "synth": ["Output", "Scenes", "Speed"],
    "sweep": ["Input", "Output", "Speed"],
    "bench": ["Model", "Architectures", "Training", "Output", "Speed"],
    "show": ["Input", "Output"],
    "list": ["Input", "Output"],
}


PRINT_PAGES = """
import contextlib, io, json, sys
from lanecli.cli.app import build
pages = {}
for command in json.load(sys.stdin):
    words = [*command.split(), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as page, contextlib.suppress(SystemExit):
        build(words)(words, prog_name="lanecli")
    pages[command] = page.getvalue()
json.dump(pages, sys.stdout)
"""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Every page at 80 columns, from a fresh interpreter: other tests may have registered further names in this one."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_PAGES],
        input=json.dumps(list(GROUPED)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_every_command_has_its_groups() -> None:
    assert {name.split()[0] for name in GROUPED} == set(COMMANDS)
    assert {name for name in GROUPED if " " not in name} == set(COMMANDS) - set(GROUPS)


@pytest.mark.parametrize("command", GROUPED)
def test_a_page_has_groups_and_an_example_and_fits_on_a_screen(pages: dict[str, str], command: str) -> None:
    lines = pages[command].splitlines()
    headings = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [*GROUPED[command], "Examples"]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 44


@pytest.mark.parametrize("command", GROUPED)
def test_examples_are_of_the_command_and_of_options_it_has(cli: Cli, command: str) -> None:
    shown = cli(*command.split(), "--help").out
    head, _, examples = shown.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines() if "lanecli " in line and "All keys" not in line]
    assert lines
    for line in lines:
        words = shlex.split(line.partition("   ")[0])
        assert words[words.index("lanecli") + 1 :][: len(command.split())] == command.split()
        assert all(word in head for word in words[words.index("lanecli") :] if word.startswith("--"))


@pytest.mark.parametrize("name", GROUPS)
def test_the_list_of_a_group_is_not_cut(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in cli(name, "--help").out.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("command", "option", "choices"),
    [
        ("predict", "--backend", "auto|openvino|onnxruntime|torch"),
        ("predict", "--combine", "mean|weighted|logit_mean|geometric|stacking|blending|vote"),
        ("evaluate", "--uncertainty", "none|entropy|mc-dropout|ensemble|density|energy|neco"),
        ("export onnx", "--precision", "fp32|fp16"),
        ("train", "--device", "auto|cpu|cuda|cuda:N"),
    ],
)
def test_choices_are_shown_as_such(cli: Cli, command: str, option: str, choices: str) -> None:
    lines = cli(*command.split(), "--help").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.strip().startswith(option))
    assert choices in "".join(line.strip() for line in lines[place : place + 3]).replace(" ", "")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in GROUPS])
def test_no_type_of_the_language_is_shown(cli: Cli, name: str) -> None:
    shown = cli(name, "--help")
    assert shown.code == 0, shown.err
    assert not re.search(r"<\w|INTEGER|list\[", shown.out)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_without_an_argument_names_the_choices(cli: Cli, name: str) -> None:
    shown = cli(name)
    assert shown.code == 2
    for line in cli(name, "--help").out.partition("Commands:")[2].strip().splitlines():
        assert line.split()[0] in shown.out + shown.err


@pytest.mark.parametrize("line", [["predict", "--help"], ["--help", "predict"], ["--debug", "train", "-h"]])
def test_help_loads_no_pydantic(line: list[str]) -> None:
    assert loaded(run_line(*line), ("pydantic", "rich.console")) == set()


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("pre", {"predict", "prepare"}, {"train"}),
        ("train ca", {"camvid"}, {"apolloscape", "losses"}),
        ("train camvid train.ep", {"train.epochs="}, {"train.batch="}),
        ("train model.name=une", {"model.name=unet", "model.name=unetplusplus"}, {"model.name=fcn8s"}),
        ("train model.name = une", {"unet", "unetplusplus"}, {"fcn8s"}),
        ("train camvid data.sampler =", {"uniform", "balanced", "rare"}, set()),
        ("train loss=foc", {"loss=focal", "loss=focal_tversky"}, {"loss=ce"}),
        ("train train.compile=", {"train.compile=true", "train.compile=false"}, set()),
        ("sweep lo", {"losses", "loss="}, {"camvid"}),
        ("show cam", {"camvid"}, set()),
        ("show camvid optim.n", {"optim.name="}, set()),
        ("prepare cit", {"cityscapes"}, {"camvid"}),
        ("prepare fra", {"frames"}, set()),
        ("prepare camvid CamVid --classes cam", {"camvid-11", "camvid-32"}, {"lane"}),
        ("list opt", {"optimisers"}, {"losses"}),
        ("predict a.mp4 --save overlay,ma", {"overlay,masks"}, {"overlay"}),
        ("predict a.mp4 --backend o", {"openvino", "onnxruntime"}, {"torch"}),
        ("predict a.mp4 --model la", {"lane"}, set()),
        ("evaluate la", {"lane"}, set()),
        ("export onnx la", {"lane"}, set()),
    ],
)
def test_a_shell_completes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str, wanted: set[str], unwanted: set[str]
) -> None:
    """As bash asks: words, and which of them is being typed."""
    monkeypatch.setenv("_LANECLI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"lanecli {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
    offered = set(cli().out.split())
    assert wanted <= offered
    assert not unwanted & offered
