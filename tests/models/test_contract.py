"""One contract over every registered model, kept by a small variant of each."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import SMALL, build_small, noise, spec_of
from torch import nn

from lanecli.errors import InputError
from lanecli.export.onnx import export_onnx, session_function
from lanecli.export.parity import TOLERANCE, compare
from lanecli.export.whole import WholeModel
from lanecli.geometry import Geometry
from lanecli.inference.backends import open_backend
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import Network, build_network, load_weights, network_from_file
from lanecli.models.dropout import dropout_sampling
from lanecli.models.idle import freeze_idle
from lanecli.models.registry import MODELS
from lanecli.models.spectral import estimate_norms, without_spectral_norm

NAMES = list(MODELS)
AUXILIARY = {
    "pspnet": (1, 0.4),
    "upernet": (1, 0.4),
    "swin_upernet": (1, 0.4),
    "dpt": (1, 0.2),
    "setr_naive": (3, 0.4),
    "setr_pup": (4, 0.4),
    "setr_mla": (4, 0.4),
    "bisenetv2": (4, 1.0),
    "wnet": (1, 1.0),
}
"""How many auxiliary heads, and the factor of the loss of each."""

every_model = pytest.mark.parametrize("name", NAMES)


def slow_but(*fast: str) -> pytest.MarkDecorator:
    """Every model, most of them only where slow tests run."""
    return pytest.mark.parametrize("name", [n if n in fast else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])


def test_every_model_has_a_small_variant() -> None:
    assert list(SMALL) == NAMES


def every_logits(network: Network, pictures: torch.Tensor) -> list[torch.Tensor]:
    """The network's logits, and those of each auxiliary head."""
    found = network(pictures, ("logits", "auxiliary"))
    return [found["logits"], *found["auxiliary"]]


def assert_same_model(one: Network, other: Network, pictures: torch.Tensor) -> None:
    """The same weights bit for bit; the same logits but for rounding, which hangs on where tensors lie in memory."""
    weights = other.state_dict()
    assert one.state_dict().keys() == weights.keys()
    for key, tensor in one.state_dict().items():
        assert torch.equal(tensor, weights[key]), key
    with torch.inference_mode():
        torch.testing.assert_close(one.logits(pictures), other.logits(pictures))


def assert_backends_agree(path: Path, network: Network) -> None:
    """Every runtime that takes an exported file gives its network's logits."""
    pictures = noise(2, 64, 64)
    with torch.inference_mode():
        expected = network.logits(pictures).numpy()
    for name in ("openvino", "onnxruntime"):
        backend = open_backend(str(path), backend=name, precision="fp32", outputs=("logits",), batch=2)
        logits = backend.submit(pictures.numpy()).result()["logits"]
        assert np.abs(logits - expected).max() <= TOLERANCE * np.abs(expected).max(), name


@every_model
def test_forward_backward_save_load(name: str, tmp_path: Path) -> None:
    network = build_small(name).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):  # timm's residual branches start with gain zero: no gradient behind it
            nn.init.ones_(layer.weight)
    pictures = noise(2, 61, 91)
    assert network.logits(pictures[:, :32]).shape == (2, 2, 32, 91)
    found = every_logits(network, pictures)
    heads, weight = AUXILIARY.get(name, (0, 0.0))
    assert len(found) == 1 + heads
    assert network.auxiliary_weight == weight
    assert all(logits.shape == (2, 2, 61, 91) and logits.isfinite().all() for logits in found)
    draw = torch.Generator().manual_seed(2)
    sum((logits * torch.randn(logits.shape, generator=draw)).sum() for logits in found).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key

    network.eval()
    with torch.inference_mode():
        logits = network.logits(pictures)
        assert logits.shape == (2, 2, 61, 91)
        assert logits.isfinite().all()
        torch.testing.assert_close(network.logits(pictures[:1, :33, :40]), network.logits(pictures[:, :33, :40])[:1])
        assert torch.equal(every_logits(network, pictures)[0], logits)
        write_safetensors(tmp_path / "m.safetensors", network.state_dict(), spec_of(name))
        loaded, spec = network_from_file(tmp_path / "m.safetensors")
        assert spec == spec_of(name)
    assert_same_model(loaded, network, pictures)


@every_model
def test_shapes_of_what_the_name_alone_builds(name: str) -> None:
    # shapes only, full-size models at no cost; smp's SegFormer reads numbers while it is built
    with torch.device("cpu" if name == "segformer" else "meta"):
        spec = ModelSpec(name, {}, spec_of(name, classes=5).label_map, Geometry((64, 64)))
        network = build_network(spec).eval()
        pictures = torch.zeros(1, 100, 70, 3, dtype=torch.uint8)
        found = every_logits(network, pictures)
        stride = network.feature_stride
        features = network(pictures, ("features",))["features"]
    assert [tuple(logits.shape) for logits in found] == [(1, 5, 100, 70)] * len(found)
    assert tuple(features.shape) == (1, network.feature_channels, -(-100 // stride), -(-70 // stride))


@every_model
def test_features_are_what_the_classifier_takes(name: str) -> None:
    network = build_small(name).eval()
    pictures = noise(2, 128, 128)  # what every one takes without padding
    with torch.inference_mode():
        features, maps = network.architecture.extract_features(network._prepared(pictures))
        logits = network.architecture.classify(features, maps, torch.Size((128, 128)))
        assert torch.equal(network(pictures, ("features",))["features"], features)
        torch.testing.assert_close(network.logits(pictures), logits)
        side = 128 // network.feature_stride
        assert features.shape == (2, network.feature_channels, side, side)
        assert features.is_floating_point()
        assert features.std() > 0


@every_model
def test_one_pass_through_the_encoder_answers_every_name(name: str) -> None:
    network = build_small(name).eval()
    passes = []
    inside = network.architecture.extract_features
    network.architecture.extract_features = lambda pictures: passes.append(1) or inside(pictures)
    with torch.inference_mode():
        found = network(noise(1, 64, 64), ("logits", "features", "auxiliary"))
    assert set(found) == {"logits", "features", "auxiliary"}
    assert len(passes) == 1
    with pytest.raises(InputError, match="has no output 'depth'"):
        network(noise(1, 64, 64), ("depth",))


@every_model
def test_auxiliary_heads_can_be_left_out(name: str, tmp_path: Path) -> None:
    if name not in AUXILIARY:
        with pytest.raises(InputError, match="takes no argument 'auxiliary'"):
            build_small(name, auxiliary=False)
        return
    plain, full = build_small(name, auxiliary=False), build_small(name)
    assert plain.auxiliary_weight == 0
    assert len(every_logits(plain, noise(2, 64, 64))) == 1
    extra = set(full.state_dict()) - set(plain.state_dict())
    assert all(key.startswith("architecture.auxiliary.") for key in extra)
    assert bool(extra) == (name != "wnet")
    write_safetensors(tmp_path / "plain.safetensors", plain.state_dict(), spec_of(name, auxiliary=False))
    load_weights(full, tmp_path / "plain.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(full.eval().logits(noise(2, 64, 64)), plain.eval().logits(noise(2, 64, 64)))


@every_model
def test_dropout_samples_and_changes_no_names(name: str) -> None:
    plain, network = (build_small(name, classes=1, dropout=rate).eval() for rate in (0.0, 0.5))
    network.load_state_dict(plain.state_dict())
    pictures = noise(2, 64, 64)
    with torch.inference_mode():
        expected = network.logits(pictures)
        torch.testing.assert_close(expected, plain.logits(pictures))
        with dropout_sampling(network):
            assert not torch.equal(network.logits(pictures), network.logits(pictures))
        assert not any(module.training for module in network.modules())
        torch.testing.assert_close(network.logits(pictures), expected)
    with pytest.raises(InputError, match="no dropout to sample with"), dropout_sampling(plain):
        pass


@every_model
@pytest.mark.parametrize("rate", [-0.1, 1.0, "much"])
def test_dropout_out_of_range_is_refused(name: str, rate: object) -> None:
    with pytest.raises(InputError, match=r"model\.dropout must be a number of at least 0 and below 1"):
        build_small(name, dropout=rate)


@slow_but("linknet", "fcn8s", "setr_naive", "deeplabv3_cascade", "erfnet")
def test_spectral_norm_is_saved_copied_and_folded(name: str, tmp_path: Path) -> None:
    network = build_small(name, spectral_norm=True)
    pictures = noise(2, 64, 64)
    network.train().logits(pictures)
    network.eval()
    normalised = {
        key.removesuffix(".parametrizations.weight.original")
        for key in network.state_dict()
        if key.endswith(".parametrizations.weight.original")
    }
    in_encoders = {
        key
        for key, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
        and any(layer is inner for part in network.architecture.encoders() for inner in part.modules())
    }
    assert normalised
    assert normalised == in_encoders
    with torch.inference_mode():
        expected = network.logits(pictures)
        copied = copy.deepcopy(network)
        assert_same_model(copied, network, pictures)
        plain = without_spectral_norm(network)
        assert plain.state_dict().keys() == build_small(name).state_dict().keys()
        torch.testing.assert_close(plain.logits(pictures), expected)
        write_safetensors(tmp_path / "m.safetensors", network.state_dict(), spec_of(name, spectral_norm=True))
        assert_same_model(network_from_file(tmp_path / "m.safetensors")[0], network, pictures)
        for key in normalised:
            largest = torch.linalg.matrix_norm(plain.get_submodule(key).weight.flatten(1), ord=2)
            assert largest < 1.5, key  # exactly 1 where the power iteration has converged


@slow_but("linknet", "erfnet")
def test_a_bound_of_the_spectral_norm_divides_only_larger_weights(name: str, tmp_path: Path) -> None:
    start, bound = build_small(name), 2.0
    with torch.no_grad():
        for layer in (layer for part in start.architecture.encoders() for layer in part.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight *= 4 * torch.rand(()) / torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
    write_safetensors(tmp_path / "plain.safetensors", start.state_dict(), spec_of(name))
    network = build_small(name, spectral_norm=bound)
    load_weights(network, tmp_path / "plain.safetensors")
    network.train().logits(noise(2, 64, 64))
    for _ in range(5):
        estimate_norms(network)
    folded, larger = without_spectral_norm(network).requires_grad_(False), 0
    start.requires_grad_(False)
    for key, layer in start.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            was, now = (
                torch.linalg.matrix_norm(each.weight.flatten(1), ord=2) for each in (layer, folded.get_submodule(key))
            )
            inside = any(layer is inner for part in start.architecture.encoders() for inner in part.modules())
            larger += bool(inside and was > bound)
            assert now == pytest.approx(float(was.clamp_max(bound) if inside else was), rel=0.02), key
    assert larger
    for unusable in (-1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="spectral_norm is true, or the largest norm"):
            build_small(name, spectral_norm=unusable)


@slow_but("linknet", "fcn8s", "unet_classic", "setr_naive", "deeplabv3_cascade", "bisenetv2")
def test_checkpointed_gradients_are_the_same(name: str) -> None:
    # with what a second pass could change: dropout, and statistics of batch norm and of power iterations
    pictures, results = noise(2, 64, 64), []
    for checkpoint in (False, True):
        network = build_small(name, dropout=0.3, spectral_norm=True).train()
        if checkpoint:
            network.checkpoint_gradients()
            network = copy.deepcopy(network)
        torch.manual_seed(3)
        sum(logits.square().mean() for logits in every_logits(network, pictures)).backward()
        results.append((network, torch.get_rng_state()))
    (plain, plain_random), (again, again_random) = results
    for (key, ours), theirs in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-4, atol=1e-6, msg=key)
    for (key, ours), theirs in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(ours, theirs), key
    assert torch.equal(plain_random, again_random)


@every_model
def test_one_picture_a_batch_trains(name: str) -> None:
    network = build_small(name).train()
    sum(logits.square().mean() for logits in every_logits(network, noise(1, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_model
def test_synchronised_batch_norm_computes_the_same(name: str) -> None:
    network = build_small(name).train()
    network.logits(noise(2, 64, 64))
    network.eval()
    with torch.inference_mode():
        expected = network.logits(noise(2, 64, 64))
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        torch.testing.assert_close(converted.logits(noise(2, 64, 64)), expected)


@slow_but("pspnet", "dpt")
def test_no_parameter_is_idle(name: str) -> None:
    assert freeze_idle(build_small(name)) == []


def test_idle_parameters_are_found_and_frozen() -> None:
    network = build_network(spec_of("pspnet", encoder="resnet18", encoder_depth=3)).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    idle = freeze_idle(network)
    assert idle
    assert {key.split(".")[3] for key in idle} == {"layer3", "layer4"}
    assert [key for key, p in network.named_parameters() if not p.requires_grad] == idle
    assert not network.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_an_encoder_without_blocks_cannot_be_checkpointed() -> None:
    with torch.device("meta"):
        network = build_network(spec_of("unet", encoder="vgg11"))
    with pytest.raises(InputError, match="model 'unet' has no blocks"):
        network.checkpoint_gradients()


def stripes(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Four 64x64 pictures with stripes `width` wide, upright and lying, in both phases; and their masks."""
    phase = torch.arange(64) // width % 2
    upright = phase.expand(64, 64)
    masks = torch.stack([upright, 1 - upright, upright.T, 1 - upright.T])
    dark = torch.randint(0, 60, (4, 64, 64, 3), generator=torch.Generator().manual_seed(1))
    return (masks[..., None] * 150 + dark).to(torch.uint8), masks


STEPS = 100
"""Of Adam at 3e-3, within which each small variant learns four pictures by heart; most need 20 to 30."""


def foreground_iou(network: Network, pictures: torch.Tensor, masks: torch.Tensor) -> float:
    """Of class 1, over all pixels."""
    network.eval()
    with torch.inference_mode():
        found = network.logits(pictures).argmax(1) == 1
    network.train()
    return float((found & (masks == 1)).sum() / (found | (masks == 1)).sum())


@slow_but("linknet", "dpt", "fcn8s", "deeplabv2", "setr_naive", "bisenetv2")
def test_learns_four_pictures_by_heart(name: str) -> None:
    # one map cell of fcn32s is 32 pixels: half that is beyond it
    pictures, masks = stripes(32 if name == "fcn32s" else 16)
    network = build_small(name, dropout=0.0).train()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    reached = 0.0
    for step in itertools.count(1):
        logits, *others = every_logits(network, pictures)
        loss = F.cross_entropy(logits, masks)
        for other in others:
            loss = loss + network.auxiliary_weight * F.cross_entropy(other, masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 10 == 0:
            reached = foreground_iou(network, pictures, masks)
            if reached > 0.95 or step >= STEPS:
                break
    assert reached > 0.95


@pytest.mark.slow
@every_model
def test_exports_with_batch_and_size_open(name: str, tmp_path: Path) -> None:
    network = build_small(name).train()
    with torch.inference_mode():
        network.logits(noise(2, 64, 64))  # batch norm with other statistics than the initial ones
    network.eval()
    # export_onnx itself compares batches 1 to 3 and sizes 64x64 and 261x241, and raises where they differ
    parity = export_onnx(network, spec_of(name), tmp_path / "m.onnx")
    assert parity.pixels == 64 * 64 * 4 + 2 * 261 * 241
    assert parity.largest_logit > 0
    assert parity.relative <= TOLERANCE
    whole = WholeModel(network, spec_of(name).label_map, spec_of(name).geometry)
    assert compare(whole, session_function(tmp_path / "m.onnx"), [(4, (131, 75))]).relative <= TOLERANCE
    loaded, spec = network_from_file(tmp_path / "m.onnx")
    assert spec == spec_of(name)
    with torch.inference_mode():  # auxiliary heads and counters of batches are not in the file
        torch.testing.assert_close(loaded.logits(noise(2, 64, 64)), network.logits(noise(2, 64, 64)))
    assert_backends_agree(tmp_path / "m.onnx", network)


@pytest.mark.slow
def test_a_network_that_asks_for_the_batch_is_cut_out_of_its_file(tmp_path: Path) -> None:
    network = build_small("pspnet").eval()  # its pooling takes the batch from the shape of what the user gives
    export_onnx(network, spec_of("pspnet"), tmp_path / "m.onnx")
    assert_backends_agree(tmp_path / "m.onnx", network)
