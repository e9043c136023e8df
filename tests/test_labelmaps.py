"""Every named label map: what it encodes, what it decodes to, and the tables of the field it must agree with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lanecli.errors import InputError
from lanecli.labelmaps import LABEL_MAPS, label_map, read_label_map, resolve_label_map
from lanecli.labelmaps.lane import SOURCES, lane_map_of_words
from lanecli.labels import LabelClass, LabelMap, pack_color

NAMES = [
    *("lane", "apolloscape-8", "apolloscape-9", "apolloscape-full", "camvid-32", "camvid-11", "comma10k"),
    *("bdd100k-lane", "bdd100k-drivable", "tusimple-binary", "tusimple-slots", "culane", "kitti-road"),
    "cityscapes-19",
]
# The ids of the ApolloScape toolkit and those its evaluation ignores.
OFFICIAL_IDS = {
    *(0, 200, 204, 213, 209, 206, 207, 201, 203, 211, 208, 216, 217, 215, 218, 219, 210, 232, 214, 202, 220, 221),
    *(222, 231, 224, 225, 226, 230, 228, 229, 233, 205, 212, 227, 223, 250, 249, 255),
}
DAGGERS = {213, 206, 207, 211, 208, 216, 215, 218, 219, 232, 202, 231, 230, 228, 229, 233, 212, 223, 249, 255}


def sources(label_map_: LabelMap) -> list[int]:
    return [v for c in label_map_.classes for v in c.sources] + list(label_map_.ignored)


@pytest.mark.parametrize("name", NAMES)
def test_contract_names_are_there(name: str) -> None:
    assert name in LABEL_MAPS


@pytest.mark.parametrize("name", [n for n in LABEL_MAPS if not label_map(n).multilabel])
def test_decode_then_encode_is_the_identity(name: str) -> None:
    found = label_map(name)
    train_ids = np.arange(len(found.classes), dtype=np.uint8)[None]
    assert np.array_equal(found.encode(found.decode(train_ids)), train_ids)


@pytest.mark.parametrize("name", list(LABEL_MAPS))
def test_yaml_friendly_form_reads_back_equal(name: str) -> None:
    assert LabelMap.from_dict(label_map(name).to_dict()) == label_map(name)


@pytest.mark.parametrize("name", ["apolloscape-8", "apolloscape-9", "apolloscape-full"])
def test_apolloscape_maps_cover_all_38_ids_once(name: str) -> None:
    found = sources(label_map(name))
    assert len(OFFICIAL_IDS) == 38
    assert sorted(found) == sorted(OFFICIAL_IDS)


def test_apolloscape_8_keeps_exactly_the_ids_that_count_in_evaluation() -> None:
    kept = {v for c in label_map("apolloscape-8").classes[1:] for v in c.sources}
    assert kept == OFFICIAL_IDS - DAGGERS - {0}
    assert len(kept) == 17


def test_apolloscape_8_and_9_decode_to_different_ids() -> None:
    eight = label_map("apolloscape-8").decode(np.arange(8, dtype=np.uint8)[None])
    nine = label_map("apolloscape-9").decode(np.arange(9, dtype=np.uint8)[None])
    assert eight.tolist() == [[0, 204, 203, 217, 210, 214, 224, 227]]
    assert nine.tolist() == [[0, 200, 201, 216, 218, 210, 214, 202, 205]]


def test_apolloscape_full_train_ids_are_the_official_ones() -> None:
    found = label_map("apolloscape-full")
    by_hand = {0: 0, 200: 1, 204: 2, 213: 3, 217: 12, 210: 16, 214: 18, 226: 26, 205: 31, 227: 33, 250: 35, 249: 255}
    encoded = found.encode(np.array([list(by_hand)], np.uint8))
    assert encoded.tolist() == [list(by_hand.values())]
    assert len(found.classes) == 36
    assert {(found.names[a], found.names[b]) for a, b in found.swaps} == {("a_w_tl", "a_w_tr"), ("a_w_l", "a_w_r")}


def test_lane_without_a_layout_reads_train_ids() -> None:
    assert label_map("lane").encode(np.array([[0, 1, 255]], np.uint8)).tolist() == [[0, 1, 255]]
    with pytest.raises(InputError, match=r"id 2 \(1 pixels\)"):
        label_map("lane").encode(np.array([[2]], np.uint8))


def test_lane_of_apolloscape_takes_lines_along_the_road_only() -> None:
    found = label_map("lane", "apolloscape")
    assert sorted(sources(found)) == sorted(OFFICIAL_IDS)
    values = np.array([[200, 203, 211, 214, 217, 220, 255, 0, 218, 223, 249]], np.uint8)
    assert found.encode(values).tolist() == [[1, 1, 1, 0, 0, 0, 0, 0, 255, 255, 255]]


def test_lane_of_camvid_knows_every_one_of_the_32_colours() -> None:
    every = {*sources(label_map("camvid-32"))}
    assert len(every) == 32
    assert {*sources(label_map("lane", "camvid"))} == every


def test_lane_of_bdd100k_reads_bits() -> None:
    found = label_map("lane", "bdd100k-lane")
    single_white_dashed, curb, crosswalk, stop_line, nothing = 6 | 16, 4, 0, 6 | 32, 255
    values = np.array([[single_white_dashed, 6, curb, crosswalk, stop_line, nothing, 8]], np.uint8)
    assert found.encode(values).tolist() == [[1, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("layout", sorted(SOURCES))
def test_lane_of_every_layout_has_the_same_classes(layout: str) -> None:
    assert label_map("lane", layout).same_classes(label_map("lane"))


@pytest.mark.parametrize("layout", ["kitti-road", "bdd100k-drivable", "cityscapes", "camvid-index"])
def test_lane_is_refused_where_labels_hold_no_lane_markings(layout: str) -> None:
    with pytest.raises(InputError, match="no lane markings"):
        label_map("lane", layout)


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean 'apolloscape.8'"):
        label_map("apolloscap-8")


def test_camvid_11_merges_lane_markings_into_road() -> None:
    found = label_map("camvid-11", "camvid")
    row = np.array([[(128, 64, 128), (128, 0, 192), (192, 0, 64), (0, 0, 0)]], np.uint8)
    assert found.encode(row).tolist() == [[3, 3, 3, 255]]
    assert label_map("camvid-11").encode(np.array([[3, 10, 11]], np.uint8)).tolist() == [[3, 10, 255]]


def test_comma10k_road_is_402020_not_its_misreading() -> None:
    found = label_map("comma10k")
    assert found.encode(np.array([[(0x40, 0x20, 0x20)]], np.uint8)).tolist() == [[0]]
    with pytest.raises(InputError, match=r"colour \(128, 32, 32\) \(1 pixels\).*nearest known value is \(64, 32, 32\)"):
        found.encode(np.array([[(128, 32, 32)]], np.uint8))


def test_bdd100k_lane_is_a_bit_field_not_a_class_index() -> None:
    found = label_map("bdd100k-lane")
    values = np.array([[0, 7, 7 | 16, 7 | 48, 4 | 32, 8, 255]], np.uint8)
    encoded = found.encode(values)[0]
    assert [found.names[i] for i in encoded] == [
        *("crosswalk", "single yellow", "single yellow", "single yellow", "road curb", "background", "background")
    ]
    with pytest.raises(InputError, match="id 64"):
        found.encode(np.array([[64]], np.uint8))


def test_bdd100k_attributes_hold_several_labels_at_a_pixel() -> None:
    found = label_map("bdd100k-lane-attributes")
    dashed_double_yellow, nothing = 3 | 16, 255
    mask = found.encode(np.array([[dashed_double_yellow, nothing, 0 | 32]], np.uint8))
    planes = found.split_labels(mask)
    named = [{n for n, p in zip(found.names, planes, strict=True) if p[0, x]} for x in range(3)]
    assert named == [{"lane line", "yellow", "dashed"}, {"background"}, {"crosswalk", "across"}]
    with pytest.raises(InputError, match="cannot be decoded"):
        found.decode(mask)


def test_multilabel_map_keeps_255_free_and_ignored_apart() -> None:
    classes = tuple(LabelClass(str(i), (i, i, i), (1, i + 2)) for i in range(7))
    found = LabelMap("bits", classes, (255,), multilabel=True)
    mask = found.encode(np.array([[1, 2, 255]], np.uint8))
    assert mask.tolist() == [[127, 1, 255]]
    assert found.split_labels(mask)[:, 0].tolist() == [[1, 1 if i == 0 else 0, 255] for i in range(7)]
    with pytest.raises(InputError, match="at most 7"):
        LabelMap("bits", (*classes, LabelClass("7", (7, 7, 7), (1,))), multilabel=True)


def test_bdd100k_drivable_background_is_2() -> None:
    found = label_map("bdd100k-drivable")
    assert found.names[2] == "background"
    assert found.background == 2


def test_slots_swap_end_for_end_when_mirrored() -> None:
    assert set(label_map("tusimple-slots").swaps) == {(1, 6), (2, 5), (3, 4)}
    assert set(label_map("culane").swaps) == {(1, 4), (2, 3)}
    assert set(label_map("llamas").swaps) == {(1, 4), (2, 3)}


def test_cityscapes_train_ids() -> None:
    found = label_map("cityscapes-19")
    assert found.encode(np.array([[7, 8, 24, 33, 6, 29]], np.uint8)).tolist() == [[0, 1, 11, 18, 255, 255]]


def test_own_label_map_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine é.yaml"
    path.write_text(
        "classes:\n  - {name: background, color: [0, 0, 0], sources: [0]}\n"
        "  - {name: paint, color: '#00ff00', sources: [solid, 7]}\n  - {name: arrow, color: [1, 2, 3]}\n"
        "ignored: [worn]\n",
        encoding="utf-8",
    )
    found = resolve_label_map(str(path), "cvat", {"solid": 3, "worn": 5, "arrow": 9})
    assert found.name == "mine é"
    assert found.encode(np.array([[0, 3, 7, 5, 9]], np.uint8)).tolist() == [[0, 1, 1, 255, 2]]
    assert found.classes[1].color == (0, 255, 0)


def test_own_label_map_by_colour(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text(
        "classes:\n  - {name: a, color: '#010203', sources: '#010203'}\n"
        "  - {name: b, color: '#ff0000', sources: ['#ff0000']}",
        encoding="utf-8",
    )
    found = read_label_map(path)
    assert found.coding == "colors"
    assert found.classes[0].sources == (pack_color((1, 2, 3)),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "mapping with 'classes'"),
        ("classes: [3]", "a class must be a mapping"),
        ("classes: [{name: a, color: [0, 0, 0], sources: [solit]}]", r"'solit' is not a label.*did you mean 'solid'"),
        ("classes: [{name: a, color: '#0000zz', sources: [0]}]", "is not a colour"),
        ("classes: [{name: a, color: [0, 0, 0], sources: [300]}]", "outside 0..255"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_bad_yaml_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_label_map(path, {"solid": 1})
    assert str(path) in str(error.value)


def test_lane_from_words_takes_lines_and_leaves_the_rest() -> None:
    found = lane_map_of_words({"Lane line": 1, "stop line": 2, "car": 3, "solid": 4, "drivable area": 5})
    assert found.encode(np.array([[0, 1, 2, 3, 4, 5]], np.uint8)).tolist() == [[0, 1, 0, 0, 1, 0]]
    with pytest.raises(InputError, match="none of the labels"):
        lane_map_of_words({"car": 1})
