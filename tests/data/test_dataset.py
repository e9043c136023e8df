"""Sources and sets: who is drawn when, and that it depends on nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.data.dataset import EvaluationSet, PreparedPictures, SyntheticPictures, TrainingSet
from lanecli.data.manifest import Sample
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.media import write_mask, write_picture
from lanecli.sections import AugmentConfig

LANE = label_map("lane")
GEOMETRY = Geometry((24, 16))


class Numbers:
    """Pictures that are their own number; each load is counted."""

    weights = None

    label_map = LANE

    def __init__(self, count: int, base: int = 0) -> None:
        self.count, self.base, self.loads = count, base, 0

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.loads += 1
        picture = np.full((20, 30, 3), self.base + index, np.uint8)
        picture[:, ::3] += 40
        return picture, np.full((20, 30), index % 2, np.uint8)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.floats(0, 5)), min_size=1, max_size=4).filter(
        lambda parts: sum(w for _, w in parts) > 0.1
    ),
    st.integers(1, 60),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_every_source_gives_its_share_and_repeats_nothing_early(
    parts: list[tuple[int, float]], samples: int, seed: int, epoch: int
) -> None:
    total = sum(w for _, w in parts)
    weights = [w for _, w in parts]
    drawn = TrainingSet([Numbers(n) for n, _ in parts], GEOMETRY, None, seed=seed, samples=samples, weights=weights)
    plan = drawn.draws(epoch)
    assert plan.shape == (samples, 2)
    for number, (count, weight) in enumerate(parts):
        mine = plan[plan[:, 0] == number, 1]
        assert abs(len(mine) - samples * weight / total) <= 1
        times = Counter(mine.tolist())
        assert set(times) <= set(range(count))
        if times:
            fewest = min(times.values()) if len(times) == count else 0
            assert max(times.values()) - fewest <= 1


def test_without_weights_an_epoch_is_every_sample_once() -> None:
    drawn = TrainingSet([Numbers(7), Numbers(4)], GEOMETRY, None)
    assert len(drawn) == 11
    wanted = sorted([(0, i) for i in range(7)] + [(1, i) for i in range(4)])
    for epoch in range(3):
        assert sorted(map(tuple, drawn.draws(epoch).tolist())) == wanted
    assert drawn.draws(0).tolist() != drawn.draws(1).tolist()
    assert drawn.draws(0).tolist() != wanted


def test_sources_are_mixed_not_queued() -> None:
    plan = TrainingSet([Numbers(50), Numbers(50)], GEOMETRY, None).draws(0)
    assert 15 < plan[:50, 0].sum() < 35


def test_an_item_depends_on_its_number_alone() -> None:
    def make(seed: int = 3) -> TrainingSet:
        return TrainingSet([Numbers(9), Numbers(5, 100)], GEOMETRY, AugmentConfig(), seed=seed)

    def content(items: TrainingSet, number: int) -> bytes:
        picture, mask = items[number]
        return picture.tobytes() + mask.tobytes()

    numbers = list(range(3 * 14))
    one, other = make(), make()
    forth = {n: content(one, n) for n in numbers}
    back = {n: content(other, n) for n in reversed(numbers)}
    assert forth == back
    assert len(set(forth.values())) == len(numbers)  # epochs differ, and so do places
    assert content(make(), 30) == forth[30]
    assert all(content(make(4), n) != forth[n] for n in (0, 20))


def test_an_item_loads_one_picture_of_the_network_size() -> None:
    source = Numbers(4)
    for augmentation in (None, AugmentConfig()):
        picture, mask = TrainingSet([source], GEOMETRY, augmentation)[2]
        assert (picture.shape, picture.dtype) == ((16, 24, 3), np.uint8)
        assert (mask.shape, mask.dtype) == ((16, 24), np.uint8)
    assert source.loads == 2


def test_unchanged_items_are_what_the_geometry_leaves() -> None:
    source = Numbers(3)
    items = TrainingSet([source], GEOMETRY, None, seed=1)
    place = GEOMETRY.place((30, 20))
    for number in range(6):
        index = int(items.draws(number // 3)[number % 3, 1])
        picture, mask = source.load(index)
        assert np.array_equal(items[number][0], place.picture(picture))
        assert np.array_equal(items[number][1], place.mask(mask))
        assert np.array_equal(EvaluationSet(source, GEOMETRY)[index][0], place.picture(picture))
        assert np.array_equal(EvaluationSet(source, GEOMETRY)[index][1], place.mask(mask))
    assert len(EvaluationSet(source, GEOMETRY)) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_worker_processes_change_nothing(workers: int) -> None:
    from torch.utils.data import DataLoader

    from lanecli.data.dataset import start_worker

    items = TrainingSet([Numbers(6)], GEOMETRY, AugmentConfig(), seed=2)
    loader = DataLoader(
        items,
        batch_size=2,
        sampler=range(3, 9),
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=start_worker,
    )
    got = [picture.tobytes() + mask.tobytes() for batch in loader for picture, mask in batch]
    alone = TrainingSet([Numbers(6)], GEOMETRY, AugmentConfig(), seed=2)
    assert got == [alone[n][0].tobytes() + alone[n][1].tobytes() for n in range(3, 9)]


def test_synthetic_scenes_are_numbered_by_their_seed() -> None:
    from lanecli.data.synth import render_scene

    source = SyntheticPictures(5, 70, (64, 48))
    assert len(source) == 5
    picture, mask = source.load(2)
    scene = render_scene(72, (64, 48))
    assert np.array_equal(picture, scene.image)
    assert np.array_equal(mask, scene.mask)
    assert source.label_map.same_classes(LANE)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    rng = np.random.default_rng(0)
    write_picture(tmp_path / "ä.png", rng.integers(0, 256, (12, 20, 3), np.uint8))
    write_mask(tmp_path / "m.png", rng.choice(np.array([0, 1, 255], np.uint8), (12, 20)))
    return Sample(tmp_path / "ä.png", tmp_path / "m.png", "train", "g")


def test_a_prepared_pair_is_read(sample: Sample) -> None:
    picture, mask = PreparedPictures([sample], LANE).load(0)
    assert picture.shape == (12, 20, 3)
    assert set(np.unique(mask)) == {0, 1, 255}


def test_a_pair_that_does_not_fit_is_named(sample: Sample) -> None:
    source = PreparedPictures([sample], LANE)
    write_mask(sample.mask, np.zeros((12, 19), np.uint8))
    with pytest.raises(InputError, match=r"m\.png: the mask's size is \(19, 12\), but its picture's is \(20, 12\)"):
        source.load(0)
    write_mask(sample.mask, np.full((12, 20), 2, np.uint8))
    with pytest.raises(InputError, match=r"m\.png: .*id 2 is not a class of label map 'lane'"):
        source.load(0)
    write_mask(sample.mask, np.zeros((12, 20), np.uint8))
    sample.image.write_bytes(sample.image.read_bytes()[:60])
    with pytest.raises(InputError, match=r"ä\.png"):
        source.load(0)
