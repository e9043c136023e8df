"""Losses by name and argument: what is accepted, what is refused and how the refusal reads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from loss_cases import MODES, NAMES, Term, make, ranges

from lanecli.errors import InputError
from lanecli.losses import LOSSES, build_loss
from lanecli.losses.combined import arguments
from lanecli.sections import LossTerm


def test_names_and_aliases() -> None:
    contract = "nll ce weighted_ce balanced_ce bce focal dice dice_squared jaccard tversky focal_tversky lovasz mcc kl"
    assert {*contract.split(), "ohem", "boundary"} <= {*LOSSES}  # more may be added
    aliases = {"cross_entropy": "ce", "Cross-Entropy": "ce", "binary_ce": "bce", "iou": "jaccard", "wce": "weighted_ce"}
    assert {alias: LOSSES.canonical(alias) for alias in aliases} == aliases


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_described(name: str) -> None:
    entry = LOSSES.entry(name)
    assert entry.summary
    assert entry.facts["paper"]
    assert 1950 < entry.facts["year"] < 2030


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_tried(name: str) -> None:
    tried = {argument for mode in MODES for argument in ranges(name, mode, 2)} | {"absent", "teacher"}
    missing = set(arguments(LOSSES.get(name))) - tried
    assert not missing, f"give the values of {missing} in ranges() of loss_cases.py, or no test ever sets them"


def test_listing_imports_no_torch() -> None:
    code = "import sys; from lanecli.losses import LOSSES; list(LOSSES); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_building_all_imports_no_smp() -> None:
    code = (
        "import sys; from lanecli.losses import LOSSES; [LOSSES.get(n) for n in LOSSES]; "
        "print([m for m in ('segmentation_models_pytorch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_terms_of_the_configuration() -> None:
    terms = [LossTerm(name="cross-entropy"), LossTerm(name="tversky", weight=0.5, args={"beta": 0.8})]
    loss = build_loss(terms, classes=3, mode="multiclass")
    _, terms = loss.with_terms(torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=torch.uint8))
    assert list(terms) == ["ce", "tversky"]
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_weights_by_name_reach_the_loss() -> None:
    logits, target = torch.randn(1, 2, 3, 4), torch.randint(0, 2, (1, 3, 4))
    named = make("ce", "multiclass", args={"class_weights": "inverse"}, pixel_counts=[900, 100])
    given = make("ce", "multiclass", args={"class_weights": [1, 9]})
    torch.testing.assert_close(named(logits, target), given(logits, target))


def test_arguments_are_listed_with_their_defaults() -> None:
    assert arguments(LOSSES.get("focal")) == {"gamma": 2.0, "alpha": None, "class_weights": None}
    assert {"gamma", "alpha", "beta", "smooth", "classes", "absent"} <= set(arguments(LOSSES.get("focal_tversky")))
    assert set(arguments(LOSSES.get("mcc"))) == {"classes", "per_image", "class_weights"}


REFUSED: list[tuple[list[Term], dict[str, Any], str]] = [
    ([], {}, "at least one term"),
    ([Term("dise")], {}, "unknown loss 'dise' (did you mean 'dice'?)"),
    ([Term("dice", 1.0, {"smoth": 1})], {}, "loss 'dice' has no argument 'smoth' (did you mean 'smooth'?)"),
    ([Term("focal_tversky", 1.0, {"btea": 1})], {}, "(did you mean 'beta'?)"),
    ([Term("dice", 1.0, {"task": 1})], {}, "loss 'dice' has no argument 'task'"),
    ([Term("dice", -1.0)], {}, "weight must be a number at least 0"),
    ([Term("dice", float("nan"))], {}, "weight must be a number at least 0"),
    ([Term("dice", 1.0, {"smooth": -1})], {}, "loss 'dice': smooth must be a number at least 0, not -1"),
    ([Term("dice", 1.0, {"smooth": "much"})], {}, "smooth must be a number"),
    ([Term("dice", 1.0, {"per_image": "yes"})], {}, "per_image must be true or false"),
    ([Term("dice", 1.0, {"classes": [3]})], {}, "a list of ids 0..2"),
    ([Term("dice", 1.0, {"classes": "forground"})], {}, "classes must be 'foreground'"),
    ([Term("dice", 1.0, {"absent": "skipp"})], {}, "(did you mean 'skip'?)"),
    ([Term("dice", 1.0, {"absent": "count"})], {}, "needs smooth above 0"),
    ([Term("dice", 1.0, {"class_weights": [1, 0, 0]})], {}, "0 for every class in the mean"),
    ([Term("dice", 1.0, {"class_weights": [1, 1]})], {"mode": "binary", "classes": 2}, "there is one region"),
    ([Term("tversky", 1.0, {"alpha": 2})], {}, "alpha without beta"),
    ([Term("tversky", 1.0, {"alpha": 0, "beta": 0})], {}, "both 0"),
    ([Term("focal_tversky", 1.0, {"gamma": 0})], {}, "gamma must be a number above 0"),
    ([Term("ce", 1.0, {"label_smoothing": 1})], {}, "label_smoothing"),
    ([Term("ce", 1.0, {"class_weights": [1, 2]})], {}, "a list of 3 numbers"),
    ([Term("ce", 1.0, {"class_weights": [1, 2, -1]})], {}, "numbers from 0"),
    ([Term("ce", 1.0, {"class_weights": "inverse"})], {}, "the data set has none"),
    ([Term("ce", 1.0, {"class_weights": "invers"})], {"pixel_counts": [1, 2, 3]}, "(did you mean 'inverse'?)"),
    ([Term("ce")], {"pixel_counts": [1, 2]}, "pixel counts of 2 classes"),
    ([Term("focal", 1.0, {"alpha": 1.5})], {}, "alpha must be a number at least 0 and at most 1"),
    ([Term("focal", 1.0, {"alpha": 0.5})], {"background": None}, "no background"),
    ([Term("weighted_ce")], {"background": None}, "no background"),
    ([Term("balanced_ce")], {"background": None}, "no background"),
    ([Term("nll", 1.0, {"reduction": "avg"})], {}, "one of mean, sum"),
    ([Term("kl", 1.0, {"temperature": 0})], {}, "temperature"),
    ([Term("kl", 1.0, {"teacher": 3})], {}, "name or path of a model"),
    ([Term("ohem", 1.0, {"min_kept": 2})], {}, "min_kept"),
    ([Term("boundary", 1.0, {"sigma": 100})], {}, "sigma"),
    ([Term("ce")], {"mode": "multiclas"}, "did you mean 'multiclass'?"),
    ([Term("ce")], {"classes": 1}, "needs 2 to 254 classes"),
    ([Term("ce")], {"background": 3}, "background 3"),
]


@pytest.mark.parametrize(("terms", "options", "message"), REFUSED)
def test_refusals_name_what_is_wrong(terms: list[Term], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build_loss(terms, **{"classes": 3, "mode": "multiclass", **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_kl_without_teacher_says_what_to_do() -> None:
    loss = make("kl", "multiclass", args={"teacher": "lane-small"})
    assert loss.needs_teacher
    assert loss.teacher == "lane-small"
    with pytest.raises(InputError, match="teacher: MODEL"):
        loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert not make("ce", "multiclass").needs_teacher


def test_two_teachers_are_refused() -> None:
    terms = [Term("kl", 1.0, {"teacher": name}) for name in ("a", "b")]
    with pytest.raises(InputError, match="one teacher"):
        build_loss(terms, classes=2, mode="multiclass")


@pytest.mark.parametrize(
    ("mode", "logits", "target", "message"),
    [
        ("multiclass", (1, 3, 2, 2), torch.zeros(1, 2, 2).long(), "needs floating-point logits (N, 2, H, W)"),
        ("multiclass", (1, 2, 2, 2), torch.zeros(1, 2, 3).long(), "needs a target (1, 2, 2)"),
        ("multiclass", (1, 2, 2, 2), torch.zeros(1, 2, 2), "integer train ids"),
        ("multiclass", (1, 2, 1, 2), torch.tensor([[[0, 7]]]), "the target holds 7 (1 wrong pixels in all)"),
        ("multiclass", (1, 2, 1, 2), torch.tensor([[[-1, 0]]]), "the target holds -1"),
        ("multilabel", (1, 2, 2, 2), torch.zeros(1, 2, 2).long(), "needs a target (1, 2, 2, 2)"),
        ("binary", (1, 1, 1, 2), torch.tensor([[[2, 0]]]), "the target holds 2"),
        ("binary", (1, 1, 1, 2), torch.tensor([[[0.5, 0.0]]]), "the target holds 0.5"),
    ],
)
def test_batches_that_do_not_fit(mode: str, logits: tuple[int, ...], target: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError) as caught:
        make("ce", mode)(torch.zeros(logits), target)
    assert message in str(caught.value)


def test_integer_and_float_targets_of_any_type_agree() -> None:
    logits, target = torch.randn(1, 1, 3, 4), torch.randint(0, 2, (1, 3, 4))
    expected = make("ce", "binary")(logits, target)
    for kind in (torch.uint8, torch.int32, torch.float32, torch.bool):
        assert torch.equal(make("ce", "binary")(logits, target.to(kind)), expected)
    assert torch.equal(make("ce", "binary")(logits, target.unsqueeze(1)), expected)
    assert torch.equal(make("ce", "binary", classes=1)(logits, target), expected)
