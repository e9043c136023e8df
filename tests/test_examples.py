"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "lanecli.bench.architectures",
    "lanecli.config",
    "lanecli.losses",
    "lanecli.losses.weights",
    "lanecli.models.build",
    "lanecli.models.counting",
    "lanecli.models.facts",
    "lanecli.models.registry",
    "lanecli.overrides",
    "lanecli.registry",
    "lanecli.training.folds",
    "lanecli.training.optim",
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted, f"{module} has no example"
    assert not failed
