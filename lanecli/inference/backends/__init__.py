"""Backends run a model file on pictures: one interface, several runtimes."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from lanecli.errors import InputError
from lanecli.inference.backends.base import Answer, Backend, Load
from lanecli.inference.backends.trim import ENSEMBLE
from lanecli.modelfile import read_spec
from lanecli.registry import Registry
from lanecli.shipped import find_model

BACKENDS: Registry[type[Backend]] = Registry("backend")
"""Facts: ``module``, the package that must be installed; ``files``, suffixes of the model files it runs."""
BACKENDS.add(
    "openvino",
    "lanecli.inference.backends.openvino:OpenVinoBackend",
    summary="Intel's runtime; fastest on x86 CPUs",
    module="openvino",
    files=(".onnx",),
)
BACKENDS.add(
    "onnxruntime",
    "lanecli.inference.backends.onnxruntime:OnnxRuntimeBackend",
    summary="ONNX Runtime; CPU and CUDA",
    module="onnxruntime",
    files=(".onnx",),
)
BACKENDS.add(
    "torch",
    "lanecli.inference.backends.torch:TorchBackend",
    summary="PyTorch; CPU and CUDA, any model file",
    module="torch",
    files=(".onnx", ".safetensors"),
)

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def installed(backend: str) -> bool:
    """Return whether the backend's runtime is installed."""
    module = BACKENDS.entry(backend).facts.get("module")
    return module is None or importlib.util.find_spec(module) is not None


def pick_backend(name: str, path: Path, device: str, samples: bool = False) -> str:
    """Return the name of the backend to run `path` with: `name`, or for ``auto`` the fastest one that can.

    ``auto`` takes torch for .safetensors files, CUDA devices and dropout; else OpenVINO; else ONNX Runtime.
    """
    if name != "auto":
        return BACKENDS.canonical(name)
    if path.suffix == ".safetensors" or device.startswith("cuda") or samples:
        return "torch"
    return next((b for b in ("openvino", "onnxruntime") if installed(b)), "torch")


def open_backend(
    model: str, *, backend: str = "auto", samples: bool = False, load: Load | None = None, **settings: object
) -> Backend:
    """Load MODEL on a backend.

    Args:
        model: a model file, run directory or shipped name.
        backend: a registered name, or auto.
        samples: whether dropout will be sampled.
        load: how to load it; its path is replaced by that of `model`.
        settings: fields of :class:`Load`, in place of `load`.

    Raises:
        InputError: one of these is unknown, or they do not go together.

    Example:
        >>> import numpy as np
        >>> backend = open_backend("lane", precision="fp32", size=(320, 192))
        >>> backend.infer(np.zeros((192, 320, 3), np.uint8)).shape
        (1, 192, 320)
    """
    load = load or Load(Path(), **settings)  # type: ignore[arg-type]
    if load.precision not in PRECISIONS:
        raise InputError(f"unknown precision '{load.precision}'; there are: {', '.join(PRECISIONS)}")
    path = find_model(model, prefer=".safetensors" if backend == "torch" or samples else ".onnx")
    if path.suffix == ".onnx" and read_spec(path).architecture == ENSEMBLE:
        if samples or backend not in ("auto", "onnxruntime"):
            raise InputError(f"{path} holds several models and runs only on onnxruntime: use the ensemble's YAML file")
        from lanecli.inference.backends.whole import WholeFileBackend

        return WholeFileBackend(replace(load, path=path))
    name = pick_backend(backend, path, load.device, samples)
    facts = BACKENDS.entry(name).facts
    if not installed(name):
        raise InputError(f"backend '{name}' is not installed: pip install {facts['module']}")
    if path.suffix not in facts.get("files", (path.suffix,)):
        raise InputError(f"backend '{name}' runs .onnx files: export one with 'lanecli export onnx {model}'")
    return BACKENDS.get(name)(replace(load, path=path))


__all__ = ["BACKENDS", "PRECISIONS", "Answer", "Backend", "Load", "installed", "open_backend", "pick_backend"]
