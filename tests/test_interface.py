"""The Python interface: small, under test, and cheap to import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import loaded

import lanecli
from lanecli.errors import InputError
from lanecli.media import read_picture


def test_what_the_package_offers() -> None:
    assert lanecli.__all__ == ["__version__", "load"]
    assert all(hasattr(lanecli, name) for name in lanecli.__all__)
    heavy = ("torch", "numpy", "cv2", "av", "openvino", "pydantic")
    assert loaded("import lanecli", heavy) == set()


def test_a_picture_in_every_form(bright: Path, stripe_picture: Path) -> None:
    model = lanecli.load(str(bright), precision="fp32", uncertainty="entropy")
    array = read_picture(stripe_picture)
    answers = [model.predict(form) for form in (array, stripe_picture, str(stripe_picture), Image.fromarray(array))]
    for answer in answers:
        assert answer.class_map.shape == (64, 128)
        assert np.array_equal(answer.class_map, answers[0].class_map)
        assert answer.probabilities.shape == (2, 64, 128)
        assert answer.maps["entropy"].shape == (64, 128)
        assert 0 <= answer.maps["entropy"].min() <= answer.maps["entropy"].max() <= np.log(2) + 1e-6
    assert set(np.unique(answers[0].class_map)) == {0, 1}


def test_a_video_is_streamed(bright: Path, stripe_video: Path) -> None:
    model = lanecli.load(str(bright), str(bright), precision="fp32", tta="flip")
    predictions = list(model.stream(stripe_video))
    assert [p.frame.index for p in predictions] == list(range(12))
    assert all(p.class_map.any() for p in predictions)


def test_mistakes_are_named(bright: Path) -> None:
    with pytest.raises(InputError, match="no option 'ttaa'.*tta"):
        lanecli.load(str(bright), ttaa="flip")
    with pytest.raises(InputError, match="no model"):
        lanecli.load("lan")
    model = lanecli.load(str(bright))
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), 7, None):
        with pytest.raises(TypeError, match="RGB array"):
            model.predict(wrong)  # type: ignore[arg-type]
