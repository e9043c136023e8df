"""Fixtures of the fault harness."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanecli.data.synthesise import synthesise


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen small procedural scenes, two of them for validation."""
    folder = tmp_path_factory.mktemp("synth") / "scenes"
    synthesise(folder, count=14, size=(96, 64), seed=3, val=0.15, workers=1)
    return folder
