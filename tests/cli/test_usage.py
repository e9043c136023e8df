"""Wrong usage: one line on stderr that says what to type, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from samples import Outcome

Cli = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("predict a.png --modle x", "no such option: --modle (did you mean '--model'?)"),
        ("score culane a b --witdh 20", "no such option: --witdh (did you mean '--width'?)"),
        ("train --folsd 3", "no such option: --folsd (did you mean '--folds'?)"),
        ("predict a.png -z", "no such option: -z; 'lanecli predict --help' lists the options"),
        ("--colour predict a.png", "no such option: --colour; 'lanecli --help' lists the options"),
        ("predikt a.png", "no such command: predikt (did you mean 'predict'?)"),
        ("export onx", "no such command: onx (did you mean 'onnx'?)"),
        ("ensemble zzz", "no such command: zzz; there are: fit, soup, study"),
        ("predict", "lanecli predict needs SOURCE...; type: lanecli predict SOURCE..."),
        ("overlay a.mp4", "lanecli overlay needs --masks DIR; type: lanecli overlay SOURCE --masks DIR --out FILE"),
        ("score tusimple a", "lanecli score tusimple needs PRED.json; type: lanecli score tusimple GT.json PRED.json"),
        ("predict a.png --batch", "option '--batch' requires an argument"),
        ("predict a.png --crf=3", "option '--crf' does not take a value"),
        ("predict a.png --batch 0", "--batch should be greater than or equal to 1"),
        ("predict a.png --batch many", "--batch should be a valid integer"),
        ("synth a b", "got unexpected extra argument(s) (b); 'lanecli synth --help' shows how it is used"),
    ],
)
def test_wrong_usage_is_answered_in_one_line(cli: Cli, typed: str, answer: str) -> None:
    done = cli(*typed.split())
    assert (done.code, done.out, done.err) == (2, "", f"error: {answer}\n")


def test_a_command_without_subcommand_prints_its_help(cli: Cli) -> None:
    done = cli("score")
    assert done.code == 2
    assert done.err.startswith("Usage: lanecli score")
