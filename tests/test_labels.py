"""LabelMap: encoding, decoding, and what it refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.labels import IGNORE_ID, LabelClass, LabelMap, decide, pack_color, unpack_color

ROAD = LabelMap(
    "road",
    (
        LabelClass("background", (0, 0, 0), (0, 9)),
        LabelClass("left", (255, 0, 0), (200, 204), decode=204),
        LabelClass("right", (0, 0, 255), (7,)),
    ),
    ignored=(250, 251),
    swaps=((1, 2),),
)
PAINT = LabelMap(
    "paint",
    (LabelClass("road", (10, 20, 30), (0x402020,)), LabelClass("line", (255, 0, 0), (0xFF0000, 0xFE0000))),
    ignored=(0x000000,),
    coding="colors",
)


calm = settings(deadline=None, max_examples=30)


@st.composite
def id_maps(draw: st.DrawFn) -> LabelMap:
    """Label maps over ids: a random share of 0..255 dealt out to classes and to `ignored`."""
    values = draw(st.permutations(range(256)))
    counts = draw(st.lists(st.integers(1, 20), min_size=1, max_size=10))
    edges = np.cumsum([0, *counts])
    classes = tuple(
        LabelClass(
            f"class {i}",
            draw(st.tuples(*[st.integers(0, 255)] * 3)),
            tuple(values[a:b]),
            draw(st.sampled_from([None, *values[a:b]])),
        )
        for i, (a, b) in enumerate(pairwise(edges))
    )
    ignored = tuple(values[edges[-1] : edges[-1] + draw(st.integers(0, 5))])
    background = draw(st.sampled_from([None, 0, len(classes) - 1]))
    return LabelMap(draw(st.text(max_size=8)), classes, ignored, background=background)


def test_ids_are_encoded_and_decoded_as_written_down() -> None:
    source = np.array([[0, 9, 200], [204, 7, 250]], np.uint8)
    encoded = ROAD.encode(source)
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [[0, 0, 1], [1, 2, IGNORE_ID]]
    assert ROAD.decode(encoded).tolist() == [[0, 0, 204], [204, 7, 250]]
    assert ROAD.decode(encoded).dtype == np.uint8


def test_colours_are_encoded_and_decoded_as_written_down() -> None:
    source = np.array([[[0x40, 0x20, 0x20], [0xFF, 0, 0], [0xFE, 0, 0], [0, 0, 0]]], np.uint8)
    encoded = PAINT.encode(source)
    assert encoded.tolist() == [[0, 1, 1, IGNORE_ID]]
    assert PAINT.decode(encoded).tolist() == [[[0x40, 0x20, 0x20], [0xFF, 0, 0], [0xFF, 0, 0], [0, 0, 0]]]


def test_ignored_pixels_without_an_ignored_source_become_background() -> None:
    classes = (LabelClass("line", (1, 1, 1), (1,)), LabelClass("rest", (0, 0, 0), (40,)))
    assert LabelMap("m", classes, (), background=1).decode(np.array([[255]], np.uint8)).tolist() == [[40]]


@calm
@given(id_maps(), st.integers(0, 2**32 - 1))
def test_every_source_id_goes_to_its_class_and_back_to_the_class_decoded(label_map: LabelMap, seed: int) -> None:
    owner = {s: i for i, c in enumerate(label_map.classes) for s in c.sources}
    owner |= dict.fromkeys(label_map.ignored, IGNORE_ID)
    source = np.random.default_rng(seed).choice(np.array(sorted(owner), np.uint8), (5, 7))
    encoded = label_map.encode(source)
    assert encoded.tolist() == [[owner[int(v)] for v in row] for row in source]
    decoded = label_map.decode(encoded)
    assert np.array_equal(label_map.encode(decoded), np.where(encoded == 255, label_map.encode(decoded), encoded))
    for train_id, label in enumerate(label_map.classes):
        written = label.sources[0] if label.decode is None else label.decode
        assert (decoded[encoded == train_id] == written).all()


@settings(max_examples=8, deadline=None)  # a table of every colour is made for each
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=12, unique=True), st.data())
def test_colours_go_there_and_back(colours: list[tuple[int, int, int]], data: st.DataObject) -> None:
    classes = tuple(LabelClass(str(i), (0, 0, 0), (pack_color(c),)) for i, c in enumerate(colours))
    label_map = LabelMap("m", classes, (), "colors")
    ids = np.array(data.draw(st.lists(st.integers(0, len(colours) - 1), min_size=1, max_size=30)), np.uint8)[None]
    picture = np.array(colours, np.uint8)[ids]
    assert np.array_equal(label_map.encode(picture), ids)
    assert np.array_equal(label_map.decode(ids), picture)


@calm
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_packed_colours_unpack(colour: tuple[int, int, int]) -> None:
    red, green, blue = colour
    assert pack_color(colour) == red * 65536 + green * 256 + blue
    assert unpack_color(pack_color(colour)) == colour


def test_an_unknown_id_is_named_with_its_count_and_the_nearest() -> None:
    source = np.array([[0, 202, 202], [0, 0, 60]], np.uint8)
    with pytest.raises(InputError) as caught:
        ROAD.encode(source, "a/b.png")
    assert str(caught.value) == (
        "a/b.png: id 202 (2 pixels) and 1 more is not in label map 'road'; the nearest known value is id 200 ('left')"
    )
    with pytest.raises(InputError, match=r"id 249 \(1 pixels\) is not .* id 250 \('ignored'\)"):
        ROAD.encode(np.array([[249]], np.uint8))


def test_an_unknown_colour_is_named_with_its_count_and_the_nearest() -> None:
    source = np.full((2, 3, 3), (64, 32, 33), np.uint8)
    with pytest.raises(InputError, match=r"^m.png: colour \(64, 32, 33\) \(6 pixels\) .* \(64, 32, 32\) \('road'\)$"):
        PAINT.encode(source, "m.png")


def test_254_is_an_id_like_any_other() -> None:
    with pytest.raises(InputError, match="id 254"):
        ROAD.encode(np.array([[254]], np.uint8))
    label_map = LabelMap("m", (LabelClass("a", (0, 0, 0), (254,)),))
    assert label_map.encode(np.array([[254, 255]], np.uint8)).tolist() == [[0, 255]]


def test_a_map_without_any_source_says_so() -> None:
    with pytest.raises(InputError, match="id 3 .* has no source values at all"):
        LabelMap("m", (LabelClass("a", (0, 0, 0)),), ()).encode(np.array([[3]], np.uint8))


@pytest.mark.parametrize(
    ("label_map", "source"),
    [
        (ROAD, np.zeros((2, 2, 3), np.uint8)),
        (ROAD, np.zeros((2, 2), np.uint16)),
        (PAINT, np.zeros((2, 2), np.uint8)),
        (PAINT, np.zeros((2, 2, 3), np.float32)),
    ],
)
def test_another_kind_of_picture_is_refused(label_map: LabelMap, source: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^x\.png: label map '(road|paint)' needs "):
        label_map.encode(source, "x.png")


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(InputError, match=r"train id 3 is not one of the 3 classes of label map 'road'"):
        ROAD.decode(np.array([[3]], np.uint8))
    with pytest.raises(InputError, match="class 'b' has no source"):
        LabelMap("m", (LabelClass("a", (0, 0, 0), (1,)), LabelClass("b", (0, 0, 0)))).decode(np.zeros((1, 1), np.uint8))


def test_palette_and_names() -> None:
    assert ROAD.names == ("background", "left", "right")
    assert ROAD.palette.shape == (256, 3)
    assert ROAD.palette.dtype == np.uint8
    assert ROAD.palette[:3].tolist() == [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
    assert not ROAD.palette[3:].any()


def _classes(*sources: tuple[int, ...]) -> tuple[LabelClass, ...]:
    return tuple(LabelClass(f"c{i}", (0, 0, 0), s) for i, s in enumerate(sources))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": ()}, "must have 1 to 254 classes, not 0"),
        ({"classes": tuple(LabelClass(str(i), (0, 0, 0)) for i in range(255))}, "not 255"),
        ({"classes": _classes((1, 2), (2,))}, "source 2 is in both 'c0' and 'c1'"),
        ({"classes": _classes((1, 1))}, "source 1 is in both 'c0' and 'c0'"),
        ({"classes": _classes((1,)), "ignored": (1,)}, "source 1 is in both 'c0' and 'ignored'"),
        ({"classes": _classes((256,))}, "source 256 of 'c0' is outside 0..255"),
        ({"classes": _classes((-1,))}, "source -1 of 'c0'"),
        ({"classes": _classes((1 << 24,)), "coding": "colors"}, "outside 0..16777215"),
        ({"classes": (LabelClass("a", (0, 0, 0)), LabelClass("a", (1, 1, 1)))}, "names a class twice"),
        ({"classes": (LabelClass("a", (0, 0, 300)),)}, r"colour \(0, 0, 300\) of 'a' is outside 0..255"),
        ({"classes": (LabelClass("a", (0, 0, 0), (1,), decode=999),)}, "'a' decodes to 999"),
        ({"classes": _classes((1,)), "background": 1}, "there is no class 1 to be the background"),
        ({"classes": _classes((1,)), "swaps": ((0, 1),)}, "a swap names a class that does not exist"),
        ({"classes": _classes((1,)), "coding": "rgb"}, "coding must be 'ids' or 'colors', not 'rgb'"),
        ({"classes": _classes(*[(i,) for i in range(8)]), "multilabel": True}, "at most 7 classes"),
        (
            {"classes": _classes((1,), (1,)), "ignored": (1,), "multilabel": True},
            "source 1 is in both 'c1' and 'ignored'",
        ),
    ],
)
def test_a_map_that_contradicts_itself_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=rf"^label map 'm'.*{words}"):
        LabelMap("m", **arguments)


def test_several_labels_at_a_pixel_are_bits() -> None:
    label_map = LabelMap("m", _classes((1, 3), (2, 3), (9,)), (255,), background=None, multilabel=True)
    mask = label_map.encode(np.array([[1, 2, 3, 9, 255]], np.uint8))
    assert mask.tolist() == [[0b001, 0b010, 0b011, 0b100, 255]]
    planes = label_map.split_labels(mask)
    assert planes.dtype == np.uint8
    assert planes.tolist() == [[[1, 0, 1, 0, 255]], [[0, 1, 1, 0, 255]], [[0, 0, 0, 1, 255]]]
    with pytest.raises(InputError, match="cannot be decoded"):
        label_map.decode(mask)


def test_same_classes_looks_at_names_order_and_mode_only() -> None:
    base = LabelMap("a", _classes((1,), (2,)))
    assert base.same_classes(LabelMap("b", _classes((7,), (8,)), background=None, ignored=()))
    assert not base.same_classes(LabelMap("a", base.classes[::-1]))
    assert not base.same_classes(LabelMap("a", base.classes[:1]))
    assert not base.same_classes(LabelMap("a", base.classes, multilabel=True))


@calm
@given(id_maps())
def test_json_and_yaml_give_an_equal_map_back(label_map: LabelMap) -> None:
    assert LabelMap.from_dict(json.loads(json.dumps(label_map.to_dict()))) == label_map
    assert LabelMap.from_dict(yaml.safe_load(yaml.safe_dump(label_map.to_dict()))) == label_map


def test_swaps_and_mode_survive_a_dictionary() -> None:
    assert LabelMap.from_dict(ROAD.to_dict()).swaps == ((1, 2),)
    several = LabelMap("m", _classes((1,)), multilabel=True, background=None)
    assert LabelMap.from_dict(several.to_dict()) == several


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "m"},
        {"name": "m", "classes": 3},
        {"name": "m", "classes": ["a"]},
        {"name": "m", "classes": [{"name": "a"}]},
        {"name": "m", "classes": [{"name": "a", "color": [1, 2]}]},
        {"name": "m", "classes": [{"name": "a", "color": "red", "sources": [1]}]},
        {"name": "m", "classes": [{"name": "a", "color": [0, 0, 0], "sources": [float("inf")]}]},
        {"name": "m", "classes": [{"name": "a", "color": [0, 0, 0]}], "background": "a"},
        {"name": "m", "classes": [{"name": "a", "color": [0, 0, 0]}], "swaps": [[0]]},
        [],
        "lane",
        None,
    ],
)
def test_what_is_no_label_map_is_refused_in_one_line(data: Any) -> None:
    with pytest.raises(InputError, match="label map") as caught:
        LabelMap.from_dict(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 4), (4, 1), (3, 3)])
@pytest.mark.parametrize("name", ["lane", "comma10k"])
def test_mix_1x1_frames_of_few_pixels_are_decided_as_large_ones(shape: tuple[int, int], name: str) -> None:
    """OpenCV takes an array of one pixel, or of four in a column, for a scalar."""
    found = label_map(name)
    count = 1 if found.bernoulli else len(found.names)
    for winner in (0, 1):
        planes = np.full((count, *shape), 0.1, np.float32)
        planes[0 if count == 1 else winner] = 0.9 if count > 1 or winner else 0.2
        class_map = decide(planes, found).class_map
        assert class_map.shape == shape
        assert (class_map == winner).all()
