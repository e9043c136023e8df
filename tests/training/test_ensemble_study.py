"""A study of ensembles in miniature: what it refuses, what it computes, and that it does nothing twice."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from plain_roads import plain_roads
from samples import SMALL_RUN, Outcome

from lanecli.config import load_config
from lanecli.data.fingerprint import shared_pictures
from lanecli.data.manifest import read_dataset, write_dataset
from lanecli.errors import InputError
from lanecli.modelfile import read_spec
from lanecli.shipped import configs_folder
from lanecli.training import epoch_pictures, loop
from lanecli.training.ensemble_pictures import check_pictures
from lanecli.training.ensemble_study import read_study

Cli = Callable[..., Outcome]
SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "data.augment=null", "optim.lr=0.003",
         "train.sample_epochs=0"]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``roads`` to train (six pictures) and to fit on (three), and two test sets, ``near`` and ``far``."""
    root = tmp_path_factory.mktemp("ensembles")
    plain_roads(root / "roads", train=6, val=3)
    plain_roads(root / "near", train=0, val=6, seed=5)
    plain_roads(root / "far", train=0, val=5, seed=6)
    return root


def plan_of(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    plan = {
        "data": [{"root": str(data / name), "split": "val"} for name in ("near", "far")],
        "fit": {"root": str(data / "roads"), "split": "val"},
        "class": "lane marking",
        "out": str(out),
        "train": {
            "base": {"data": {"root": [str(data / "roads")]}},
            "runs": {"seeds": {"members": 2, "set": SMALL}},
        },
        "single": "seeds",
        "rows": {
            "mean": {"models": "seeds"},
            "weighted": {"models": "seeds", "fit": "weights"},
            "flip": {"models": "best", "tta": "flip"},
        },
        "backend": "torch",
    }
    return {**plan, **changes}


def written(path: Path, plan: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return path


def test_the_table_has_the_scores_of_evaluate_and_is_not_made_twice(
    cli: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    plan = plan_of(data, out)
    config = written(tmp_path / "study.yaml", plan)
    done = cli("ensemble", "study", config, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    rows = done.json()["rows"]
    singles = ["seeds member-1", "seeds member-2"]
    assert [row["row"] for row in rows[1:6]] == [*singles, "mean", "weighted", "flip"]
    assert [row["set"] for row in rows] == ["near val"] * 6 + ["far val"] * 6

    # the best is chosen on the hold-out, and every figure is what `evaluate` gives
    def scores(model: Path, root: str, *more: str) -> dict[str, Any]:
        words = ["evaluate", model, "--data", data / root, "--backend", "torch", "--precision", "fp32", *more, "--json"]
        return dict(cli(*words).json())

    members = [out / "runs/seeds" / f"member-{number}" for number in (1, 2)]
    assert all(row["iou"] > 0.02 for row in rows), [row["iou"] for row in rows]
    held = [scores(member, "roads")["iou"]["lane marking"] for member in members]
    best = held.index(max(held))
    assert rows[0]["row"] == f"best single member ({singles[best]})"
    compared = {
        ("mean", "far"): scores(out / "runs/seeds/ensemble.yaml", "far"),
        ("weighted", "far"): scores(out / "fitted/weighted.yaml", "far"),
        ("flip", "near"): scores(members[best], "near", "--tta", "flip"),
    }
    by_name = {(row["row"], row["set"].split()[0]): row for row in rows}
    for key, wanted in compared.items():
        assert by_name[key]["iou"] == pytest.approx(wanted["iou"]["lane marking"], abs=1e-12)
        assert by_name[key]["nll"] == pytest.approx(wanted["nll"], abs=1e-12)
        assert by_name[key]["ece"] == pytest.approx(wanted["ece"], abs=1e-12)
    for row in rows:
        reference = by_name[singles[best], row["set"].split()[0]]["iou"]
        assert row["difference"] == pytest.approx(row["iou"] - reference)
        assert row["ms"] > 0
        assert row["units"] == {"near val": 6, "far val": 5}[row["set"]]
        assert (row["low"] is None) == (singles[best] in row["row"])
    table = list(csv.DictReader((out / "table.csv").open(encoding="utf-8")))
    assert [row["row"] for row in table] == [row["row"] for row in rows]
    assert "**near val** (6 pictures, 6 units)" in (out / "table.md").read_text(encoding="utf-8")
    assert (out / "intervals.png").stat().st_size > 0

    # again: nothing is trained, fitted or scored but a row whose result was lost, and a new one
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(loop.Run, "train", never)
    lost = out / "scores/near val/mean.json"
    lost.unlink()
    plan["rows"]["logit mean"] = {"models": "seeds", "combine": "logit_mean"}
    files = [*out.glob("runs/*/*/*.safetensors"), *out.glob("fitted/*"), *out.glob("scores/*/*")]
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    again = cli("ensemble", "study", written(config, plan), "--device", "cpu", "--json")
    assert again.code == 0, again.err
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files} == before
    assert again.err.count("done before") == 2 + 2 * 5 - 1
    assert lost.is_file()
    known = [row for row in again.json()["rows"] if row["row"] != "logit mean"]
    assert [{**row, "ms": None} for row in known] == [{**row, "ms": None} for row in rows]
    assert all(
        row == old for row, old in zip(known, rows, strict=True) if (row["set"], row["row"]) != ("near val", "mean")
    )

    # another configuration is refused by the name of its run
    plan["train"]["runs"]["seeds"]["set"] = [*SMALL, "optim.lr=0.5"]
    refused = cli("ensemble", "study", written(config, plan), "--device", "cpu")
    assert refused.code == 2
    assert f"{out / 'runs/seeds'} holds a run of another configuration" in refused.err
    plan["train"]["runs"]["seeds"] = {"members": 3, "set": SMALL}
    refused = cli("ensemble", "study", written(config, plan), "--device", "cpu")
    assert refused.code == 2
    assert f"{out / 'runs/seeds'} holds other members" in refused.err


@pytest.mark.slow
def test_every_way_of_making_and_combining_members(cli: Cli, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    plan = plan_of(data, out)
    plan["train"]["runs"] |= {
        "bags": {"members": 2, "bagging": True, "set": SMALL},
        "boosted": {"boosting": 2, "set": SMALL},
        "cycles": {"snapshots": 2, "set": SMALL},
        "folds-a": {"folds": 2, "set": SMALL},
        "folds-b": {"folds": 2, "set": [*SMALL, "train.seed=9"]},
        "student": {"teacher": "seeds", "set": SMALL},
    }
    plan["rows"] |= {
        "logit mean": {"models": "seeds", "combine": "logit_mean"},
        "vote": {"models": "seeds", "combine": "vote"},
        "stacking": {"models": ["folds-a", "folds-b"], "fit": "stacking"},
        "blending": {"models": "seeds", "fit": "blending", "inputs": ["probabilities", "entropy"]},
        "bagging": {"models": "bags"},
        "boosting": {"models": "boosted"},
        "snapshots": {"models": "cycles"},
        "soup": {"models": "cycles", "fit": "soup"},
        "distilled student": {"models": "student"},
        "seeds and bags": {"models": ["seeds", "bags/member-1"]},
    }
    config = written(tmp_path / "study.yaml", plan)
    done = cli("ensemble", "study", config, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    rows = {row["row"]: row for row in done.json()["rows"] if row["set"] == "near val"}
    assert [*rows][3:] == list(plan["rows"])
    assert [rows[name]["models"] for name in ("soup", "distilled student", "stacking", "seeds and bags")] == [
        1,
        1,
        4,
        3,
    ]
    assert all(0 <= row["iou"] <= 1 for row in rows.values())
    assert "seeds/ensemble.yaml" in (out / "runs/student/config.yaml").read_text(encoding="utf-8")
    again = cli("ensemble", "study", config, "--device", "cpu", "--json")
    assert again.json()["rows"] == done.json()["rows"]


def regrouped(source: Path, target: Path, split: str, group: str) -> Path:
    """A copy of a dataset whose last picture is in `split` and `group`."""
    shutil.copytree(source, target)
    info = read_dataset(target)
    *others, last = info.samples
    write_dataset(replace(info, samples=(*others, replace(last, split=split, group=group))))
    return target


def check(tmp_path: Path, plan: dict[str, Any]) -> None:
    check_pictures(read_study(written(tmp_path / "study.yaml", plan)))


def test_nothing_is_fitted_on_what_it_is_scored_on(data: Path, tmp_path: Path) -> None:
    plan = plan_of(data, tmp_path / "out")
    check(tmp_path, plan)
    # a copy of a hold-out picture under another name
    copied = tmp_path / "copied"
    shutil.copytree(data / "near", copied)
    taken = read_dataset(data / "roads").of_split("val")[0].image
    shutil.copyfile(taken, read_dataset(copied).samples[2].image)
    test = [{"root": str(copied), "split": "val"}]
    with pytest.raises(
        InputError, match=r"test set 'copied val' and the hold-out 'roads val' share 1 picture, such as"
    ):
        check(tmp_path, {**plan, "data": test})
    # a training picture
    taken = read_dataset(data / "roads").of_split("train")[0].image
    shutil.copyfile(taken, read_dataset(copied).samples[2].image)
    with pytest.raises(InputError, match="'copied val' and the training pictures of 'seeds' share 1 picture"):
        check(tmp_path, {**plan, "data": test})
    with pytest.raises(InputError, match="the hold-out 'copied val' and the training pictures of 'seeds' share"):
        check(tmp_path, {**plan, "data": plan["data"][1], "fit": test[0]})
    # what the best epoch is chosen on
    near = {"root": str(data / "near"), "split": "val"}
    with pytest.raises(InputError, match="'roads val' and the validation pictures of 'seeds' share 3 pictures"):
        check(tmp_path, {**plan, "data": [{"root": str(data / "roads"), "split": "val"}], "fit": near})
    # neighbours of training pictures
    root = regrouped(data / "roads", tmp_path / "roads", "test", "drive-0")
    base = {"data": {"root": [str(root)]}}
    moved = {**plan, "data": {"root": str(root), "split": "test"}, "fit": {"root": str(root), "split": "val"}}
    with pytest.raises(
        InputError, match="'roads test' and the training pictures of 'seeds' divide the group 'drive-0'"
    ):
        check(tmp_path, {**moved, "train": {**plan["train"], "base": base}})


@pytest.mark.parametrize("path", sorted((configs_folder() / "studies").glob("ensembles*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_studies_can_be_read(path: Path, data: Path, tmp_path: Path) -> None:
    plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    plan["train"]["base"]["data"]["root"] = [str(data / "roads")]  # `loss: auto` and folds would read it
    study = read_study(written(tmp_path / path.name, plan))
    requests = [each.request for each in study.trainings.values()]
    trainings = sum(1 if each is None or each.kind == "snapshots" else each.count for each in requests)
    assert trainings == 20
    named = {name for row in study.rows.values() for name in row.models}
    assert named == {*study.trainings, "best"}
    assert {row.fit for row in study.rows.values()} == {None, "weights", "blending", "stacking", "soup"}
    assert {"logit_mean", "vote"} <= {row.combine for row in study.rows.values()}


@pytest.mark.parametrize("path", sorted((configs_folder() / "studies").glob("ensembles*.yaml")), ids=lambda p: p.stem)
def test_members_start_from_what_the_comments_train(path: Path) -> None:
    start = path.with_name("scenes-start.yaml")
    members = load_config(tree=yaml.safe_load(path.read_text())["train"]["base"]).model
    comments = (path.read_text() + start.read_text()).replace("\\\n#", "")
    lines = [shlex.split(line) for line in re.findall(r"lanecli train (.*)", comments)]
    (words,) = [line for line in lines if line[line.index("--out") + 1] == members.weights]
    assert words[0] == "configs/studies/scenes-start.yaml"
    trained = load_config(start, [word for word in words if "=" in word]).model
    assert (trained.name, trained.encoder, trained.args) == (members.name, members.encoder, members.args)


def test_the_class_is_one_of_the_datasets(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no 'zebra'; the classes are background, lane marking"):
        check(tmp_path, plan_of(data, tmp_path / "out", **{"class": "zebra"}))


def test_pictures_are_told_by_their_content(data: Path) -> None:
    near, far = (read_dataset(data / name).samples for name in ("near", "far"))
    assert shared_pictures(near, far) == []
    assert shared_pictures(near, [*far, near[3]]) == [near[3].image]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": {"mean": {"models": "sedes"}}}, "row 'mean': 'sedes' is neither a training of the study"),
        ({"rows": {"mean": {"modles": "seeds"}}}, "unknown key 'modles' .did you mean 'models'"),
        ({"rows": {"../x": {"models": "seeds"}}}, "cannot be the name of a row"),
        ({"rows": {"s": {"models": "seeds", "fit": "stacking"}}}, "stacking needs trainings with folds"),
        ({"rows": {"s": {"models": "seeds", "fit": "magic"}}}, "fit is weights, blending, stacking, soup"),
        ({"single": "student"}, "single: must name a training of several members"),
        ({"train": {"runs": {"seeds": {"members": 2, "folds": 2}}}}, "members and folds: choose one"),
        ({"train": {"runs": {"a": {"teacher": "seeds"}}}}, "teacher: must name an earlier training"),
        ({"train": {"runs": {"seeds": {"members": 2, "set": ["optim.lrr=1"]}}}}, "training 'seeds'"),
        ({"fit": None}, "data and fit: must be a mapping with the keys root, split"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_a_line(
    data: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = written(tmp_path / "study.yaml", plan_of(data, tmp_path, **change))
    with pytest.raises(InputError, match=words) as refused:
        read_study(path)
    assert str(refused.value).startswith(str(path))


def test_a_model_that_starts_from_one_trained_on_the_test_set_is_refused(cli: Cli, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "start"
    done = cli("train", *SMALL, "data.split=val", "--data", data / "near", "--out", run, "--device", "cpu")
    assert done.code == 0, done.err
    assert read_spec(run / "model.safetensors").provenance["trained_on"]["pictures"] == 6
    plan = plan_of(data, tmp_path / "out")
    plan["train"]["runs"]["seeds"]["set"] = [*SMALL, f"model.weights={json.dumps(str(run))}"]
    with pytest.raises(
        InputError, match=r"start.model\.safetensors was trained on 100 % of the pictures of the test set 'near val'"
    ):
        check(tmp_path, plan)
