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
