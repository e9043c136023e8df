"""Every command of README, CONTRIBUTING and docs/ is run: here in miniature, or by the test that a table names."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import shellingham
from named_tests import check_named
from page_workspace import make_room, make_workspace, open_workspace, own
from samples import Outcome
from test_page_commands import COMMANDS, WHOLE, PageCommand

from lanecli import shipped
from lanecli.cli.train_progress import TerminalWatcher
from lanecli.training import epoch_pictures

Cli = Callable[..., Outcome]

WALKED = {
    "docs/comparison.md": "tests/test_ways.py::test_a_comparison_ends_in_the_table",
    "docs/course.md": "tests/test_ways.py::test_a_course_ends_in_the_submission",
    "docs/own-camera.md": "tests/test_ways.py::test_ones_own_camera_ends_in_a_script_of_ones_own",
    "docs/weights.md": "tests/test_weights_page.py::test_the_page_from_data_to_the_files",
    "docs/submission.md": "tests/test_submission_page.py::test_the_page_from_download_to_submission",
}
"""Pages whose shell blocks a test runs from the first line to the last."""

_MASKS, _BENCH = "tests/data/test_formats_masks.py::", "tests/cli/test_bench.py::"
_SWEEPS = "tests/test_configs.py::test_every_variant_of_a_sweep_takes_two_steps"
ELSEWHERE = {
    "lanecli prepare bdd100k-lane SRC --out DIR": _MASKS + "test_bdd100k_lane_masks_are_bit_fields",
    "lanecli prepare bdd100k-drivable SRC --out DIR": _MASKS + "test_bdd100k_drivable_2_is_background",
    "lanecli prepare kitti-road SRC --out DIR": _MASKS + "test_kitti_road_labels_are_not_the_lane_labels",
    "lanecli prepare cityscapes SRC --out DIR": _MASKS
    + "test_cityscapes_label_ids_by_city_without_the_empty_test_split",
    "lanecli prepare llamas SRC --out DIR": "tests/data/test_formats_lines.py"
    "::test_llamas_lines_run_through_the_gaps_between_markers",
    "lanecli score apolloscape labels/ predictions/": "tests/cli/test_score.py::test_pictures",
    "lanecli bench lane --video assets/road.mp4": _BENCH
    + "test_bench_lane_video_no_figure_takes_far_more_than_its_budget",
    "lanecli bench --architectures all": _BENCH + "test_an_architecture_is_exported_and_timed",
    "lanecli bench --architectures tiny --out lanecli/models/facts.json": _BENCH
    + "test_architectures_go_on_after_an_interruption",
    "lanecli bench --training --set train.compile=true": "tests/training/test_training_bench.py::test_rows_and_ratios",
    "lanecli sweep losses": _SWEEPS,
    "lanecli sweep losses --data data/camvid": _SWEEPS,
    "lanecli sweep losses --data data/camvid --out runs/losses": _SWEEPS,
    "lanecli sweep losses --data data/apolloscape --data data/camvid --data data/comma10k --out runs/losses": _SWEEPS,
    "lanecli sweep classes --data data/camvid --out runs/classes": _SWEEPS,
    "lanecli sweep models --data data/apolloscape --data data/camvid --data data/comma10k --out runs/models": _SWEEPS,
    "lanecli ensemble fit runs/unet runs/fcn --data data/tusimple --method stacking --out ens.yaml": "tests/training"
    "/test_stacking.py::test_stacking_takes_the_answer_of_the_member_that_has_not_seen_a_picture",
    "lanecli train tusimple --folds 5 --out runs/fcn model.name=fcn8s": "tests/training/test_members.py"
    "::test_out_of_fold_never_sees_its_own_fold",
    "lanecli train apolloscape --out runs/apolloscape": "tests/training/test_distributed.py::test_torchrun",
    "lanecli train --resume runs/apolloscape": "tests/training/test_distributed.py"
    "::test_two_killed_processes_resume_without_a_trace",
    "lanecli ensemble study configs/studies/ensembles.yaml": "tests/training/test_ensemble_study.py"
    "::test_every_way_of_making_and_combining_members",
    "lanecli uncertainty study CONFIG": "tests/uncertainty/test_uncertainty_commands.py"
    "::test_study_is_resumed_and_writes_tables_and_figures",
}
"""Commands that other tests run."""

FIRST = {
    "lanecli evaluate MODEL --data data/camvid --uncertainty density": "uncertainty fit runs/train --data data/camvid",
    "lanecli export onnx MODEL --uncertainty density,entropy,energy,neco": "uncertainty fit runs/train "
    "--data data/camvid",
    "lanecli predict drive.mp4 --model runs/train --uncertainty density --save uncertainty": "uncertainty fit "
    "runs/train --data data/camvid",
    "lanecli train tusimple data.unlabelled=roads/ teacher=answers --out runs/from-answers": "predict roads "
    "--model runs/a --save probabilities --out answers",
}
"""What a page does before a command, where it is not in the workspace."""

SMALL = [
    "data.geometry.size=64x32",
    "data.geometry.crop=[0, 8, 0, 0]",
    "data.workers=0",
    "train.batch=2",
    "train.precision=fp32",
    "train.sample_epochs=0",
    "model.encoder_weights=null",
]
SEVERAL = ("--members", "--folds", "--boosting", "--snapshots")
SMALL_NETWORK = ["model.name=erfnet", "model.encoder=null", "model.args={width: 0.25}"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("pages") / "workspace")


@pytest.fixture
def folder(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace, as the current folder; curves are not drawn, and the default model is a small one."""
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)
    monkeypatch.setattr(shipped, "DEFAULT_MODEL", "runs/a")
    monkeypatch.chdir(open_workspace(workspace, tmp_path / "workspace"))
    return tmp_path / "workspace"


def smaller(words: list[str]) -> list[str]:
    """A command of a page with what makes it quick."""
    name = words[0]
    if name == "train" and "--resume" not in words:
        names_network = any(word.startswith(("model=", "model.name=", "model.encoder=")) for word in words)
        network = [] if names_network or "model.weights=lane" in words else SMALL_NETWORK
        names_data = any(word in ("--data", "tusimple", "apolloscape") or "configs/" in word for word in words)
        data = [] if names_data else ["--data", "data/camvid"]
        fewer = ["2" if before in SEVERAL else word for before, word in itertools.pairwise(words)]
        epochs = f"train.epochs={2 if '--snapshots' in words else 1}"
        return ["train", "train.ema=null", *network, *fewer, *data, *SMALL, epochs, "--device", "cpu"]
    if name == "prepare" and not {"--decode", "frames"} & set(words):
        return [*words, "--contact-sheet", "1"]
    return [*words, "--count", "2", "--size", "64x36"] if name == "synth" else words


def written(words: list[str]) -> list[Path]:
    """Folders and files that a command makes, if it names them."""
    if words[0] == "synth":
        return [Path(words[1])]
    return [Path(words[words.index("--out") + 1])] if "--out" in words else []


def interrupt(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run as Ctrl-C does after its first epoch, or one of two members."""
    members = ["--members", "2"] if run.name == "five" else []
    make_room(run)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TerminalWatcher, "epoch", stop)
        words = smaller(["train", "tusimple", "--out", str(run), *members])
        assert cli(*words, "train.epochs=2").code == 130


SLOW = {
    "lanecli evaluate --uncertainty …",
    "lanecli evaluate runs/five/ensemble.yaml --data data/tusimple",
    "lanecli evaluate runs/tusimple --data data/tusimple",
    "lanecli predict drive.mp4 --model ens.yaml",
    "lanecli predict drive.mp4 --model runs/bags/ensemble.yaml",
    "lanecli select drive.mp4 --top 10 --out frames --export cvat",
    "lanecli select drives/ --top 50 --out next --export cvat",
    "lanecli synth scenes",
    "lanecli train --data DIR",
    "lanecli train --folds N",
    "lanecli train --resume runs/five",
    "lanecli train --resume runs/tusimple",
    "lanecli train --resume runs/unet",
    "lanecli train CONFIG --boosting 3",
    "lanecli train CONFIG --members 5 --bagging",
    "lanecli train CONFIG --members 5",
    "lanecli train apolloscape train.epochs=1 data.geometry.size=240x80",
    "lanecli train tusimple --folds 5 --out runs/unet",
    "lanecli train tusimple --members 5 --bagging --out runs/bags",
    "lanecli train tusimple --members 5 --out runs/five",
    "lanecli train tusimple --out runs/tusimple",
    "lanecli train tusimple data.unlabelled=roads/ teacher=runs/large --out runs/from-large",
    "lanecli train tusimple teacher=runs/five/ensemble.yaml model.encoder=resnet18 --out runs/student",
    "lanecli train tusimple teacher=runs/large model.encoder=resnet18 --out runs/small",
}
"""Commands that do little that a quicker one or another test does not; every ``lanecli export`` is slow, too."""

RUN = [
    pytest.param(
        command, id=command.text, marks=[pytest.mark.slow] * (command.words[0] == "export" or command.text in SLOW)
    )
    for command in WHOLE
    if command.text not in ELSEWHERE and not (command.in_block and command.page in WALKED)
]


@pytest.mark.parametrize("command", RUN)
def test_it_does_what_the_page_says(
    command: PageCommand, cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))  # of --install-completion
    monkeypatch.setattr(shellingham, "detect_shell", lambda *_: ("bash", "/bin/bash"))
    words = command.words
    for path in map(Path, words):
        own(path)
    for path in written(words):
        make_room(path)
    if command.text in FIRST:
        before = cli(*FIRST[command.text].split())
        assert before.code == 0, before.err
    if "--resume" in words:
        interrupt(cli, Path(words[words.index("--resume") + 1]), monkeypatch)
    done = cli(*smaller(words))
    assert done.code == 0, done.err
    assert all(path.exists() for path in written(words))


@pytest.mark.parametrize("test", sorted({*WALKED.values(), *ELSEWHERE.values()}))
def test_what_is_run_elsewhere_is(test: str) -> None:
    check_named([test])


def test_the_tables_name_commands_of_the_pages() -> None:
    texts = {command.text for command in COMMANDS}
    assert {*ELSEWHERE, *FIRST, *SLOW} <= texts
    assert set(WALKED) <= {command.page for command in COMMANDS if command.in_block}
