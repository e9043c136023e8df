"""The commands around uncertainty, on a small random network and procedural scenes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import SMALL_RUN

from lanecli.data.manifest import read_dataset
from lanecli.geometry import Geometry
from lanecli.inference.fitting import affordable_components, calibrate, fit_density
from lanecli.inference.recipe import Recipe
from lanecli.labelmaps import label_map
from lanecli.media import Frame, read_mask, read_picture
from lanecli.modelfile import ModelSpec, read_spec, read_weights, write_safetensors
from lanecli.models.build import build_network, network_from_file
from lanecli.uncertainty.density import fit_gaussians
from lanecli.uncertainty.statistics import FeatureStatistics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data``, a prepared set of seven scenes, ``plain.safetensors`` and ``dropping.safetensors``, with dropout."""
    from lanecli.data.synthesise import synthesise

    root = tmp_path_factory.mktemp("uncertainty")
    synthesise(root / "data", count=7, size=(128, 72), seed=3)
    for name, dropout in (("plain", 0.0), ("dropping", 0.3)):
        torch.manual_seed(1)
        arguments = {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8], "dropout": dropout}
        spec = ModelSpec("unet", arguments, label_map("lane"), Geometry((96, 64)))
        network = build_network(spec)
        write_safetensors(root / f"{name}.safetensors", network.state_dict(), spec)
    fit_density(root / "plain.safetensors", root / "data", root / "fitted.safetensors")
    return root


def frame_of(folder: Path) -> tuple[Frame, np.ndarray]:
    sample = read_dataset(folder / "data").samples[0]
    return Frame.from_rgb(read_picture(sample.image)), read_mask(sample.mask)


def test_fitted_density_is_that_of_the_training_pixels(folder):
    """By hand: features of every picture, four pixels a cell, and NumPy's Gaussians."""
    network, spec = network_from_file(folder / "fitted.safetensors")
    assert network.feature_stride == 1
    dataset = read_dataset(folder / "data")
    statistics = FeatureStatistics(spec.label_map, network.feature_channels)
    cells = []
    for sample in dataset.of_split("train"):
        placement = spec.geometry.place((128, 72))
        picture, mask = placement.picture(read_picture(sample.image)), placement.mask(read_mask(sample.mask))
        with torch.inference_mode():
            features = network(torch.from_numpy(picture[None]), ("features",))["features"][0].numpy()
        d, h, w = features.shape
        cells.append(features.reshape(d, h // 4, 4, w // 4, 4)[:, :, 1:3, :, 1:3].mean((2, 4)))
        statistics.update(cells[-1], mask)
    gaussians = fit_gaussians(statistics)
    found = spec.outputs["log_density"]
    assert found["pixels"] == [group.count for group in statistics.groups]
    assert found["classes"] == list(gaussians.names)
    module = network.extra["log_density"]
    wanted = gaussians.log_density(cells[0])
    low, high = np.percentile(wanted, (1, 99))
    with torch.inference_mode():
        values = module.of_cells(torch.from_numpy(cells[0][None].astype(np.float32)))[0].numpy()
    assert np.abs(values - wanted).max() < 1e-3 * (high - low)
    everything = np.concatenate([gaussians.log_density(each).ravel() for each in cells])
    certain, doubtful = found["range"]
    assert certain == pytest.approx(np.median(everything), rel=0.01)
    assert doubtful < np.percentile(everything, 1)


def test_maps_of_every_measure(folder):
    frame, _ = frame_of(folder)
    asked = {
        "entropy": ("plain", {"entropy"}),
        "density": ("fitted", {"log_density", "entropy"}),
        "neco": ("fitted", {"neco"}),
        "energy": ("plain", {"energy"}),
        "mc-dropout": ("dropping", {"entropy", "mutual_information"}),
    }
    for measure, (model, names) in asked.items():
        recipe = Recipe((str(folder / f"{model}.safetensors"),), uncertainty=measure, precision="fp32", passes=3)
        maps = recipe.open({"planes"}).predict(frame).maps
        assert set(maps) == names
        for plane in maps.values():
            assert plane.shape == (72, 128)
            assert plane.dtype == np.float32
            assert np.isfinite(plane).all()
        if measure == "mc-dropout":
            assert maps["mutual_information"].max() > 0
            again = recipe.open().predict(frame).maps
            assert (again["mutual_information"] == maps["mutual_information"]).all()
    both = Recipe(tuple([str(folder / "plain.safetensors")] * 2), uncertainty="ensemble", precision="fp32").open()
    maps = both.predict(frame).maps
    assert (maps["mutual_information"] == 0).all()


def test_density_in_half_precision_keeps_its_ranking(folder):
    frame, _ = frame_of(folder)
    full, half = (
        Recipe((str(folder / "fitted.safetensors"),), uncertainty="density", precision=p).open().predict(frame).maps
        for p in ("fp32", "bf16")
    )
    assert np.corrcoef(full["log_density"].ravel(), half["log_density"].ravel())[0, 1] > 0.95


def test_measures_that_do_not_fit_are_refused_in_a_line(folder, cli, tmp_path):
    picture = read_dataset(folder / "data").samples[0].image
    refusals = [
        (("plain", "density"), "uncertainty fit"),
        (("plain", "neco"), "uncertainty fit"),
        (("plain", "mc-dropout"), "no dropout"),
        (("plain", "ensemble"), "several"),
    ]
    for (model, measure), words in refusals:
        done = cli("predict", picture, "--model", folder / f"{model}.safetensors", "--uncertainty", measure,
                   "--out", tmp_path / "o")  # fmt: skip
        assert done.code == 2, measure
        assert words in done.err
        assert done.err.count("\n") == 1
    done = cli("predict", picture, "--model", "lane", "--uncertainty", "mc-dropout", "--out", tmp_path / "o")
    assert done.code == 2
    assert "torch" in done.err
    done = cli("uncertainty", "fit", folder / "plain.safetensors", "--data", folder / "data")
    assert done.code == 2
    assert "--out" in done.err


def test_heat_map_and_numbers_of_a_picture(folder, cli, tmp_path):
    picture = read_dataset(folder / "data").samples[0].image
    done = cli("predict", picture, "--model", folder / "fitted.safetensors", "--uncertainty", "density", "--precision",
               "fp32", "--save", "uncertainty,masks", "--certain", "0", "--out", tmp_path, "--json")  # fmt: skip
    assert done.code == 0, done.err
    source = done.json()["sources"][0]
    assert set(source["uncertainty"]) == {"log_density", "entropy", "doubtful"}
    arrays = np.load(next(tmp_path.glob("*.uncertainty.npz")))
    assert set(arrays) >= {"log_density", "entropy"}
    assert arrays["log_density"].dtype == np.float32
    assert read_picture(next(tmp_path.glob("*.uncertainty.png"))).shape == (72, 128, 3)
    mask = read_mask(next(tmp_path.glob("*.mask.png")))
    # uncertain is a low density: above 0 in minus its logarithm
    assert ((mask == 255) == (arrays["log_density"] < 0)).all()


def test_calibration_changes_no_class_and_lowers_the_likelihood(folder, tmp_path):
    # at the network's own size: between its pixels probabilities are interpolated, not logits, and borders may move
    frame = Frame.from_rgb(np.ascontiguousarray(frame_of(folder)[0].rgb()[:64, :96]))
    out = tmp_path / "calibrated.safetensors"
    found = calibrate(folder / "fitted.safetensors", folder / "data", out).figures
    assert found["nll"] <= found["nll_at_1"]
    assert 0 <= found["ece"] < 1
    assert found["ece"] != found["ece_at_1"]
    assert read_spec(out).temperature == pytest.approx(found["temperature"])
    assert read_spec(out).outputs == read_spec(folder / "fitted.safetensors").outputs
    before, after = (
        Recipe((str(path),), uncertainty="density", precision="fp32").open({"planes"}).predict(frame)
        for path in (folder / "fitted.safetensors", out)
    )
    assert (before.class_map == after.class_map).all()
    assert (before.maps["log_density"] == after.maps["log_density"]).all()
    assert not np.allclose(before.planes, after.planes)


def test_a_runs_own_model_is_rewritten(folder, cli, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes((folder / "plain.safetensors").read_bytes())
    done = cli("uncertainty", "fit", run, "--data", folder / "data", "--components", "4", "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert document["components"] == 4
    assert any("from 8 channels to 4" in note for note in document["notes"])
    assert read_spec(run / "model.safetensors").outputs["log_density"]["components"] == 4
    assert cli("calibrate", run, "--data", folder / "data").code == 0
    assert "log_density" in read_spec(run / "model.safetensors").outputs


def test_a_temperature_can_be_written_as_it_is(folder, cli, tmp_path):
    out = tmp_path / "warm.safetensors"
    done = cli("calibrate", folder / "fitted.safetensors", "--temperature", "1.7", "--out", out, "--json")
    assert done.json() == {"file": str(out), "temperature": 1.7, "temperature_before": 1.0}
    before, after = read_spec(folder / "fitted.safetensors"), read_spec(out)
    assert (after.temperature, after.outputs) == (1.7, before.outputs)
    weights = read_weights(folder / "fitted.safetensors")
    assert all((tensor == weights[name]).all() for name, tensor in read_weights(out).items())
    for wrong in (["--temperature", "0"], ["--temperature", "nan"], [], ["--temperature", "1", "--data", out]):
        refused = cli("calibrate", folder / "fitted.safetensors", *wrong, "--out", out, "--overwrite")
        assert refused.code == 2
        assert "temperature" in refused.err
    assert read_spec(out).temperature == 1.7


def test_evaluate_scores_the_uncertainty(folder, cli):
    done = cli("evaluate", folder / "fitted.safetensors", "--data", folder / "data", "--split", "train", "--precision",
               "fp32", "--uncertainty", "density", "--json")  # fmt: skip
    assert done.code == 0, done.err
    found = done.json()["uncertainty"]
    assert found["measure"] == "density"
    assert set(found["maps"]) == {"log_density", "entropy"}
    wanted = ("thresholds", "p_accurate_given_certain", "p_uncertain_given_inaccurate", "pavpu")
    assert len({len(found[key]) for key in wanted}) == 1
    assert 0 <= found["auroc_error"] <= 1
    assert found["coverage"][0]["coverage"] == 1
    assert (
        "uncertainty" not in cli("evaluate", folder / "plain.safetensors", "--data", folder / "data", "--json").json()
    )


def test_exported_maps_are_torchs(folder, tmp_path):
    """The trimmed graph that `predict` runs; `export_onnx` itself compares the whole one."""
    from lanecli.export.onnx import export_onnx
    from lanecli.inference.fitting import with_maps

    network, spec, maps = with_maps(*network_from_file(folder / "fitted.safetensors"), "density,entropy,energy,neco")
    assert maps == ("log_density", "entropy", "energy", "neco")
    parity = export_onnx(network, spec, tmp_path / "m.onnx", maps=maps)
    assert max(parity.map_difference.values()) < 1e-3
    frame, _ = frame_of(folder)
    for measure in ("density", "neco", "energy"):
        ours, theirs = (
            Recipe((str(path),), uncertainty=measure, precision="fp32", backend=backend).open().predict(frame).maps
            for path, backend in ((folder / "fitted.safetensors", "torch"), (tmp_path / "m.onnx", "openvino"))
        )
        for name, plane in ours.items():
            low, high = np.percentile(plane, (1, 99))
            assert np.abs(plane - theirs[name]).max() < 1e-3 * max(high - low, 1e-2), name


def test_statistics_of_several_datasets_are_pooled(folder, cli, tmp_path):
    data = ["--data", folder / "data"]
    counts, temperatures = [], []
    for times in (1, 2):
        out = tmp_path / f"{times}.safetensors"
        done = cli("uncertainty", "fit", folder / "plain.safetensors", *data * times, "--out", out, "--json")
        assert done.code == 0, done.err
        counts.append(done.json()["pixels"])
        done = cli("calibrate", out, *data * times, "--out", out, "--overwrite", "--json")
        assert done.code == 0, done.err
        temperatures.append(done.json()["temperature"])
    assert counts[1] == [2 * count for count in counts[0]]
    assert temperatures[1] == pytest.approx(temperatures[0], rel=0.02)
    one, two = (read_weights(tmp_path / f"{times}.safetensors") for times in (1, 2))
    np.testing.assert_allclose(one["extra.neco.scale"], two["extra.neco.scale"], rtol=1e-3)


def test_select_writes_frames_a_sheet_and_annotations_that_come_back(folder, cli, tmp_path):
    out = tmp_path / "new" / "chosen"
    done = cli("select", folder / "data" / "images", "--model", folder / "plain.safetensors", "--top", 3, "--out", out,
               "--export", "cvat", "--precision", "fp32", "--json")  # fmt: skip
    assert done.code == 0, done.err
    document = done.json()
    assert document["frames"] == 7
    assert len(document["selected"]) == 3
    pictures = sorted((out / "images").iterdir())
    assert [str(p) for p in pictures] == [entry["picture"] for entry in document["selected"]]
    assert (out / "contact_sheet.png").is_file()
    rows = list(csv.DictReader((out / "selection.csv").open(encoding="utf-8")))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    back = cli("prepare", "cvat", out, "--out", tmp_path / "back", "--classes", "lane")
    assert back.code == 0, back.err
    predictor = Recipe((str(folder / "plain.safetensors"),), backend="torch", precision="fp32").open()
    for sample in read_dataset(tmp_path / "back").samples:
        predicted = predictor.predict(Frame.from_rgb(read_picture(sample.image))).class_map
        assert (read_mask(sample.mask) == predicted).all()
    assert cli("select", folder / "data" / "images", "--top", "1", "--out", out).code == 2


def test_study_is_resumed_and_writes_tables_and_figures(folder, cli, tmp_path):
    config = tmp_path / "study.yaml"
    model = str(folder / "fitted.safetensors")
    plan = {
        "data": str(folder / "data"),
        "methods": {
            "softmax": {"models": model, "uncertainty": "entropy"},
            "ddu": {"models": [model], "uncertainty": "density"},
        },
        "strange": {"itself": str(folder / "data" / "images")},
        "corruptions": ["noise"],
        "examples": 1,
        "places": model,
        "backend": "torch",
    }
    config.write_text(json.dumps(plan), encoding="utf-8")
    out = tmp_path / "study"
    done = cli("uncertainty", "study", config, "--out", out, "--json")
    assert done.code == 0, done.err
    rows = done.json()["rows"]
    assert [(row["method"], row["map"]) for row in rows] == [
        ("softmax", "entropy"),
        ("ddu", "log_density"),
        ("ddu", "entropy"),
    ]
    assert "auroc noise 5" in rows[0]
    for name in ("table.csv", "curves.csv", "curves.png", "maps.png", "class_means.csv", "class_means.png"):
        assert (out / name).stat().st_size > 0
    again = cli("uncertainty", "study", config, "--out", out, "--json")
    assert again.json()["rows"] == rows
    assert again.err.count("done before") == 2
    plan["methods"]["ddu"]["passes_"] = 3
    config.write_text(json.dumps(plan), encoding="utf-8")
    refused = cli("uncertainty", "study", config)
    assert refused.code == 2
    assert "passes" in refused.err


def test_a_study_trains_its_models_once_and_fits_what_they_need(folder, cli, tmp_path):
    out = tmp_path / "study"
    plan = {
        "data": str(folder / "data"),
        "out": str(out),
        "train": {
            "base": {"data": {"root": [str(folder / "data")]}},
            "variants": {"plain": [*SMALL_RUN, "train.epochs=1"], "spectral": [*SMALL_RUN, "model.spectral_norm=true"]},
        },
        "methods": {
            "softmax": {"models": "plain", "uncertainty": "entropy"},
            "density": {"models": "spectral", "uncertainty": "density"},
        },
        "corruptions": [],
        "examples": 1,
        "places": "spectral",
        "backend": "torch",
    }
    config = tmp_path / "study.yaml"
    config.write_text(json.dumps(plan), encoding="utf-8")
    done = cli("uncertainty", "study", config, "--json")
    assert done.code == 0, done.err
    assert [row["method"] for row in done.json()["rows"]] == ["softmax", "density", "density"]
    assert "log_density" not in read_spec(out / "models/plain/model.safetensors").outputs
    models = {path: path.read_bytes() for path in out.glob("models/*/model.safetensors")}
    assert len(models) == 2
    again = cli("uncertainty", "study", config, "--json")
    assert again.json()["rows"] == done.json()["rows"]
    assert all(path.read_bytes() == content for path, content in models.items())
    plan["train"]["seeds"] = 2
    config.write_text(json.dumps(plan), encoding="utf-8")
    refused = cli("uncertainty", "study", config)
    assert refused.code == 2
    assert "make each of them a variant of its own" in refused.err


@pytest.mark.parametrize(
    ("channels", "stride", "groups", "step", "wanted"),
    [(32, 1, 2, 4, None), (128, 4, 2, 1, None), (256, 4, 2, 1, 160), (256, 4, 32, 1, 48), (2048, 8, 2, 1, 160)],
)
def test_features_are_reduced_where_whitening_would_cost(channels, stride, groups, step, wanted):
    network = type("N", (), {"feature_channels": channels, "feature_stride": stride})()
    found = affordable_components(network, groups, step)
    assert found == wanted
    if found:
        cell = (stride * step / 4) ** 2
        assert channels * found + groups * found**2 <= 96 * 1024 * cell
