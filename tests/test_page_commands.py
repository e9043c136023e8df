"""Every ``lanecli …`` of README, CONTRIBUTING and docs/ is one that the program takes: options, choices and keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_commands import COMMANDS, COMPLETED, PLACEHOLDERS, ROOT, PageCommand, read_commands
from samples import Outcome

from lanecli.cli import app
from lanecli.cli.help import Command
from lanecli.cli.train import _settings, options
from lanecli.config import Config, load_config
from lanecli.errors import InputError
from lanecli.losses import LOSSES
from lanecli.models.registry import MODELS
from lanecli.overrides import Loader, split_words
from lanecli.shipped import find_config
from lanecli.textfiles import read_yaml
from lanecli.training.optim import OPTIMISERS, SCHEDULES
from lanecli.training.sweep_file import sweep_of

Cli = Callable[..., Outcome]
FREE = ("config", "overrides")
"""Parameters whose words are read as a configuration."""


def is_mention(command: PageCommand) -> bool:
    """Whether the text only names a command, such as ``lanecli ensemble fit``."""
    first, *rest = command.text.split()[1:]
    return not command.in_block and first in app.COMMANDS and len(rest) <= app.COMMANDS[first].group


DISTINCT = list({command.text: command for command in COMMANDS}.values())
MENTIONS = [command for command in DISTINCT if is_mention(command)]
WHOLE = [command for command in DISTINCT if not is_mention(command)]
ANSWERED = [command for command in WHOLE if {"--help", "--install-completion"} & set(command.words)]
"""What is answered before a subcommand is reached."""
PARSED = [command for command in WHOLE if command not in ANSWERED]


@pytest.fixture
def parse(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Any]:
    """Parse words as the program does, without doing what they say, and give click's context."""
    reached: list[Any] = []
    monkeypatch.setattr(Command, "invoke", lambda _, context: reached.append(context))
    monkeypatch.chdir(ROOT)

    def parsed(words: list[str]) -> Any:
        reached.clear()
        done = cli(*words)
        assert done.code == 0, done.err
        (context,) = reached
        return context

    return parsed


def check_choices(context: Any) -> None:
    """Fail where a word is none of those the shell completes; files may be named anything."""
    for parameter in context.command.params:
        values = context.params[parameter.name]
        if parameter.name in FREE or values is None:
            continue
        for value in map(str, values if isinstance(values, (list, tuple)) else [values]):
            offered = [item.value for item in parameter.shell_complete(context, "")]
            if offered and not set("/.") & set(value):
                assert value in [item.value for item in parameter.shell_complete(context, value)], (
                    f"{value} is none of {', '.join(offered)}"
                )


def check_names(config: Config) -> None:
    """Fail where a configuration names what is in no registry."""
    for stage in config.each_stage:
        MODELS.entry(stage.model.name)
        OPTIMISERS.entry(stage.optim.name)
        SCHEDULES.entry(stage.schedule.name)
        for term in stage.loss:
            assert term.name == "auto" or term.name in LOSSES


def configurations(context: Any) -> list[Config]:
    """Those that a command's words make."""
    name, values = context.command.name, context.params
    if name == "train" and values["resume"] is None:
        return [_settings(values["config"] or [], values["data"] or [], options(context))]
    if name == "sweep":
        (file,), overrides = split_words(values["config"], options(context))
        path = find_config(file, "sweeps")
        if path is None:
            assert file.endswith(".yaml"), f"there is no sweep {file}"
            return [load_config(overrides=overrides)]
        tree = read_yaml(path, Loader)
        tree.pop("sets", None)  # datasets, which are not there
        return [variant.configs[0] for variant in sweep_of(tree, path, overrides).variants.values()]
    if name == "show" and values["overrides"]:
        return [load_config(find_config(values["model"]), values["overrides"])]
    return [load_config(overrides=values["settings"] or [])] if name == "bench" else []


def check(context: Any) -> None:
    """Fail where a choice, a key or a name in a command is none."""
    check_choices(context)
    for config in configurations(context):
        check_names(config)


@pytest.mark.parametrize("command", PARSED, ids=lambda command: command.text)
def test_a_command_is_one_the_program_takes(parse: Callable[[list[str]], Any], command: PageCommand) -> None:
    check(parse(command.words))


@pytest.mark.parametrize("command", MENTIONS, ids=lambda command: command.text)
def test_a_command_that_is_named_is_there(cli: Cli, command: PageCommand) -> None:
    done = cli(*command.words, "--help")
    assert done.code == 0, done.err
    assert done.out.startswith(f"Usage: {command.text}")


@pytest.mark.parametrize(
    "line",
    [
        "predikt drive.mp4",
        "predict drive.mp4 --sav masks",
        "predict drive.mp4 --save overlay,mask",
        "predict drive.mp4 --tta flop",
        "predict",
        "prepare camvids CamVid/ --out data",
        "prepare camvid CamVid/ --classes lanes --out data",
        "train camvidd",
        "train train.epoch=3",
        "train --epochs 3",
        "train loss=ce+dise",
        "train model=unett",
        "train schedule=polly",
        "sweep loses",
        "sweep losses train.epoch=3",
        "sweep own.yaml train.epoch=3",
        "bench --training --set train.compiled=true",
        "show camvid train.epoch=3",
        "list modells",
        "score culana a b",
    ],
)
def test_what_is_wrong_is_found(parse: Callable[[list[str]], Any], line: str) -> None:
    with pytest.raises((AssertionError, InputError)):
        check(parse(line.split()))


def test_every_kind_of_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("page_commands.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "`lanecli list losses` and `lanecli\nshow lane`, not `lanecli`\n\n```sh\n"
        "pip install . && .venv/bin/lanecli predict a.mp4\ntorchrun -m lanecli train  # two GPUs\n```\n\n"
        "```python\nimport lanecli\n```\n"
    )
    assert [(command.text, command.in_block) for command in read_commands(tmp_path / "page.md")] == [
        ("lanecli predict a.mp4", True),
        ("lanecli train", True),
        ("lanecli list losses", False),
        ("lanecli show lane", False),
    ]


def test_every_word_that_is_replaced_stands_on_a_page() -> None:
    words = {word for command in COMMANDS for word in command.text.split()}
    assert set(PLACEHOLDERS) <= words
    assert set(COMPLETED) <= {command.text for command in COMMANDS}
