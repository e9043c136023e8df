"""Ensembles trained with one command: seeds, resamples, folds, boosting, snapshots; killed ones go on."""

from __future__ import annotations

import csv
import json
import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from samples import SMALL_RUN, Outcome

from lanecli.config import load_config
from lanecli.data.dataset import PreparedPictures
from lanecli.data.fingerprint import fingerprint, share_seen
from lanecli.data.manifest import Sample, read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.inference.ensemble import read_ensemble
from lanecli.labelmaps import label_map
from lanecli.labels import IGNORE_ID
from lanecli.losses.pixels import Pixels, Task
from lanecli.modelfile import ModelSpec, read_spec, write_safetensors
from lanecli.models.build import Network, build_network
from lanecli.training import ensemble_teacher, epoch_pictures, loop, members, samme
from lanecli.training.ensemble_teacher import EnsembleTeacher
from lanecli.training.folds import fold_of
from lanecli.training.members import Request, snapshot_config
from lanecli.training.samme import PreviousMembers, alpha_of, boosted_loss, weighted_error

Cli = Callable[..., Outcome]
SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "train.epochs=1", "train.sample_epochs=0"]


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)


def sample(group: str, number: int) -> Sample:
    return Sample(Path(f"/nowhere/{group}-{number}.png"), Path("/nowhere/m.png"), "train", group)


# --- folds -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 6))
def test_folds_share_out_whole_groups(groups: list[int], folds: int) -> None:
    samples = [sample(f"g{group}", number) for number, group in enumerate(groups)]
    if len(samples) < folds:
        with pytest.raises(InputError, match="cannot be divided"):
            fold_of(samples, folds)
        return
    places = fold_of(samples, folds)
    assert set(places.tolist()) == set(range(folds))
    assert (places == fold_of(samples, folds)).all()
    if len(set(groups)) >= folds:
        for group in set(groups):
            assert len({place for place, own in zip(places.tolist(), groups, strict=True) if own == group}) == 1
    else:  # blocks of neighbours
        assert (np.diff(np.flatnonzero(np.diff(places))) > 0).all()
        assert (np.diff(places) != 0).sum() == folds - 1


def test_out_of_fold_never_sees_its_own_fold(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the loader reads while a member trains, against what that member then answers."""
    read: dict[str, set[str]] = {}
    member = ""
    train, load = members._run, PreparedPictures.load

    def noted(name: str, *rest: Any) -> loop.Run:
        nonlocal member
        member = name
        run = train(name, *rest)
        member = ""
        return run

    def noting(self: PreparedPictures, index: int) -> Any:
        if member:
            read.setdefault(member, set()).add(str(self.samples[index].image))
        return load(self, index)

    monkeypatch.setattr(members, "_run", noted)
    monkeypatch.setattr(PreparedPictures, "load", noting)
    out = tmp_path / "run"
    done = cli("train", *SMALL, "train.epochs=3", "--folds", 3, "--data", scenes, "--out", out, "--json")
    assert done.code == 0, done.err
    rows = list(csv.DictReader((out / "out-of-fold" / "manifest.csv").open()))
    whole = {str(s.image) for s in read_dataset(scenes).of_split("train")}
    assert sorted(row["image"] for row in rows) == sorted(whole)
    for name in ("member-1", "member-2", "member-3"):
        held_out = {row["image"] for row in rows if row["member"] == name}
        assert held_out
        assert not held_out & read[name]
        trained_on = read_spec(out / name / "model.safetensors").provenance["trained_on"]
        assert share_seen(trained_on, [s for s in read_dataset(scenes).samples if str(s.image) in held_out]) == 0
        assert (
            share_seen(trained_on, [s for s in read_dataset(scenes).samples if str(s.image) in whole - held_out]) == 1
        )
    with np.load(out / "out-of-fold" / rows[0]["probabilities"]) as found:
        assert found["probabilities"].shape == (2, 32, 64)
        np.testing.assert_allclose(found["probabilities"].astype(float).sum(0), 1, atol=2e-3)
        assert found["mask"].shape == (32, 64)
        assert found["classes"].tolist() == ["background", "lane marking"]


def test_a_fingerprint_of_many_is_a_sample_of_them(tmp_path: Path) -> None:
    samples = []
    for number in range(2000):
        image = tmp_path / f"{number}.png"
        image.write_bytes(b"x" * (number % 7))
        samples.append(Sample(image, image, "train", "g"))
    few, many = fingerprint(samples[:300]), fingerprint(samples[:1500])
    assert (few["pictures"], many["pictures"], len(many["smallest"])) == (300, 1500, 512)
    assert share_seen(few, samples[:300]) == 1
    assert share_seen(few, samples[300:]) == 0
    assert share_seen(few, samples[200:400]) == 0.5
    assert share_seen(many, samples[1500:]) == 0
    assert share_seen(many, samples[1000:]) == pytest.approx(0.5, abs=0.12)
    assert share_seen(None, samples) == share_seen({"smallest": 3}, samples) == 0


# --- boosting --------------------------------------------------------------------------------------------------------


def model(path: Path, seed: int, classes: str = "comma10k") -> Network:
    """A network of random weights that finds several classes, and its file."""
    torch.manual_seed(seed)
    spec = ModelSpec("unet", {"encoder": "tu-mobilenetv3_small_050"}, label_map(classes), Geometry((64, 32)))
    network = build_network(spec).eval()
    with torch.no_grad():
        logits = network.logits(noise(4))
        network.architecture.model.segmentation_head[0].bias -= logits.mean((0, 2, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, network.state_dict(), spec)
    return network


def noise(count: int) -> torch.Tensor:
    """(count, 32, 64, 3) uint8 of blotches."""
    levels = np.random.default_rng(1).integers(0, 256, (count, 4, 8, 3), np.uint8)
    return torch.from_numpy(levels.repeat(8, 1).repeat(8, 2))


def test_samme_by_hand(tmp_path: Path) -> None:
    """Weights, error and alpha of two forerunners and a third member, worked out pixel by pixel in float64."""
    networks = [model(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    classes = label_map("comma10k")
    pictures = noise(3)
    masks = torch.randint(0, len(classes.classes), (3, 32, 64), generator=torch.Generator().manual_seed(3))
    masks[:, :5] = IGNORE_ID
    alphas = [0.75, 1.5]
    with torch.no_grad():
        answers = [network.logits(pictures).numpy().argmax(1) for network in networks]
    truth = masks.numpy()
    wanted = np.zeros(truth.shape)
    missed = total = 0.0
    for place in np.ndindex(truth.shape):
        if truth[place] == IGNORE_ID:
            continue
        weight = math.exp(sum(a for a, found in zip(alphas, answers, strict=False) if found[place] != truth[place]))
        wanted[place] = weight
        total += weight
        missed += weight * (answers[2][place] != truth[place])
    paths = [tmp_path / f"{n}.safetensors" for n in range(3)]
    forerunners = PreviousMembers(list(zip(paths, alphas, strict=False)), classes, torch.device("cpu"))
    np.testing.assert_allclose(forerunners.weights(pictures, masks), wanted, rtol=1e-5)
    read = [[pictures[:2], masks[:2].to(torch.uint8)], [pictures[2:], masks[2:].to(torch.uint8)]]
    error = weighted_error(paths[2], forerunners, read, torch.device("cpu"))
    assert error == pytest.approx(missed / total, rel=1e-5)
    assert alpha_of(0.25, 5) == pytest.approx(math.log(3) + math.log(4))
    assert alpha_of(1 - 1 / 5, 5) == pytest.approx(0, abs=1e-12)  # as good as guessing
    assert alpha_of(0.9, 5) < 0
    assert alpha_of(0.0, 2) < 14


def test_the_boosted_loss_is_a_weighted_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 4, 5), generator=generator)
    target[0, 0] = IGNORE_ID
    weights = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64) * 9
    found = float(boosted_loss(Pixels(logits, target, Task(3)), weights))
    top = bottom = 0.0
    for n, y, x in np.ndindex(2, 4, 5):
        if target[n, y, x] != IGNORE_ID:
            scores = logits[n, :, y, x].numpy()
            likelihood = math.exp(scores[target[n, y, x]]) / sum(math.exp(s) for s in scores)
            top -= float(weights[n, y, x]) * math.log(likelihood)
            bottom += float(weights[n, y, x])
    assert found == pytest.approx(top / bottom, rel=1e-10)


def test_boosting_weighs_members_and_stops_at_guessing(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([0.125, 0.25, 0.5])
    seen: list[list[float]] = []

    def error(_model: Path, forerunners: PreviousMembers, _read: Any, _device: Any) -> float:
        seen.append([alpha for _, alpha in forerunners.members])
        return next(errors)

    monkeypatch.setattr(members, "weighted_error", error)
    out = tmp_path / "run"
    done = cli("train", *SMALL, "data.samples=4", "--boosting", 4, "--data", scenes, "--out", out, "--json")
    assert done.code == 0, done.err
    assert "boosting ends here" in done.err
    first, second = math.log(7), math.log(3)
    assert seen == [[], [pytest.approx(first)], [pytest.approx(first), pytest.approx(second)]]
    ensemble = read_ensemble(out / "ensemble.yaml")
    assert ensemble.combine == "weighted"
    assert ensemble.weights == (pytest.approx(first), pytest.approx(second))
    again = cli("train", "--resume", out, "--json")  # there is no fourth error: a further member would fail
    assert again.code == 0, again.err
    assert again.json() == done.json()
    header = (out / "member-2" / "metrics.csv").read_text().splitlines()[0]
    assert "train/boost" in header
    text = read_spec(out / "member-2" / "model.safetensors").to_json()
    assert str(tmp_path) not in text
    assert '"member-1"' in text


def test_a_member_learns_where_its_forerunner_was_wrong(scenes: Path, tmp_path: Path) -> None:
    model(tmp_path / "first.safetensors", 0, "lane")
    boost = f"train.boost=[{{model: {tmp_path / 'first.safetensors'}, weight: 2}}]"
    (tmp_path / "run").mkdir()
    run = loop.Run(load_config(None, [*SMALL, f"data.root={scenes}", boost]), tmp_path / "run")
    run.enter(run.stages[0])
    pictures, masks = noise(2), torch.zeros((2, 32, 64), dtype=torch.uint8)
    logits = torch.zeros((2, 2, 32, 64), requires_grad=True)
    run.batch_loss.compute(run.stage, [logits], pictures, masks).backward()
    assert logits.grad is not None
    wrong = samme.wrong(run.stage.previous_members.members[0][0].logits(pictures), masks.long(), label_map("lane"))  # type: ignore[union-attr]
    assert 0 < wrong.sum() < wrong.numel()
    pull = logits.grad[:, 0].abs()
    ce = 0.5 / wrong.numel()
    boosted = (pull - pull[wrong == 0].min()) / ((math.exp(2) - 1) * 0.5)
    assert boosted[wrong == 1].min() > 0
    assert ce > 0


# --- members, snapshots, and going on --------------------------------------------------------------------------------


class KilledError(BaseException):
    """The process ends here."""


def test_a_killed_run_of_members_goes_on(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", *SMALL, "--members", 2, "--bagging", "--data", scenes]
    done = cli(*words, "--out", tmp_path / "whole", "--json")
    assert done.code == 0, done.err
    assert [each["weight"] for each in done.json()["members"]] == [1, 1]
    original, steps = loop.Run._after_step, 0

    def interrupted(self: loop.Run, *arguments: Any) -> None:
        nonlocal steps
        original(self, *arguments)
        steps += 1
        if steps == 9:  # in the second member, of six steps each
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_after_step", interrupted)
        assert cli(*words, "--out", tmp_path / "killed").code == 1
    assert not (tmp_path / "killed" / "ensemble.yaml").exists()
    before = (tmp_path / "killed" / "member-1" / "model.safetensors").stat().st_mtime_ns
    done = cli("train", "--resume", tmp_path / "killed")
    assert done.code == 0, done.err
    assert (tmp_path / "killed" / "member-1" / "model.safetensors").stat().st_mtime_ns == before
    for name in ("member-1", "member-2"):
        first, second = (load_file(tmp_path / run / name / "model.safetensors") for run in ("whole", "killed"))
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=f"{name}: {key}")
    one, other = (load_config(tmp_path / "whole" / name / "config.yaml").train for name in ("member-1", "member-2"))
    assert (one.seed, one.bootstrap, other.seed, other.bootstrap) == (0, 0, 1, 1)
    ensemble = read_ensemble(tmp_path / "killed" / "ensemble.yaml")
    assert [Path(m).name for m in ensemble.models] == ["member-1", "member-2"]
    assert (ensemble.combine, ensemble.weights) == ("mean", None)
    again = cli("train", "--resume", tmp_path / "killed", "--json")
    assert again.code == 0  # nothing is left to do


def test_snapshots_are_cycles_of_one_run(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    config = snapshot_config(load_config(None, ["train.epochs=7", "schedule=one_cycle"]), 3)
    assert [stage.train.epochs for stage in config.each_stage] == [3, 2, 2]
    assert {stage.schedule.name for stage in config.each_stage} == {"cosine"}
    assert [stage.schedule.warmup for stage in config.each_stage] == [0.03, 0, 0]
    out = tmp_path / "run"
    done = cli("train", *SMALL, "train.epochs=2", "data.samples=4", "--snapshots", 2, "--data", scenes, "--out", out)
    assert done.code == 0, done.err
    names = [Path(model).name for model in read_ensemble(out / "ensemble.yaml").models]
    assert names == ["stage-1.safetensors", "model.safetensors"]
    rates = [float(row["lr"]) for row in csv.DictReader((out / "metrics.csv").open())]
    assert rates == pytest.approx([rates[0]] * 2)  # each cycle ends as low as the other
    assert json.loads((out / "members.json").read_text())["kind"] == "snapshots"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--members", "1"], "--members must be a number from 2"),
        (["--bagging"], "--bagging goes with --members N"),
        (["--folds", "3", "--bagging"], "--bagging can be used with --members, not with --folds"),
        (["--folds", "3", "--boosting", "3"], "choose one"),
        (["--snapshots", "3", "stages=[{}, {}]"], "stages=[]"),
        (["--snapshots", "9"], "fewer than 9 snapshots"),
        (["--folds", "3"], "name one with --data"),
    ],
)
def test_what_makes_no_ensemble_is_refused_before_anything_is_made(
    cli: Cli, tmp_path: Path, words: list[str], says: str
) -> None:
    done = cli("train", *SMALL, *words, "--out", tmp_path / "run")
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "run").exists()


def test_a_damaged_record_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(load_config().to_yaml())
    for text in ("", "[]", '{"kind": "other", "count": 2, "bagging": false, "done": []}', '{"kind": "folds"}'):
        (tmp_path / "members.json").write_text(text)
        done = cli("train", "--resume", tmp_path)
        assert done.code == 2
        assert f"{tmp_path / 'members.json'}: damaged" in done.err


def test_requests() -> None:
    with pytest.raises(InputError):
        Request("boosting", 1)
    assert Request("members", 2, bagging=True).bagging


# --- an ensemble as a teacher ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["mean", "weighted", "logit_mean", "geometric"])
def test_an_ensemble_teaches_one_member_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, combine: str
) -> None:
    networks = [model(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    weights = [1.0, 2.0, 5.0] if combine == "weighted" else [1.0] * 3
    entries = [
        f"{{model: {n}.safetensors{f', weight: {w}' if combine == 'weighted' else ''}}}" for n, w in enumerate(weights)
    ]
    (tmp_path / "ens.yaml").write_text(f"members: [{', '.join(entries)}]\ncombine: {combine}\n")
    alive: list[weakref.ref[Network]] = []
    most = 0
    original = ensemble_teacher.network_from_file

    def counted(path: Path) -> Any:
        nonlocal most
        network, spec = original(path)
        alive.append(weakref.ref(network))
        most = max(most, sum(ref() is not None for ref in alive))
        return network, spec

    monkeypatch.setattr(ensemble_teacher, "network_from_file", counted)
    monkeypatch.setattr(ensemble_teacher, "_WINDOW", 2)
    teacher = EnsembleTeacher(str(tmp_path / "ens.yaml"), label_map("comma10k"))
    pictures = noise(5)
    read = iter([[pictures[i : i + 1], torch.zeros(1)] for i in range(5)])
    found = torch.cat([logits for _, _, logits in teacher.with_logits(read, torch.device("cpu"))]).double()
    shares = np.array(weights) / sum(weights)
    with torch.no_grad():
        said = [network.logits(pictures).double() for network in networks]
    if combine in ("mean", "weighted"):
        wanted = sum(share * logits.softmax(1) for share, logits in zip(shares, said, strict=True))
    else:
        wanted = sum(share * logits for share, logits in zip(shares, said, strict=True)).softmax(1)
    np.testing.assert_allclose(found.softmax(1), wanted, atol=2e-6)
    assert most == 1
    assert len(alive) == 9  # three windows of three members


def test_a_student_of_an_ensemble(scenes: Path, tmp_path: Path) -> None:
    for n in range(2):
        model(tmp_path / f"{n}.safetensors", n, "lane")
    (tmp_path / "ens.yaml").write_text("members: [0.safetensors, 1.safetensors]\n")
    from lanecli.training.watcher import SilentWatcher

    (tmp_path / "run").mkdir()
    words = [*SMALL, f"data.root={scenes}", "data.samples=4", f"teacher={tmp_path / 'ens.yaml'}"]
    run = loop.Run(load_config(None, words), tmp_path / "run")
    run.train(SilentWatcher())
    row = run.log.rows[0]
    assert row["train/kl"] > 0
    assert row["val/loss"] > 0
    (tmp_path / "vote.yaml").write_text("members: [0.safetensors, 1.safetensors]\ncombine: vote\n")
    with pytest.raises(InputError, match="not from vote"):
        EnsembleTeacher(str(tmp_path / "vote.yaml"), label_map("lane"))
    with pytest.raises(InputError, match="not those trained here"):
        EnsembleTeacher(str(tmp_path / "ens.yaml"), label_map("comma10k"))
