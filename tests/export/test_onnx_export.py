"""Exported ONNX files: parity at other batches and sizes, metadata, half-precision weights, and refusal of bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lanecli.errors import LaneError
from lanecli.export import onnx as exporter
from lanecli.export.parity import Parity
from lanecli.export.whole import WholeModel
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec, read_spec, read_weights
from lanecli.models.build import Network, build_network, network_from_file


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    """A small lane model's."""
    return ModelSpec("linknet", {"encoder": "resnet18"}, label_map("lane"), Geometry((96, 64)), temperature=1.5)


@pytest.fixture(scope="module")
def network(spec: ModelSpec) -> Network:
    """With random weights, and batch norm statistics that are not the initial ones."""
    torch.manual_seed(0)
    network = build_network(spec)
    with torch.no_grad():
        network.logits(torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8))
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: Network, spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, with half-precision weights."""
    path = tmp_path_factory.mktemp("export") / "m.onnx"
    parity = exporter.export_onnx(network, spec, path, precision="fp16")
    assert parity.relative < 1e-3
    assert parity.equal_pixels > 0.999
    return path


def test_any_batch_and_size(network: Network, spec: ModelSpec, exported: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported))
    [takes], gives = (
        session.get_inputs(),
        {output.name: (output.shape, output.type) for output in session.get_outputs()},
    )
    assert (takes.name, takes.shape, takes.type) == ("pictures", ["batch", "height", "width", 3], "tensor(uint8)")
    assert gives == {
        "class_map": (["batch", "height", "width"], "tensor(uint8)"),
        "probabilities": (["batch", 2, "height", "width"], "tensor(float)"),
        "logits": (["batch", 2, 64, 96], "tensor(float)"),
    }
    whole = WholeModel(network, spec.label_map, spec.geometry)
    rng = np.random.default_rng(0)
    for shape in ((1, 64, 96, 3), (3, 50, 70, 3), (2, 133, 31, 3)):
        pictures = rng.integers(0, 256, shape, np.uint8)
        theirs = session.run(["class_map", "probabilities", "logits"], {"pictures": pictures})
        with torch.inference_mode():
            ours = whole(torch.from_numpy(pictures))
        assert theirs[0].shape == shape[:3]
        assert (theirs[0] == ours[0].numpy()).mean() > 0.999
        np.testing.assert_allclose(theirs[1], ours[1].numpy(), atol=1e-3)
        np.testing.assert_allclose(theirs[2], ours[2].numpy(), atol=1e-3 * float(ours[2].abs().max()))


def test_file_is_whole_model(network: Network, spec: ModelSpec, exported: Path) -> None:
    assert read_spec(exported) == spec
    weights = read_weights(exported)
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(weights[name], tensor, atol=0, rtol=0)  # export rounded both


def test_half_precision_halves_the_file(network: Network, spec: ModelSpec, exported: Path, tmp_path: Path) -> None:
    exporter.export_onnx(network, spec, tmp_path / "full.onnx", static=True)
    assert exported.stat().st_size < 0.6 * (tmp_path / "full.onnx").stat().st_size
    graph = onnx.load(tmp_path / "full.onnx").graph
    assert {"rows_weights", "columns_back_places"} <= {weight.name for weight in graph.initializer}
    assert "Range" not in {node.op_type for node in graph.node}  # nothing of the resize is computed when it runs
    shape = graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [1, 64, 96, 3]


def test_spectral_norm_and_auxiliary_heads_stay_behind(tmp_path: Path) -> None:
    arguments = {"encoder": "tu-test_resnet", "psp_out_channels": 16}
    own = ModelSpec("pspnet", arguments | {"spectral_norm": True}, label_map("lane"), Geometry((96, 64)))
    torch.manual_seed(0)
    network = build_network(own).train()
    network.logits(torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8))
    before = {name: tensor.clone() for name, tensor in network.eval().state_dict().items()}
    exporter.export_onnx(network, own, tmp_path / "m.onnx", precision="fp16", static=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not [name for name in read_weights(tmp_path / "m.onnx") if "parametrizations" in name or "auxiliary" in name]
    loaded, spec = network_from_file(tmp_path / "m.onnx")
    assert spec.arguments == arguments
    pictures = torch.randint(0, 256, (1, 50, 70, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.logits(pictures)
        torch.testing.assert_close(loaded.logits(pictures), expected, atol=5e-3 * float(expected.abs().max()), rtol=0)


def test_a_file_that_disagrees_is_not_kept(
    network: Network, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "compare", lambda *_: Parity(0.5, 1.0, 0.9, 0.01, {}, 100, ()))
    with pytest.raises(LaneError, match="disagrees"):
        exporter.export_onnx(network, spec, tmp_path / "m.onnx", static=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("differing", "kept"), [(0.01, True), (0.2, False)])
def test_near_ties_of_pooling_by_index_are_no_disagreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differing: float, kept: bool
) -> None:
    from lanecli.labelmaps import label_map

    spec = ModelSpec("segnet", {"width": 0.0625}, label_map("lane"), Geometry((64, 32)))
    monkeypatch.setattr(exporter, "compare", lambda *_: Parity(0.5, 1.0, 0.999, differing, {}, 100, ()))
    if kept:
        exporter.export_onnx(build_network(spec).eval(), spec, tmp_path / "m.onnx", static=True)
    else:
        with pytest.raises(LaneError, match="20 % of pixels"):
            exporter.export_onnx(build_network(spec).eval(), spec, tmp_path / "m.onnx", static=True)
    assert (tmp_path / "m.onnx").exists() is kept
