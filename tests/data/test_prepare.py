"""The shared core of `lanecli prepare`: geometry, resuming, overwriting, checking, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature_files import SHARED, block, colors, ids, picture, stored, text
from PIL import Image

from lanecli.data.contact_sheet import write_contact_sheet
from lanecli.data.formats import FORMATS
from lanecli.data.job import Job
from lanecli.data.layout import Request
from lanecli.data.manifest import read_dataset
from lanecli.data.prepare import check_dataset, prepare_dataset
from lanecli.data.remap import counts_by_class, histogram, snap_colors
from lanecli.data.submission import decode_mask
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map

SIZE = (64, 48)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six pairs of a folder layout; a stripe of lane marking over columns 20 to 23 of rows 16 to 47."""
    root = tmp_path / "quelle é 1"
    for number in range(6):
        picture(root / "images" / f"d{number}" / f"a_{number}.jpg", SIZE)
        ids(root / "masks" / f"d{number}" / f"a_{number}.png", block(SIZE, 1, 20, 16, 24, 48))
    return root


def prepare(source: Path, out: Path, note: Callable[[str], object] = print, **options: Any) -> Any:
    return prepare_dataset(Job("folder", source, out, **{"contact_sheet": 0, **options}), note=note)


def test_every_contract_format_is_registered() -> None:
    words = (
        "apolloscape tusimple culane bdd100k-lane bdd100k-drivable llamas camvid comma10k kitti-road cityscapes cvat "
        "labelme coco folder"
    )
    assert set(FORMATS) >= set(words.split())  # more may be added
    assert all(callable(FORMATS.get(name)) for name in FORMATS)


def test_pictures_that_keep_their_size_are_referenced_not_copied(source: Path, tmp_path: Path) -> None:
    info = prepare(source, tmp_path / "out")
    assert all(s.image.is_relative_to(source) for s in info.samples)
    assert sorted(p.name for p in info.root.iterdir()) == ["dataset.yaml", "manifest.csv", "masks"]
    assert read_dataset(info.root) == info


def test_resized_pictures_and_masks_are_cached_at_the_size_asked_for(source: Path, tmp_path: Path) -> None:
    info = prepare(source, tmp_path / "out", crop_top=16, size=(32, 16))
    for sample in info.samples:
        assert stored(sample.image).shape == (16, 32, 3)
        mask = stored(sample.mask)
        assert mask.shape == (16, 32)
        assert np.nonzero(mask.all(axis=0))[0].tolist() == [10, 11]
        assert mask.sum() == 2 * 16
    assert info.geometry.crop == (0, 16, 0, 0)
    assert read_dataset(info.root) == info


def test_png_pictures_stay_lossless_when_cached(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
    (tmp_path / "src/images").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "src/images/a.png")
    ids(tmp_path / "src/masks/a.png", np.zeros((8, 8)))
    info = prepare(tmp_path / "src", tmp_path / "out", crop_top=3)
    assert np.array_equal(stored(info.samples[0].image), pixels[3:])


@pytest.mark.parametrize("width", [3, 5, 12])
def test_stripes_survive_the_round_trip_with_zero_mean_shift(width: int) -> None:
    """Nearest down and corner-aligned up shifted a competition winner's results 4 to 5 pixels to the right."""
    columns = np.random.default_rng(0).integers(0, 3384 - width, 900)
    mask = np.zeros((900, 3384), np.uint8)
    for row, column in enumerate(columns):
        mask[row, column : column + width] = 1
    placement = Geometry((1536, 900)).place((3384, 900))
    back = placement.inverse_mask(placement.mask(mask))
    kept = back.any(axis=1)
    assert kept.mean() > 0.99
    positions = np.arange(3384)
    shifts = back[kept] @ positions / back[kept].sum(axis=1) - columns[kept] - (width - 1) / 2
    assert abs(shifts.mean()) < 0.1


@pytest.mark.parametrize("size", [(320, 128), (160, 64), (300, 127), (80, 32)])
def test_pictures_decoded_at_a_reduced_size_stay_in_place(tmp_path: Path, size: tuple[int, int]) -> None:
    """A bright stripe in a large JPEG is where its mask is, whether the decoder reduced the picture or not."""
    root = tmp_path / "src"
    pixels = np.zeros((256, 640, 3), np.uint8)
    pixels[:, 301:341] = 255
    (root / "images").mkdir(parents=True)
    Image.fromarray(pixels).save(root / "images/a.jpg", quality=95)
    ids(root / "masks/a.png", pixels[..., 0] // 255)
    info = prepare(root, tmp_path / "out", size=size)
    light = stored(info.samples[0].image).astype(float).sum(axis=(0, 2))
    center = (light @ np.arange(size[0])) / light.sum()
    assert center == pytest.approx((320.5 + 0.5) * size[0] / 640 - 0.5, abs=0.1)
    assert stored(info.samples[0].image).shape == (size[1], size[0], 3)


def test_a_picture_one_column_short_is_found_though_decoded_reduced(source: Path, tmp_path: Path) -> None:
    picture(source / "images/d2/a_2.jpg", (63, 48))
    with pytest.raises(InputError, match=r"is 64x48, but its picture a_2\.jpg is 63x48"):
        prepare(source, tmp_path / "out", size=(32, 24))


def test_counts_are_of_the_masks_written(source: Path, tmp_path: Path) -> None:
    info = prepare(source, tmp_path / "out", split="val=d0,train=*")
    one = {"background": 64 * 48 - 4 * 32, "lane marking": 4 * 32, "ignored": 0}
    assert info.pixel_counts["val"] == one
    assert info.pixel_counts["train"] == {k: 5 * v for k, v in one.items()}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_histogram_counts_every_value(width: int, height: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    assert histogram(mask).tolist() == [int((mask == v).sum()) for v in range(256)]


def test_histogram_is_exact_beyond_float_precision() -> None:
    mask = np.zeros((4097, 4097), np.uint8)
    assert histogram(mask)[0] == 4097**2


def test_counts_name_ignored_pixels() -> None:
    counts = np.zeros(256, np.int64)
    counts[[0, 1, 255]] = 5, 6, 7
    assert counts_by_class(label_map("lane"), counts) == {"background": 5, "lane marking": 6, "ignored": 7}


def test_colours_snap_only_within_the_tolerance() -> None:
    found = snap_colors(label_map("comma10k"), np.array([[(254, 1, 1), (250, 1, 1)]], np.uint8), 2)
    assert found.tolist() == [[[255, 0, 0], [250, 1, 1]]]


def test_mask_of_another_size_than_its_picture_is_named(source: Path, tmp_path: Path) -> None:
    bad = ids(source / "masks/d3/a_3.png", np.zeros((48, 60)))
    for options in ({}, {"size": (32, 24)}):
        with pytest.raises(InputError, match=r"is 60x48, but its picture a_3\.jpg is 64x48") as error:
            prepare(source, tmp_path / "out", overwrite=True, **options)
        assert str(bad) in str(error.value)


def test_an_interrupted_run_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    bad = source / "masks/d5/a_5.png"
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    out = tmp_path / "out"
    with pytest.raises(InputError, match="cut short"):
        prepare(source, out, size=(32, 24), workers=1)
    assert not (out / "dataset.yaml").exists()
    done = {p: p.stat().st_mtime_ns for p in (out / ".unfinished/masks").rglob("*.png")}
    assert len(done) == 5
    assert [p.name for p in out.iterdir()] == [".unfinished"]
    bad.write_bytes(good)
    info = prepare(source, out, size=(32, 24))
    moved = {out / p.relative_to(out / ".unfinished"): when for p, when in done.items()}
    assert {p: p.stat().st_mtime_ns for p in moved} == moved
    fresh = prepare(source, tmp_path / "fresh", size=(32, 24))
    assert info.pixel_counts == fresh.pixel_counts
    assert not (out / ".unfinished").exists()


def test_a_half_written_mask_is_written_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out, size=(32, 24))
    bad = source / "masks/d5/a_5.png"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        prepare(source, out, size=(32, 24), overwrite=True, workers=1)
    assert len(list((out / "masks").rglob("*.png"))) == 6  # the dataset that is there stays until the new one is whole
    (out / ".unfinished/masks/d0/a_0.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    bad.write_bytes(good)
    info = prepare(source, out, size=(32, 24))
    assert stored(info.samples[0].mask).shape == (24, 32)


def test_a_dataset_is_not_overwritten_unasked(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    with pytest.raises(InputError, match="--overwrite"):
        prepare(source, tmp_path / "out")
    info = prepare(source, tmp_path / "out", size=(32, 24), overwrite=True)
    again = prepare(source, tmp_path / "out", overwrite=True)
    assert not (again.root / "images").exists()
    assert info.root == again.root


def test_other_settings_do_not_go_on_with_a_half_made_dataset(source: Path, tmp_path: Path) -> None:
    bad = source / "masks/d5/a_5.png"
    bad.write_bytes(bad.read_bytes()[:30])
    with pytest.raises(InputError, match="cut short"):
        prepare(source, tmp_path / "out", workers=1)
    with pytest.raises(InputError, match="an unfinished dataset with other settings"):
        prepare(source, tmp_path / "out", size=(32, 24))


def test_someone_elses_folder_is_never_emptied(source: Path, tmp_path: Path) -> None:
    precious = text(tmp_path / "out/precious.txt", "x")
    with pytest.raises(InputError, match="holds other files"):
        prepare(source, tmp_path / "out", overwrite=True)
    assert precious.exists()
    for out in (source, source / "inside", source.parent):
        with pytest.raises(InputError, match="inside the source folder or contains it"):
            prepare(source, out, overwrite=True)
    assert (source / "images").is_dir()


def test_same_input_same_bytes(source: Path, tmp_path: Path) -> None:
    for workers in (1, 4):
        prepare(source, tmp_path / str(workers), size=(32, 24), workers=workers)
    for path in (tmp_path / "1").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "4" / path.relative_to(tmp_path / "1")).read_bytes()


def test_class_without_a_pixel_is_noted(source: Path, tmp_path: Path) -> None:
    for path in (source / "masks").rglob("*.png"):
        ids(path, np.zeros((48, 64)))
    notes: list[str] = []
    prepare(source, tmp_path / "out", note=notes.append)
    assert any("there is nothing to learn" in n for n in notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "nothing"}, "unknown label map 'nothing'"),
        ({"crop_top": 48}, "leave nothing"),
        ({"by": "colour"}, "not one of group, folder, frame"),
        ({"tolerance": 3}, "has ids"),
        ({"split": "train=0.5"}, "sum to 0.5"),
    ],
)
def test_bad_options_are_named(source: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(source, tmp_path / "out", **options)
    made = tmp_path / "out"
    assert not made.exists() or options == {"crop_top": 48}


def test_check_lists_every_broken_file_and_writes_nothing(source: Path) -> None:
    (source / "images/d0/a_0.jpg").write_bytes((source / "images/d0/a_0.jpg").read_bytes()[:200])
    (source / "masks/d1/a_1.png").write_bytes(b"")
    ids(source / "masks/d2/a_2.png", np.full((48, 64), 7))
    ids(source / "masks/d3/a_3.png", np.zeros((4, 4)))
    before = sorted(source.rglob("*"))
    total, broken = check_dataset(Job("folder", source))
    assert total == 6
    assert len(broken) == 4
    for line, words in zip(
        broken, ("a_0.jpg", "a_1.png: the file is empty", "id 7 (3072 pixels)", "is 4x4"), strict=True
    ):
        assert words in line
    assert sorted(source.rglob("*")) == before


def test_contact_sheet_shows_picture_and_overlay(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/<b>.png", (640, 320), level=0)
    mask = block((640, 320), 1, 400, 0, 500, 320)
    mask[:, 600:] = 255
    ids(root / "masks/<b>.png", mask)
    info = prepare(root, tmp_path / "out", contact_sheet=12)
    sheet = stored(info.root / "contact_sheet.png")
    assert sheet[100, 450].tolist() == [0, 0, 0]
    red, green, blue = sheet[420, 450].tolist()
    assert green > 100 > red == blue == 0
    assert sheet[420, 620].tolist() != [0, 0, 0]
    page = (info.root / "contact_sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 1
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "http" not in page


def test_contact_sheet_of_multilabel_masks(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/100k/train/a-1.jpg", (64, 32))
    ids(root / "labels/lane/masks/train/a-1.png", np.full((32, 64), 7 | 16))
    info = prepare_dataset(Job("bdd100k-lane", root, tmp_path / "out", classes="bdd100k-lane-attributes"))
    write_contact_sheet(info)
    dashed = info.label_map.classes[5].color
    assert np.abs(stored(info.root / "contact_sheet.png")[330, 300].astype(int) - dashed).sum() < 3 * 128


# --- the way back ----------------------------------------------------------------------------------------------------


def test_submission_has_original_ids_full_size_and_an_empty_top(tmp_path: Path, cli: Callable[..., Any]) -> None:
    full = np.zeros((1710, 3384), np.uint8)
    full[:, 100] = 1
    full[900:, 2000:2010] = 6
    ids(tmp_path / "pred/road05/a.mask.png", full)
    ids(tmp_path / "pred/road05/b.png", full[690:])
    ids(tmp_path / "pred/c.png", np.full((512, 1536), 7))
    outcome = cli("prepare", "apolloscape", "--decode", tmp_path / "pred", "--out", tmp_path / "sub")
    assert outcome.code == 0, outcome.err
    for name in ("road05/a.png", "road05/b.png"):
        with Image.open(tmp_path / "sub" / name) as image:
            assert (image.mode, image.size) == ("L", (3384, 1710))
        found = stored(tmp_path / "sub" / name)
        assert not found[:690].any()
        assert (found[690:, 100] == 204).all()
        assert (found[900:, 2000:2010] == 224).all()
        assert np.unique(found).tolist() == [0, 204, 224]
    network = stored(tmp_path / "sub/c.png")
    assert (network[690:] == 227).all()
    assert not network[:690].any()


def test_submission_refuses_source_ids_and_existing_files(tmp_path: Path, cli: Callable[..., Any]) -> None:
    ids(tmp_path / "pred/a.png", np.full((4, 4), 200))
    outcome = cli("prepare", "apolloscape", "--decode", tmp_path / "pred", "--out", tmp_path / "sub")
    assert outcome.code == 2
    assert "value 200 is not a train id" in outcome.err
    ids(tmp_path / "pred/a.png", np.zeros((4, 4)))
    assert cli("prepare", "apolloscape", "--decode", tmp_path / "pred", "--out", tmp_path / "sub").code == 0
    outcome = cli("prepare", "apolloscape", "--decode", tmp_path / "pred", "--out", tmp_path / "sub")
    assert (outcome.code, "--overwrite" in outcome.err) == (2, True)


def test_decode_of_ignored_pixels_is_background() -> None:
    decoded = decode_mask(np.array([[255, 1]], np.uint8), label_map("apolloscape-9"), None, 0, "x")
    assert decoded.tolist() == [[0, 200]]


# --- the command -----------------------------------------------------------------------------------------------------


def test_command_prints_json(source: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    outcome = cli(
        "prepare", "folder", source, "--out", tmp_path / "out", "--size", "32x24", "--crop-top", "16", "--json"
    )
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["samples"] == 6
    assert document["splits"] == {"train": 5, "val": 1} or document["splits"] == {"val": 1, "train": 5}
    assert (tmp_path / "out/contact_sheet.html").is_file()


def test_command_check(source: Path, cli: Callable[..., Any]) -> None:
    assert cli("prepare", "folder", source, "--check").code == 0
    (source / "masks/d1/a_1.png").write_bytes(b"")
    outcome = cli("prepare", "folder", source, "--check", "--json")
    assert outcome.code == 1
    assert len(json.loads(outcome.out)["broken"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["apolloscap", "x", "--out", "y"], "unknown format 'apolloscap' (did you mean 'apolloscape'?)"),
        (["folder", "/nowhere at all", "--out", "y"], "/nowhere at all: no such file or folder"),
        (["folder"], "needs a source and --out"),
        (["folder", ".", "--out", "y", "--size", "wide"], "a size is WIDTHxHEIGHT"),
        (["folder", "--decode", "."], "--decode needs --classes"),
    ],
)
def test_command_names_what_is_wrong(cli: Callable[..., Any], arguments: list[str], message: str) -> None:
    outcome = cli("prepare", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_command_colour_tolerance(tmp_path: Path, cli: Callable[..., Any]) -> None:
    picture(tmp_path / "src/imgs/a_9.png", (1, 1))
    colors(tmp_path / "src/masks/a_9.png", [[(254, 0, 0)]])
    assert cli("prepare", "comma10k", tmp_path / "src", "--out", tmp_path / "a").code == 2
    outcome = cli("prepare", "comma10k", tmp_path / "src", "--out", tmp_path / "b", "--tolerance", "1")
    assert outcome.code == 0, outcome.err


# --- real data -------------------------------------------------------------------------------------------------------


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not there")
    return SHARED / name


@pytest.fixture
def some_real_pairs(tmp_path: Path) -> tuple[Path, Path, dict[str, Path]]:
    """A CSV list of six real pairs, where their pictures are, and the grey labels by picture stem."""
    root = shared("apolloscape")
    pairs = FORMATS.get("apolloscape")(Request(root)).pairs
    assert len(pairs) == 67
    assert all(p.group.startswith(("Road02/Record", "Road04/Record")) for p in pairs)
    chosen = pairs[5::11]
    lines = [f"{p.image.relative_to(root)}, {p.label.relative_to(root)}\n" for p in chosen]
    listed = text(tmp_path / "list.csv", "image, label\n" + "".join(lines))
    return listed, root, {p.image.stem: p.label for p in chosen}


def test_real_apolloscape_masks_decode_to_the_source_labels(
    tmp_path: Path, some_real_pairs: tuple[Path, Path, dict[str, Path]]
) -> None:
    """Every kept id at full size, exactly; a class's decode id stands for all of its ids."""
    listed, images, labels = some_real_pairs
    info = prepare_dataset(
        Job("apolloscape", listed, tmp_path / "out", classes="apolloscape-8", contact_sheet=0, images=images)
    )
    found = label_map("apolloscape-8")
    for sample in info.samples:
        original, decoded = stored(labels[sample.image.stem]), found.decode(stored(sample.mask))
        for entry in found.classes:
            assert np.array_equal(np.isin(original, entry.sources), decoded == entry.decode)


def test_real_apolloscape_resized_masks_are_not_shifted(
    tmp_path: Path, some_real_pairs: tuple[Path, Path, dict[str, Path]]
) -> None:
    listed, images, labels = some_real_pairs
    info = prepare_dataset(
        Job(
            "apolloscape",
            listed,
            tmp_path / "out",
            classes="apolloscape-8",
            crop_top=690,
            size=(1536, 512),
            contact_sheet=0,
            images=images,
        )
    )
    found = label_map("apolloscape-8")
    across, along = [], []
    for sample in info.samples:
        original = found.encode(stored(labels[sample.image.stem]))
        original[:690] = 0
        back = info.geometry.place((3384, 1710)).inverse_mask(stored(sample.mask))
        for train_id in (1, 2):
            across.append(run_shifts(original == train_id, back == train_id))
            along.append(run_shifts((original == train_id).T, (back == train_id).T))
    assert len(np.concatenate(across)) > 5_000
    assert abs(np.concatenate(across).mean()) < 0.1
    assert abs(np.concatenate(along).mean()) < 0.1


def run_shifts(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far the middles of runs of True within rows moved, for runs wide enough to be found again."""

    def middles(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        (rows, starts), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
        return rows * 100_000 + (starts + ends - 1) / 2, ends - starts

    (here, widths), (there, there_widths) = middles(before), middles(after)
    place = np.clip(np.searchsorted(there, here), 1, max(1, len(there) - 1))
    nearer = np.where(np.abs(there[place - 1] - here) < np.abs(there[place % len(there)] - here), place - 1, place)
    shift = there[nearer % len(there)] - here
    kept = (widths >= 6) & (np.abs(there_widths[nearer % len(there)] - widths) <= 3) & (np.abs(shift) <= 6)
    return shift[kept]


@pytest.mark.parametrize(
    ("name", "count", "lane_pixels"), [("camvid", 66, 823_735), ("comma10k", 6, 48_703), ("tusimple", 6, 102_993)]
)
def test_real_sets_onto_lane(tmp_path: Path, name: str, count: int, lane_pixels: int) -> None:
    info = prepare_dataset(Job(name, shared(name), tmp_path / "out", classes="lane", contact_sheet=0))
    assert len(info.samples) == count
    assert sum(counts["lane marking"] for counts in info.pixel_counts.values()) == lane_pixels
