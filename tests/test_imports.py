"""What is imported when, and what may import what."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from samples import loaded, run_line

PACKAGE = Path(__file__).resolve().parents[1] / "lanecli"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "cv2", "numpy", "av", "onnx", "onnxruntime", "openvino", "matplotlib", "PIL", "torchvision")

# DESIGN.md, from the bottom up; a part may import its own layer and those below.
LAYERS = (
    (
        *(
            "errors",
            "interruption",
            "ownership",
            "registry",
            "hardware",
            "labels",
            "geometry",
            "config",
            "sections",
            "atomic",
        ),
        *("atomic", "overrides", "textfiles", "workers"),
    ),
    ("modelfile", "labelmaps", "shipped"),
    ("media", "draw", "losses", "models", "lanes", "postprocess"),
    ("data", "uncertainty", "metrics"),
    ("inference",),
    ("training",),
    ("bench", "export", "report"),
    ("cli",),
)
LEVEL = {part: number for number, layer in enumerate(LAYERS) for part in layer}


@pytest.mark.parametrize("line", [["--help"], ["--version"], ["train", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_heavy(line: list[str]) -> None:
    assert loaded(run_line(*line), HEAVY) == set()


def test_signals_are_answered_before_anything_is_imported() -> None:
    """Until then an interruption prints a traceback."""
    code = "import sys; before = set(sys.modules); from lanecli.cli import main; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    own = {"lanecli", "lanecli.cli", "lanecli.cli.quiet", "lanecli.interruption"}
    assert own <= set(done.stdout.split()) <= own | {"__future__", "atexit"}


@pytest.mark.parametrize(
    "kind",
    [
        "losses",
        "models",
        "backends",
        "optimisers",
    ],
)
def test_lists_import_none_of_what_they_list(kind: str) -> None:
    assert loaded(run_line("list", kind), ("torch", "onnxruntime", "openvino", "matplotlib")) == set()


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_prediction_with_an_exported_model_imports_no_torch(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = f"import lanecli.inference.run, lanecli.inference.backends.{backend}, lanecli.cli.predict, lanecli.shipped"
    unwanted = ("torch", "torchvision", "torchmetrics", "segmentation_models_pytorch", "timm", "matplotlib", "onnx")
    assert loaded(code, unwanted) == set()


def part_of(module: str) -> str | None:
    """``losses`` of ``lanecli.losses.focal``; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imports(path: Path) -> list[tuple[str, int]]:
    """Every ``lanecli…`` module a file imports, at any depth of it, with the line; type-only imports left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "lanecli":
                found += [(f"lanecli.{alias.name}", node.lineno) for alias in node.names]
            elif node.module:
                found.append((node.module, node.lineno))
    return [(name, line) for name, line in found if name.split(".")[0] == "lanecli"]


def test_imports_go_downward_only() -> None:
    upward = []
    for path in MODULES:
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in ("__init__", "__main__"):
            continue
        assert own in LEVEL, f"'{own}' has no layer in DESIGN.md"
        for name, line in imports(path):
            other = part_of(name)
            if other in LEVEL and LEVEL[other] > LEVEL[own]:
                upward.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not upward, "\n".join(upward)


def test_the_import_reader_sees_imports() -> None:
    names = [name for name, _ in imports(PACKAGE / "data" / "dataset.py")]
    assert "lanecli.geometry" in names
    assert "lanecli.data.synth" in names  # inside a function


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not [p for p in MODULES if p.stem in ("utils", "util", "helpers", "common", "misc")]
    assert not [
        p for p in PACKAGE.rglob("*") if p.is_dir() and p.name in ("utils", "util", "helpers", "common", "misc")
    ]


def test_nothing_runs_what_it_reads() -> None:
    """No pickle, no eval or exec, torch.load with `weights_only`, and YAML only by a safe loader."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            bad = [n for n in names if n.split(".")[0] in ("pickle", "cPickle", "dill", "marshal", "shelve", "joblib")]
            if isinstance(node, ast.Call):
                function = ast.unparse(node.func)
                if function in ("eval", "exec", "compile", "__import__", "yaml.unsafe_load", "os.system"):
                    bad.append(function)
                if function == "torch.load" and "weights_only=True" not in ast.unparse(node):
                    bad.append(function)
                if function == "yaml.load" and ast.unparse(node.args[1]) != "Loader":
                    bad.append(function)
                if function == "np.load" and any(k.arg == "allow_pickle" for k in node.keywords):
                    bad.append(function)
                if any(k.arg == "shell" for k in node.keywords):
                    bad.append(f"{function}(shell=)")
            found += [f"{path.relative_to(PACKAGE)}:{node.lineno} {name}" for name in bad]  # type: ignore[attr-defined]
    assert not found, "\n".join(found)


def test_the_own_yaml_loader_is_a_safe_one() -> None:
    import yaml

    from lanecli.overrides import Loader

    assert issubclass(Loader, yaml.SafeLoader)
    assert not issubclass(Loader, yaml.UnsafeLoader)
