"""Backends run a model file on pictures; one interface, several runtimes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.backends.base import Backend, Probabilities
from lanecli.registry import Registry
from lanecli.shipped import find_model

BACKENDS: Registry[type[Backend]] = Registry("backend")
BACKENDS.add(
    "openvino", "lanecli.inference.backends.openvino:OpenVinoBackend", summary="Intel's runtime; quickest on x86 CPUs"
)
BACKENDS.add(
    "onnxruntime", "lanecli.inference.backends.onnxruntime:OnnxRuntimeBackend", summary="ONNX Runtime; CPU and CUDA"
)
BACKENDS.add("torch", "lanecli.inference.backends.torch:TorchBackend", summary="PyTorch; CPU and CUDA, any model file")

_MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def installed(backend: str) -> bool:
    """Whether the backend's runtime can be imported here."""
    return importlib.util.find_spec(_MODULES[backend]) is not None


def pick_backend(name: str, path: Path, device: str) -> str:
    """The backend to run `path` with: the one named, or for ``auto`` the quickest that can.

    ``auto`` takes torch for .safetensors files and CUDA devices, else OpenVINO, else ONNX Runtime.
    """
    if name != "auto":
        return BACKENDS.canonical(name)
    if path.suffix == ".safetensors" or device.startswith("cuda"):
        return "torch"
    return next((b for b in ("openvino", "onnxruntime") if installed(b)), "torch")


def open_backend(
    model: str, *, backend: str = "auto", precision: str = "auto", device: str = "auto", size: Size | None = None
) -> Backend:
    """Load MODEL on a backend.

    Args:
        model: a model file, run directory or shipped name.
        backend: a registered name, or auto.
        precision: auto, fp32, bf16, fp16 or int8; auto takes bf16 where the hardware computes in it.
        device: auto, cpu, cuda or cuda:N.
        size: (width, height) the network will see; None is the model's own.

    Raises:
        InputError: anything of these is unknown or does not go together.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; there are: {', '.join(PRECISIONS)}")
    path = find_model(model, prefer=".safetensors" if backend == "torch" else ".onnx")
    name = pick_backend(backend, path, device)
    if not installed(name):
        raise InputError(f"backend '{name}' is not installed: pip install {_MODULES[name]}")
    if name != "torch" and path.suffix != ".onnx":
        raise InputError(f"backend '{name}' runs .onnx files: export one with 'lanecli export onnx {model}'")
    return BACKENDS.get(name)(path, precision=precision, device=device, size=size)


__all__ = ["BACKENDS", "PRECISIONS", "Backend", "Probabilities", "installed", "open_backend", "pick_backend"]
