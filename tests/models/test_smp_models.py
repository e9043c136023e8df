"""One contract over every registered model: any size in, logits of that size out, saved and loaded with equal bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network, load_weights, network_from_file
from lanecli.models.registry import MODELS

THREE = LabelMap("three", tuple(LabelClass(name, (0, 0, i)) for i, name in enumerate("abc")))
ENCODERS = {"segformer": "mit_b0", "dpt": "tu-vit_tiny_patch16_224"}
SMP = [name for name in MODELS if MODELS.entry(name).facts["family"] == "smp"]
SLOW = {"dpt", "upernet", "unetplusplus", "manet", "deeplabv3"}


def spec_of(name: str) -> ModelSpec:
    """A three-class specification with a small encoder."""
    return ModelSpec(name, {"encoder": ENCODERS.get(name, "resnet18")}, THREE, Geometry((64, 64)))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in SMP])
def test_model_contract(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(spec_of(name))
    pictures = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    logits = network(pictures)
    assert logits.shape == (2, 3, 64, 96)
    logits.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    network.eval()
    with torch.inference_mode():
        odd = network(pictures[:1, :61, :91])
        assert odd.shape == (1, 3, 61, 91)
        assert torch.isfinite(odd).all()
        write_safetensors(tmp_path / "m.safetensors", network.state_dict(), spec_of(name))
        loaded, spec = network_from_file(tmp_path / "m.safetensors")
        assert spec == spec_of(name)
        assert torch.equal(loaded(pictures), network(pictures))


def test_normalisation_is_in_the_network() -> None:
    network = build_network(spec_of("linknet")).eval()
    seen: list[torch.Tensor] = []
    network.architecture.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach()))
    network(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8))
    expected = [(1 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    torch.testing.assert_close(seen[0][0, :, 5, 7], torch.tensor(expected))


def test_encoder_weights_from_a_file_by_name_and_in_order(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(1)
    donor = build_network(spec_of("linknet")).architecture.model.encoder.state_dict()
    save_file(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in donor.items()}, tmp_path / "named.safetensors"
    )
    torch.save({f"other.{i}": v for i, v in enumerate(donor.values())}, tmp_path / "ordered.pth")
    for file in ("named.safetensors", "ordered.pth"):
        torch.manual_seed(2)
        network = build_network(spec_of("linknet"), str(tmp_path / file))
        for key, value in network.architecture.model.encoder.state_dict().items():
            assert torch.equal(value, donor[key]), key


def test_encoder_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="does not fit the encoder"):
        build_network(spec_of("linknet"), str(tmp_path / "odd.safetensors"))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(InputError, match="not readable"):
        build_network(spec_of("linknet"), str(tmp_path / "text.pth"))


def test_weights_with_code_in_them_are_refused(tmp_path: Path) -> None:
    import os

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"conv1.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(InputError, match="not readable"):
        build_network(spec_of("linknet"), str(tmp_path / "harmful.pth"))
    assert not (tmp_path / "harm").exists()


def test_unknown_arguments_name_the_nearest() -> None:
    spec = ModelSpec("unet", {"encoder": "resnet18", "decoder_chanels": [1]}, THREE, Geometry((64, 64)))
    with pytest.raises(InputError, match="decoder_channels"):
        build_network(spec)


def test_starting_from_another_set_of_classes_keeps_all_but_the_head(tmp_path: Path) -> None:
    two = LabelMap("two", THREE.classes[:2])
    spec = ModelSpec("linknet", {"encoder": "resnet18"}, two, Geometry((64, 64)))
    torch.manual_seed(5)
    donor = build_network(spec)
    write_safetensors(tmp_path / "two.safetensors", donor.state_dict(), spec)
    network = build_network(spec_of("linknet"))
    with pytest.raises(InputError, match="segmentation_head"):
        load_weights(network, tmp_path / "two.safetensors")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_weights(network, tmp_path / "two.safetensors", (2, 3))
    theirs = donor.state_dict()
    fresh = [name for name, tensor in network.state_dict().items() if tensor.shape != theirs[name].shape]
    assert fresh
    assert all("segmentation_head" in name for name in fresh)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name in fresh else theirs[name]), name


def test_a_file_without_a_weight_of_the_network_is_refused(tmp_path: Path) -> None:
    from samples import brightness_model

    with pytest.raises(InputError, match="holds no weight"):
        load_weights(build_network(spec_of("linknet")), brightness_model(tmp_path / "b.onnx"))
