"""docs/submission.md, walked command by command on a miniature of the competition; and the way back in detail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniature_files import ids, picture, stored
from miniatures import FULL_SIZE, competition_at_full_size
from samples import SMALL_RUN, Outcome, write_video
from walks import commands, walk

from lanecli.data.submission import decode_folder
from lanecli.errors import InputError
from lanecli.labelmaps import label_map

COMMANDS = commands("submission.md")
TINY = {
    "prepare": ["--contact-sheet", "0"],
    "train": ["--device", "cpu", *SMALL_RUN, "train.epochs=1"],
    "evaluate": ["--device", "cpu"],
}


def test_the_page_from_download_to_submission(
    tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same commands with fewer steps, on small data."""
    competition_at_full_size(tmp_path, "apollo")
    monkeypatch.chdir(tmp_path)
    walk(cli, COMMANDS, TINY)
    cropped = cli(
        "predict", "data/apollo/images", "--model", "runs/apollo", "--save", "masks", "--out", "wrong", "--json"
    )
    said = [line for source in cropped.json()["sources"] for line in source["warnings"]]  # type: ignore[index]
    assert (
        sum(
            "were cropped by 'lanecli prepare' (690 at the top); predict the original pictures instead" in line
            for line in said
        )
        == 1
    )
    (handed_in,) = [path for path in Path("submission").rglob("*") if path.is_file()]
    assert handed_in == Path("submission/Road05/Record001/Camera 5/a.png")
    mask = stored(handed_in)
    assert mask.shape == FULL_SIZE[::-1]
    known = {c.decoded for c in label_map("apolloscape-8").classes}
    assert set(np.unique(mask)) <= known
    assert not mask[:690].any()
    again = cli(*COMMANDS[-1][1:-2], "--out", "other", "--decode", "submission")
    assert (again.code, Path("other").exists()) == ((2, False) if mask.any() else (0, True))


def predictions(root: Path, stems: list[str], value: int = 1) -> Path:
    """What predict leaves for pictures: masks, overlays and heat maps."""
    for stem in stems:
        ids(root / f"{stem}.mask.png", np.full((8, 16), value))
        picture(root / f"{stem}.overlay.png")
        picture(root / f"{stem}.uncertainty.png")
    return root


def test_the_folder_of_predict_is_taken_as_it_is(tmp_path: Path) -> None:
    root = predictions(tmp_path / "pred", ["a/x", "b/y"])
    ids(root / "clip.masks/000004.png", np.zeros((8, 16)))
    written, notes = decode_folder(root, tmp_path / "out", label_map("culane"), None, 0)
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in written) == [
        "a/x.png",
        "b/y.png",
        "clip/000004.png",
    ]
    assert notes == ["4 overlays and heat maps are skipped"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("apolloscape-8", 200, "value 200 is not a train id.*source ids already"),
        ("cityscapes-19", 26, "value 26 is not a train id"),
        ("tusimple-binary", 255, "value 255 is the source id of 'lane'; these are source ids already"),
    ],
)
def test_what_is_decoded_already_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, value: int, message: str
) -> None:
    root = predictions(tmp_path / "pred", ["a", "b"], 0)
    predictions(root, ["z"], value)
    with pytest.raises(InputError, match=message):
        decode_folder(root, tmp_path / "out", label_map(name), None, 0)
    assert not (tmp_path / "out").exists()


def test_colours_are_decoded_already(tmp_path: Path) -> None:
    root = predictions(tmp_path / "pred", ["a"])
    (written,), _ = decode_folder(root, tmp_path / "out", label_map("comma10k"), None, 0)
    assert stored(written)[0, 0].tolist() == [255, 0, 0]
    with pytest.raises(InputError, match=r"a\.png: holds colours, not train ids; it is decoded already"):
        decode_folder(tmp_path / "out", tmp_path / "twice", label_map("comma10k"), None, 0)


def test_masks_go_under_the_paths_of_the_originals(tmp_path: Path) -> None:
    for name in ("Record001/Camera 5/x.jpg", "Record002/Camera 5/y.jpg", "Record002/Camera 5/z.jpg"):
        picture(tmp_path / "test" / name, (32, 16))
    root = predictions(tmp_path / "pred", ["x", "flat/y"])
    written, notes = decode_folder(root, tmp_path / "out", label_map("culane"), None, 0, originals=tmp_path / "test")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in written}
    assert names == {"Record001/Camera 5/x.png", "Record002/Camera 5/y.png"}
    assert stored(written[0]).shape == (16, 32)
    assert any("1 of 3 pictures" in line and "have no prediction" in line for line in notes)
    predictions(root, ["stranger"])
    with pytest.raises(InputError, match=r"stranger\.mask\.png: no picture has this name below"):
        decode_folder(root, tmp_path / "out2", label_map("culane"), None, 0, originals=tmp_path / "test")


def test_only_overlays_are_no_predictions(tmp_path: Path) -> None:
    picture(tmp_path / "pred/a.overlay.png")
    with pytest.raises(InputError, match="holds no PNG masks, only 1 overlays or heat maps; predict with --save masks"):
        decode_folder(tmp_path / "pred", tmp_path / "out", label_map("culane"), None, 0)


def test_two_masks_for_one_file_are_refused(tmp_path: Path) -> None:
    root = predictions(tmp_path / "pred", ["a"])
    ids(root / "a.png", np.zeros((8, 16)))
    with pytest.raises(InputError, match=r"several masks would be .*a\.png"):
        decode_folder(root, tmp_path / "out", label_map("culane"), None, 0)


def test_frames_of_a_video_to_label(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    video = write_video(tmp_path / "my drive.mp4", frames=12)
    outcome = cli("prepare", "frames", video, "--every", 5, "--out", tmp_path / "to label")
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in (tmp_path / "to label").iterdir())
    assert names == [f"my drive_{n:06}.jpg" for n in (0, 5, 10)]
    # the stripe moves two pixels a frame: it begins at column 20
    for path, number in zip(sorted((tmp_path / "to label").iterdir()), (0, 5, 10), strict=True):
        bright = np.nonzero(stored(path).mean(axis=(0, 2)) > 128)[0]
        assert abs(bright[0] - (20 + 2 * number)) <= 1
    again = cli("prepare", "frames", video, "--every", 5, "--out", tmp_path / "to label")
    assert (again.code, "--overwrite" in again.err) == (2, True)
    found = cli("prepare", "frames", video, "--every", 6, "--out", tmp_path / "six", "--json").json()
    assert [Path(p).name for p in found["files"]] == ["my drive_000000.jpg", "my drive_000006.jpg"]  # type: ignore[index]


@pytest.mark.parametrize("arguments", [["frames"], ["frames", "gone.mp4", "--out", "x"], ["frames", ".", "--out", "x"]])
def test_frames_of_no_video(cli: Callable[..., Outcome], arguments: list[str]) -> None:
    outcome = cli("prepare", *arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
