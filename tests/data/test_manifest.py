"""The dataset on disk: what is written reads back, and no manifest reaches outside its two folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from miniature_files import ids, picture

from lanecli.data.manifest import DatasetInfo, Sample, read_dataset, safe_relative, write_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map


@pytest.fixture
def info(tmp_path: Path) -> DatasetInfo:
    """Two samples, one with commas, quotes and letters beyond ASCII in its name; pictures in a source folder."""
    source, root = tmp_path / "quelle ü", tmp_path / "out dir"
    samples = []
    for name, split in (("straße, 1", "train"), ('a "b"', "val")):
        image = picture(source / "sub" / f"{name}.png")
        mask = ids(root / "masks" / f"{name}.png", [[0, 1]])
        samples.append(Sample(image, mask, split, f"group {name}"))
    counts = {"train": {"background": 1, "lane marking": 1, "ignored": 0}}
    return DatasetInfo(
        root, tuple(samples), label_map("lane"), Geometry((8, 4), (0, 2, 0, 0)), counts, "folder", source
    )


def test_round_trip(info: DatasetInfo) -> None:
    write_dataset(info)
    assert read_dataset(info.root) == info
    assert yaml.safe_load((info.root / "dataset.yaml").read_text(encoding="utf-8"))["pictures"] == "source"
    assert not [p for p in info.root.iterdir() if p.name.startswith(".")]


def test_dataset_with_its_own_pictures_can_be_moved(info: DatasetInfo, tmp_path: Path) -> None:
    image = picture(info.root / "images" / "x.png")
    write_dataset(DatasetInfo(info.root, (Sample(image, info.samples[0].mask, "train", "g"),), info.label_map))
    moved = info.root.rename(tmp_path / "elsewhere")
    assert read_dataset(moved).samples[0].image == moved / "images" / "x.png"


def test_of_split_names_the_splits_there_are(info: DatasetInfo) -> None:
    assert [s.split for s in info.of_split("val")] == ["val"]
    with pytest.raises(InputError, match=r"split 'test'; the splits are: train \(1\), val \(1\)"):
        info.of_split("test")


def test_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a prepared dataset.*lanecli prepare"):
        read_dataset(tmp_path)


def test_missing_file_is_named_with_its_line(info: DatasetInfo) -> None:
    write_dataset(info)
    info.samples[1].mask.unlink()
    with pytest.raises(InputError, match=r'manifest\.csv line 3: .*a "b"\.png does not exist'):
        read_dataset(info.root)


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "a/../../b.png", "C:\\x.png", "..\\x.png", "\\\\h\\x", ""]
)
@pytest.mark.parametrize("column", [0, 1])
def test_no_line_of_a_manifest_reaches_outside(info: DatasetInfo, path: str, column: int) -> None:
    write_dataset(info)
    cells = ["sub/straße, 1.png", "masks/straße, 1.png", "train", "g"]
    cells[column] = path
    quoted = ",".join(f'"{c}"' for c in cells)
    (info.root / "manifest.csv").write_text(f"image,mask,split,group\n{quoted}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: .*is not a relative path"):
        read_dataset(info.root)


@given(st.lists(st.sampled_from(["..", "a", "b c", ".", "é"]), min_size=1, max_size=6))
def test_safe_relative_stays_below(parts: list[str]) -> None:
    text = "/".join(parts)
    if ".." in parts:
        with pytest.raises(ValueError, match="not a relative path"):
            safe_relative(text)
    else:
        assert (Path("/base") / safe_relative(text)).resolve().is_relative_to("/base")


def test_pictures_outside_both_folders_are_refused(info: DatasetInfo, tmp_path: Path) -> None:
    stray = Sample(picture(tmp_path / "stray.png"), info.samples[0].mask, "train", "g")
    with pytest.raises(InputError, match="outside the dataset"):
        write_dataset(DatasetInfo(info.root, (stray,), info.label_map, source=info.source))
    with pytest.raises(InputError, match="names no source"):
        write_dataset(DatasetInfo(info.root, (stray,), info.label_map))


def test_source_that_is_gone_is_named(info: DatasetInfo) -> None:
    write_dataset(info)
    assert info.source is not None
    info.source.rename(info.source.with_name("gone"))
    with pytest.raises(InputError, match=r"quelle ü' does not exist"):
        read_dataset(info.root)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("manifest.csv", "picture,mask\n", "the first line is 'picture,mask'"),
        ("manifest.csv", "image,mask,split,group\na,b\n", "line 2: has 2 columns"),
        ("manifest.csv", "image,mask,split,group\n", "lists no sample"),
        ("dataset.yaml", "a: [", "not readable as YAML"),
        ("dataset.yaml", "a: 1", "no label_map"),
        ("dataset.yaml", "label_map: {name: x}", "label map cannot be read"),
    ],
)
def test_malformed_files_are_named(info: DatasetInfo, file: str, content: str, message: str) -> None:
    write_dataset(info)
    (info.root / file).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_dataset(info.root)


def test_yaml_with_objects_is_data_not_code(info: DatasetInfo, tmp_path: Path) -> None:
    write_dataset(info)
    evil = f"label_map: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n"
    (info.root / "dataset.yaml").write_text(evil, encoding="utf-8")
    with pytest.raises(InputError, match="not readable as YAML"):
        read_dataset(info.root)
    assert not (tmp_path / "made").exists()
