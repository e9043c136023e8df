"""Every loss against its float64 NumPy twin, on random shapes, modes, ignored pixels, weights and arguments."""

from __future__ import annotations

import loss_reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import NAMES, cases, value


@pytest.mark.parametrize("name", NAMES)
def test_equals_reference(name: str) -> None:
    reference = getattr(loss_reference, name, None)
    assert reference, f"write '{name}' in NumPy as {name}(case) in loss_reference.py, straight from its formula"

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(cases(name))
        expected = reference(case)
        assert value(name, case).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_near_float64(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(cases(name))
    def check(case: loss_reference.Case) -> None:
        single = value(name, case, torch.float32)
        assert single.dtype == torch.float32
        assert single.shape == ()
        # A root makes much of a rounding error near 0
        tolerance = 5e-3 if name == "focal_tversky" else 2e-5
        assert single.item() == pytest.approx(value(name, case).item(), rel=2e-4, abs=tolerance)

    check()
