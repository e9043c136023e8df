"""The examples in docstrings return what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "lanecli",
    "lanecli.atomic",
    "lanecli.bench.architectures",
    "lanecli.cli.complete",
    "lanecli.cli.options",
    "lanecli.cli.table",
    "lanecli.config",
    "lanecli.data.annotations",
    "lanecli.data.fingerprint",
    "lanecli.data.lanes",
    "lanecli.data.manifest",
    "lanecli.data.paths",
    "lanecli.data.rasterise",
    "lanecli.data.sampling",
    "lanecli.data.splits",
    "lanecli.data.synth.generate",
    "lanecli.data.unlabelled",
    "lanecli.data.words",
    "lanecli.errors",
    "lanecli.geometry",
    "lanecli.inference.backends",
    "lanecli.inference.interface",
    "lanecli.inference.recipe",
    "lanecli.inference.run",
    "lanecli.inference.views",
    "lanecli.labelmaps",
    "lanecli.labelmaps.lane",
    "lanecli.labels",
    "lanecli.labelmaps.line_classes",
    "lanecli.lanes.files",
    "lanecli.lanes.find",
    "lanecli.lanes.lane",
    "lanecli.lanes.roles",
    "lanecli.lanes.runs",
    "lanecli.lanes.tracking",
    "lanecli.losses",
    "lanecli.losses.weights",
    "lanecli.media.clock",
    "lanecli.media.colour",
    "lanecli.media.container",
    "lanecli.media.decoders",
    "lanecli.media.kinds",
    "lanecli.media.orientation",
    "lanecli.media.picture_header",
    "lanecli.media.sources",
    "lanecli.media.stream",
    "lanecli.metrics.lane_scores",
    "lanecli.metrics.matching",
    "lanecli.metrics.uncertainty_ranking",
    "lanecli.modelfile",
    "lanecli.models.build",
    "lanecli.models.counting",
    "lanecli.models.facts",
    "lanecli.models.registry",
    "lanecli.overrides",
    "lanecli.ownership",
    "lanecli.registry",
    "lanecli.shipped",
    "lanecli.textfiles",
    "lanecli.training.folds",
    "lanecli.training.optim",
    "lanecli.uncertainty.energy",
    "lanecli.uncertainty.entropy",
    "lanecli.uncertainty.maps",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
