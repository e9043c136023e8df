"""Annotations written for a tool come back through `prepare`'s readers to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.data.annotations import FORMATS, Annotation, Line, Region, regions_of, runs, write_annotations
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.media import read_mask, write_picture

LABELS = ["lane marking", "doubtful", "curve"]
COLORS = [(0, 255, 0), (255, 0, 200), (60, 130, 255)]


def blobs(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A mask with holes, single pixels, diagonals and regions that touch every border."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 4, width // 4)) < 0.4
    mask = coarse.repeat(4, 0).repeat(4, 1)
    mask[rng.random(mask.shape) < 0.05] ^= True
    return mask


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=30))
def test_runs_say_the_values_again(values):
    array = np.array(values, bool)
    found = runs(array)
    assert sum(found) == len(values)
    assert [bit for number, length in enumerate(found) for bit in [number % 2 == 1] * length] == values


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_components_are_the_mask_again_without_the_small_ones(seed, smallest):
    mask = blobs(seed)
    drawn = np.zeros_like(mask)
    for region in regions_of(mask, "lane", smallest):
        rows, columns = region.patch.shape
        window = drawn[region.top : region.top + rows, region.left : region.left + columns]
        assert not (window & region.patch).any()
        assert region.patch.sum() >= smallest
        window |= region.patch
    assert not (drawn & ~mask).any()
    if smallest == 1:
        assert (drawn == mask).all()


def written(kind: str, folder: Path, masks: list[np.ndarray], doubtful: list[np.ndarray]) -> list[Path]:
    """Pictures and annotations as `select` writes them, doubtful regions below the others."""
    annotations = []
    for number, (mask, region) in enumerate(zip(masks, doubtful, strict=True)):
        name = f"{number:04d}_größe.png"
        write_picture(folder / "images" / name, np.full((*mask.shape, 3), 90, np.uint8))
        regions = (*regions_of(region, "doubtful"), *regions_of(mask, "lane marking"))
        curve = Line("curve", np.array([[3.0, 39.0], [30.0, 0.0]]))
        annotations.append(Annotation(name, mask.shape[::-1], tuple(regions), (curve,)))
    return write_annotations(kind, folder, annotations, LABELS, COLORS)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_person_leaves_or_corrects_comes_back_to_the_pixel(kind, tmp_path, cli):
    masks = [blobs(1), np.zeros((40, 56), bool), blobs(3)]
    doubtful = [blobs(4), blobs(5), np.zeros((40, 56), bool)]
    # a person takes a piece away from one picture and adds one to another: the tool writes the shapes anew
    masks[0][10:20, 10:30] = False
    masks[1][5:9, :] = True
    listing = written(kind, tmp_path / "task", masks, doubtful)[-1]
    assert "doubtful" in listing.read_text(encoding="utf-8")
    done = cli("prepare", kind, tmp_path / "task", "--out", tmp_path / "set", "--classes", "lane")
    assert done.code == 0, done.err
    dataset = read_dataset(tmp_path / "set")
    found = {sample.image.name: read_mask(sample.mask) for sample in dataset.samples}
    assert dataset.label_map.names == ("background", "lane marking")
    for number, mask in enumerate(masks):
        assert (found[f"{number:04d}_größe.png"] == mask).all()


@pytest.mark.parametrize("kind", ["cvat", "labelme"])
def test_lines_come_back_where_they_were(kind, tmp_path, cli):
    folder = tmp_path / "task"
    write_picture(folder / "images" / "a.png", np.zeros((60, 80, 3), np.uint8))
    line = Line("lane marking", np.array([[20.0, 5.0], [20.0, 50.0]]))
    write_annotations(kind, folder, [Annotation("a.png", (80, 60), (), (line,))], LABELS, COLORS)
    done = cli("prepare", kind, folder, "--out", tmp_path / "set", "--classes", "lane")
    assert done.code == 0, done.err
    mask = read_mask(read_dataset(tmp_path / "set").samples[0].mask)
    ys, xs = np.nonzero(mask == 1)
    assert xs.mean() == pytest.approx(20, abs=0.01)
    assert ys.min() == 5
    assert ys.max() == 49  # butt ends


def test_regions_that_do_not_touch_have_a_shape_each(tmp_path):
    mask = np.zeros((20, 20), bool)
    mask[2:5, 2:5] = mask[10:15, 10:15] = True
    written("cvat", tmp_path, [mask], [np.zeros_like(mask)])
    text = (tmp_path / "annotations.xml").read_text(encoding="utf-8")
    assert text.count("<mask ") == 2
    assert text.count("<name>") == 3  # labels that are not used are listed too


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="cvat"):
        write_annotations(
            "cvta", tmp_path, [Annotation("a", (1, 1), (Region("x", 0, 0, np.ones((1, 1), bool)),))], [], []
        )
