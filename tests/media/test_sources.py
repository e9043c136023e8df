from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from lanecli.errors import InputError
from lanecli.media import expand_sources


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A folder of (empty) pictures and videos, which is also the current one."""
    for name in (
        "drive/a.jpg",
        "drive/b.PNG",
        "drive/clip.mp4",
        "drive/notes.txt",
        "drive/.hidden.jpg",
        "drive/.git/x.jpg",
        "drive/Kamera 5/ü.jpg",
        "drive/Kamera 5/a.jpg",
        "other/a.jpg",
        "other/a.png",
        "none/readme.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(sources) -> list[tuple[str, str, str, str]]:
    return [(s.kind, Path(s.path).as_posix(), s.relative.as_posix(), s.stem) for s in sources]


def test_a_folder_is_searched_and_mirrored(tree):
    assert told(expand_sources(["drive"])) == [
        ("image", "drive/a.jpg", ".", "a"),
        ("image", "drive/b.PNG", ".", "b"),
        ("video", "drive/clip.mp4", ".", "clip"),
        ("image", "drive/Kamera 5/a.jpg", "Kamera 5", "a"),
        ("image", "drive/Kamera 5/ü.jpg", "Kamera 5", "ü"),
    ]


def test_a_glob_mirrors_what_its_wildcards_matched(tree):
    assert told(expand_sources(["drive/**/*.jpg"])) == [
        ("image", "drive/Kamera 5/a.jpg", "Kamera 5", "a"),
        ("image", "drive/Kamera 5/ü.jpg", "Kamera 5", "ü"),
        ("image", "drive/a.jpg", ".", "a"),
    ]
    assert told(expand_sources(["drive/*.mp4"])) == [("video", "drive/clip.mp4", ".", "clip")]
    assert told(expand_sources(["*/a.jpg"])) == [
        ("image", "drive/a.jpg", "drive", "a"),
        ("image", "other/a.jpg", "other", "a"),
    ]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tree):
    (tree / "take [1].jpg").touch()
    assert told(expand_sources(["take [1].jpg"])) == [("image", "take [1].jpg", ".", "take [1]")]


def test_same_stem_in_one_folder_keeps_the_suffix(tree):
    assert [s.stem for s in expand_sources(["other"])] == ["a.jpg", "a.png"]


def test_same_name_in_two_places_gets_the_folders_name(tree):
    assert [s.stem for s in expand_sources(["drive/a.jpg", "other/a.jpg"])] == ["drive-a", "other-a"]


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["drive/a.jpg", "other/a.jpg", "other/a.png", "drive/clip.mp4"]))
)
def test_stems_depend_on_names_not_on_order(tree, order):
    stems = {s.path: s.stem for s in expand_sources(order)}
    assert stems == {
        "drive/a.jpg": "drive-a",
        "other/a.jpg": "other-a",
        "other/a.png": "a.png",
        "drive/clip.mp4": "clip",
    }


def test_no_two_sources_share_an_output_even_against_a_case_blind_file_system(tree):
    for name in ("x-a.jpg", "x/a.jpg", "y/a.jpg", "X-A.png", "x/A.JPG", "y/x/a.jpg", "a.jpg.png"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    sources = expand_sources(["x-a.jpg", "x/a.jpg", "y/a.jpg", "X-A.png", "x/A.JPG", "y/x/a.jpg", "a.jpg.png"])
    names = [(s.relative / s.stem).as_posix().casefold() for s in sources]
    assert len(set(names)) == len(names) == 7


def test_the_same_file_named_twice_is_taken_once(tree):
    assert len(expand_sources(["drive/a.jpg", "drive", "./drive/a.jpg", str(tree / "drive" / "a.jpg")])) == 5


def test_cameras_and_streams(tree):
    sources = expand_sources(["0", "2", "rtsp://user@10.0.0.5:554/live/front.sdp", "http://host/", "rtsp://b/front"])
    assert [(s.kind, s.path) for s in sources] == [
        ("camera", "0"),
        ("camera", "2"),
        ("stream", "rtsp://user@10.0.0.5:554/live/front.sdp"),
        ("stream", "http://host/"),
        ("stream", "rtsp://b/front"),
    ]
    stems = [s.stem for s in sources]
    assert stems[:2] == ["camera0", "camera2"]
    assert stems[3] == "host"
    assert stems[2].startswith("front-")
    assert stems[4].startswith("front-")
    assert len(set(stems)) == 5


def test_a_file_named_as_a_number_is_a_file(tree):
    (tree / "7").write_bytes(b"\xff\xd8\xff\xe0")
    assert told(expand_sources(["7"])) == [("image", "7", ".", "7")]


def test_unknown_suffix_is_told_by_the_first_bytes(tree):
    (tree / "photo.dat").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tree / "film.dat").write_bytes(b"\0\0\0\x18ftypmp42")
    assert [s.kind for s in expand_sources(["photo.dat", "film.dat"])] == ["image", "video"]


def test_the_output_folder_is_not_searched(tree):
    assert {s.path.split("/")[0] for s in expand_sources(["."], exclude="drive")} == {"."}
    paths = [Path(s.path).as_posix() for s in expand_sources(["."], exclude="drive")]
    assert sorted(paths) == ["other/a.jpg", "other/a.png"]
    assert [s.path for s in expand_sources(["*/a.*"], exclude="drive")] == ["other/a.jpg", "other/a.png"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nowhere.mp4"], "no such file"),
        (["none"], "holds no picture or video"),
        (["drive/*.bmp"], "matches no"),
        ([], "nothing to read"),
        (["drive/a.jpg", "missing"], "missing: no such file"),
    ],
)
def test_nothing_to_read_is_one_clear_line(tree, names, words):
    with pytest.raises(InputError, match=words) as caught:
        expand_sources(names)
    assert "\n" not in str(caught.value)


# --- nothing silently left out, nothing of our own taken in -----------------------------------------------------------


def test_what_is_left_out_of_a_folder_is_said(tree):
    (tree / "drive" / "data").touch()
    (tree / "linked").mkdir()
    (tree / "drive" / "link").symlink_to(tree / "linked")
    lines: list[str] = []
    assert len(expand_sources(["drive"], note=lines.append)) == 5
    assert lines == [
        "drive/link: left out, as it links to another folder; name it to read it",
        "drive: left out: 1 file hidden, 1 file named without a suffix, 1 file named .txt",
    ]


@pytest.mark.parametrize("suffix", [".jfif", ".jp2", ".heic", ".HEIF", ".avif", ".tiff", ".ppm"])
def test_jfif_jp2_heic_heif_and_avif_are_pictures(tree, suffix):
    (tree / "none" / f"a{suffix}").touch()
    assert [s.kind for s in expand_sources(["none"])] == ["image"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"P5 1 1 255 ", "image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"G" + b"\0" * 187 + b"G" + b"\0" * 187, "video"),
        (b"\0\0\0\0G" + b"\0" * 191 + b"G", "video"),
        (b"GIF89a", "video"),
        # neither: refused as a picture, never tried as a video
        (b"hello", "image"),
        (b"G" + b"\0" * 400, "image"),
        (b"%PDF-1.7", "image"),
        (b"PK\3\4", "image"),
        (b"ID3\4", "image"),
        (b"", "image"),
    ],
)
def test_what_no_suffix_or_magic_number_claims_as_video_is_not_tried_as_video(tree, head, kind):
    (tree / "thing").write_bytes(head)
    assert [s.kind for s in expand_sources(["thing"])] == [kind]


def write_outputs(folder: Path, make_video) -> None:
    """What `predict` and `overlay` leave: an overlay of each kind, masks, a mask."""
    import numpy as np

    from lanecli.media import VideoReader, VideoWriter, write_mask, write_picture

    picture = np.zeros((16, 16, 3), np.uint8)
    for name in ("a.overlay.png", "b.overlay.jpg", "renamed.png", "renamed.jpg"):
        write_picture(folder / name, picture, output=True)
    write_mask(folder / "a.mask.png", picture[..., 0], output=True)
    write_mask(folder / "clip.masks" / "000000.png", picture[..., 0], output=True)
    for name in ("clip.overlay.mp4", "renamed.mp4", "renamed.mkv", "renamed.mov"):
        with VideoReader(make_video(count=2)) as reader, VideoWriter.like(reader, folder / name) as writer:
            for frame in reader:
                writer.write(frame)


def test_own_outputs_are_never_sources(tmp_path, make_video):
    """Neither from the folder they were written to, nor moved, renamed, or named one by one."""
    write_outputs(tmp_path / "road" / "runs" / "predict-2", make_video)
    (tmp_path / "road" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    lines: list[str] = []
    assert [Path(s.path).name for s in expand_sources([tmp_path / "road"], note=lines.append)] == ["a.jpg"]
    assert lines == ["left out: 10 files written by lanecli itself"]
    names = sorted(path for path in (tmp_path / "road").rglob("*") if path.is_file())
    assert [Path(s.path).name for s in expand_sources(names)] == ["a.jpg"]
    with pytest.raises(InputError, match="10 files written by lanecli itself"):
        expand_sources([tmp_path / "road" / "runs"])


def test_outputs_of_version_0_1_0_are_known_by_their_names(tmp_path):
    for name in ("x/a.overlay.png", "x/a.mask.png", "x/clip.overlay.mp4", "x/clip.masks/000012.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="4 files written by lanecli itself"):
        expand_sources([tmp_path])


def test_prepared_synthetic_and_extracted_pictures_are_sources(tmp_path, make_video):
    import numpy as np

    from lanecli.media import VideoSettings, VideoWriter, write_mask, write_picture

    picture = np.zeros((16, 16, 3), np.uint8)
    write_picture(tmp_path / "images" / "000000.png", picture)
    write_picture(tmp_path / "images" / "000001.jpg", picture)
    write_mask(tmp_path / "masks" / "000000.png", picture[..., 0])
    with VideoWriter(tmp_path / "video.mp4", VideoSettings((16, 16), 25)) as writer:
        from lanecli.media import Frame

        writer.write(Frame.from_rgb(picture))
    assert len(expand_sources([tmp_path])) == 4


def test_marks_do_not_change_what_is_shown(tmp_path):
    import numpy as np

    from lanecli.media import read_picture, write_picture

    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp"):
        write_picture(tmp_path / name, picture)
        expected = read_picture(tmp_path / name)
        write_picture(tmp_path / name, picture, output=True)
        np.testing.assert_array_equal(read_picture(tmp_path / name), expected)


@pytest.mark.parametrize("name", ["a" * 245 + ".jpg", "車" * 79 + ".mp4", "é" * 120 + ".png"])
def test_names_of_249_bytes_leave_room_for_the_endings_of_outputs(tmp_path, name):
    import os

    (tmp_path / name).touch()
    (tmp_path / name.replace(".", "x.", 1)[1:]).touch()
    stems = [source.stem for source in expand_sources([tmp_path])]
    assert len(set(stems)) == 2
    for stem in stems:
        assert len(os.fsencode(f"{stem}.probabilities.npz")) <= 255
