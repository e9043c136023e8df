"""Model soups: weights by hand, statistics by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_roads import plain_roads
from safetensors.torch import load_file
from samples import Outcome
from torch import nn

from lanecli.data.fingerprint import fingerprint, share_seen
from lanecli.data.manifest import read_dataset
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.media import read_picture
from lanecli.modelfile import ModelSpec, read_spec, write_safetensors
from lanecli.models.build import build_network, network_from_file
from lanecli.models.spectral import without_spectral_norm
from lanecli.training.soup import renew_statistics

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_roads(tmp_path_factory.mktemp("roads") / "set", train=5, val=1)


def saved(path: Path, seed: int, classes: str = "lane", size: tuple[int, int] = (64, 32), **more: object) -> Path:
    torch.manual_seed(seed)
    spec = ModelSpec(
        "erfnet", {"width": 0.25, "dropout": 0.5, **more.pop("args", {})}, label_map(classes), Geometry(size), **more
    )
    network = build_network(spec)
    network.train()(torch.randint(0, 255, (4, 32, 64, 3)).to(torch.uint8))
    write_safetensors(path, network.state_dict(), spec)
    return path


def test_weights_are_the_mean_and_statistics_those_of_the_pictures(cli: Cli, roads: Path, tmp_path: Path) -> None:
    train = read_dataset(roads).of_split("train")
    seen = fingerprint(read_dataset(roads).of_split("val"))
    files = [
        saved(tmp_path / f"{n}.safetensors", n, temperature=1.5, provenance={"trained_on": seen}) for n in range(3)
    ]
    out = tmp_path / "new" / "soup.safetensors"
    done = cli("ensemble", "soup", *files, "--data", roads, "--out", out, "--batch", 2, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    assert "temperature" in done.err
    states, made = [load_file(file) for file in files], load_file(out)
    statistics = 0
    for name, tensor in made.items():
        if "running_" in name or "num_batches" in name:
            statistics += 1
            continue
        wanted = sum(state[name].double() for state in states) / 3
        np.testing.assert_allclose(tensor.numpy(), wanted.numpy(), rtol=1e-6, atol=1e-8)
    assert statistics == 3 * done.json()["norm_layers"] > 0
    # the first layer of statistics by hand: the mean over batches of each batch's own
    network, spec = network_from_file(out)
    assert spec.temperature == 1
    layer = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    got: list[torch.Tensor] = []
    layer.register_forward_pre_hook(lambda _m, inputs: got.append(inputs[0].detach().double()))
    placement = spec.geometry.place((96, 64))
    pictures = torch.from_numpy(np.stack([placement.picture(read_picture(s.image)) for s in train]))
    for start in (0, 2, 4):
        network(pictures[start : start + 2])
    means = torch.stack([x.mean((0, 2, 3)) for x in got]).mean(0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in got]).mean(0)
    np.testing.assert_allclose(layer.running_mean, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_var, variances, rtol=1e-4)
    trained_on = read_spec(out).provenance["trained_on"]
    assert share_seen(trained_on, read_dataset(roads).samples) == 1
    assert read_spec(out).provenance["soup"]["models"] == ["0.safetensors", "1.safetensors", "2.safetensors"]
    assert str(tmp_path) not in read_spec(out).to_json()


def test_a_soup_of_one_model_twice_is_that_model(cli: Cli, roads: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "m.safetensors", 0)
    done = cli("ensemble", "soup", file, file, "--data", roads, "--out", tmp_path / "s.safetensors", "--json")
    assert done.code == 0, done.err
    one, other = load_file(file), load_file(tmp_path / "s.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one if "running_" not in name and "num_b" not in name)
    assert cli("evaluate", tmp_path / "s.safetensors", "--data", roads, "--json").code == 0


def test_statistics_can_be_the_means_of_those_of_the_models(cli: Cli, roads: Path, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.safetensors", n) for n in range(2)]
    out = tmp_path / "soup.safetensors"
    done = cli("ensemble", "soup", *files, "--data", roads, "--out", out, "--keep-statistics", "--json")
    assert done.code == 0, done.err
    assert (done.json()["norm_layers"], done.json()["pictures"]) == (0, 0)
    (one, other), made = [load_file(file) for file in files], load_file(out)
    for name in made:
        if made[name].is_floating_point():
            torch.testing.assert_close(made[name], (one[name] + other[name]) / 2)


def test_statistics_of_several_datasets_are_of_all_their_pictures(cli: Cli, roads: Path, tmp_path: Path) -> None:
    other = plain_roads(tmp_path / "other", train=3, val=1, seed=9)
    seen = fingerprint(read_dataset(roads).of_split("val"))
    file = saved(tmp_path / "m.safetensors", 0, provenance={"trained_on": seen})
    made = {}
    for name, sets in (("one", [roads]), ("both", [roads, other]), ("again", [roads, other])):
        out = tmp_path / f"{name}.safetensors"
        data = [word for root in sets for word in ("--data", root)]
        done = cli("ensemble", "soup", file, file, *data, "--out", out, "--batch", 8, "--json")
        assert done.code == 0, done.err
        assert done.json()["pictures"] == 5 + 3 * (len(sets) - 1)
        made[name] = load_file(out)
    differ = {n for n in made["one"] if not torch.equal(made["one"][n], made["both"][n])}
    assert any("running_mean" in name for name in differ)
    assert all(torch.equal(made["both"][name], made["again"][name]) for name in made["both"])
    assert (
        share_seen(read_spec(tmp_path / "both.safetensors").provenance["trained_on"], read_dataset(other).samples) > 0
    )


def test_spectral_norms_of_a_soup_are_those_of_its_weights(cli: Cli, roads: Path, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.safetensors", n, args={"spectral_norm": 0.5}) for n in range(2)]
    out = tmp_path / "soup.safetensors"
    assert cli("ensemble", "soup", *files, "--data", roads, "--out", out).code == 0
    network = without_spectral_norm(network_from_file(out)[0])
    assert network.architecture.encoders()
    norms = [
        float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2))
        for part in network.architecture.encoders()
        for layer in part.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    assert max(norms) == pytest.approx(0.5, rel=0.1)


def test_a_network_without_statistics_reads_nothing() -> None:
    assert renew_statistics(nn.Conv2d(3, 3, 1), iter([None])) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"args": {"width": 0.5}}, "arguments of"),
        ({"classes": "comma10k"}, "classes of"),
        ({"size": (96, 32)}, "geometry of"),
    ],
)
def test_models_that_differ_otherwise_are_refused(
    cli: Cli, roads: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    one, other = saved(tmp_path / "a.safetensors", 0), saved(tmp_path / "b.safetensors", 1, **change)
    done = cli("ensemble", "soup", one, other, "--data", roads, "--out", tmp_path / "s.safetensors")
    assert done.code == 2
    assert message in done.err
    assert "b.safetensors" in done.err
    assert not (tmp_path / "s.safetensors").exists()
