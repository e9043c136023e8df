"""The registry of losses, and the function that builds a weighted sum of them. Listing the registry imports no torch.

Example:
    >>> import torch
    >>> from lanecli.config import load_config
    >>> terms = load_config(overrides=["loss=ce+dice"]).loss
    >>> loss = build_loss(terms, classes=2, mode="multiclass")
    >>> logits, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, dtype=torch.uint8)
    >>> total, values = loss.with_terms(logits, target)  # every probability is 1/2
    >>> {name: round(float(value), 3) for name, value in values.items()}
    {'ce': 0.693, 'dice': 0.333}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lanecli.labels import IGNORE_ID
from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.losses.base import Loss
    from lanecli.losses.combined import CombinedLoss

LOSSES: Registry[type[Loss]] = Registry("loss")
"""Every loss by its name: subclasses of :class:`lanecli.losses.base.Loss`. Each entry states its `paper` and `year`."""

LOSSES.add(
    "nll",
    "lanecli.losses.entropy:NegativeLogLikelihood",
    summary="negative log-likelihood of the true class (of every class and pixel where labels overlap)",
    aliases=("negative_log_likelihood",),
    paper="Bishop, Pattern Recognition and Machine Learning, section 4.3",
    year=2006,
)
LOSSES.add(
    "ce",
    "lanecli.losses.entropy:CrossEntropy",
    summary="cross-entropy with class weights and label smoothing",
    aliases=("cross_entropy", "categorical_cross_entropy", "softmax_ce"),
    paper="Szegedy et al., Rethinking the Inception Architecture (label smoothing)",
    year=2016,
)
LOSSES.add(
    "weighted_ce",
    "lanecli.losses.entropy:WeightedCrossEntropy",
    summary="cross-entropy in which a foreground pixel has weight beta and a background pixel weight 1",
    aliases=("wce", "weighted_cross_entropy"),
    paper="Jadon, A survey of loss functions for semantic segmentation",
    year=2020,
)
LOSSES.add(
    "balanced_ce",
    "lanecli.losses.entropy:BalancedCrossEntropy",
    summary="cross-entropy with weights beta (foreground) and 1 - beta; beta defaults to the background's share",
    aliases=("balanced_cross_entropy",),
    paper="Xie and Tu, Holistically-Nested Edge Detection",
    year=2015,
)
LOSSES.add(
    "bce",
    "lanecli.losses.entropy:BinaryCrossEntropy",
    summary="sigmoid cross-entropy of every class against the rest",
    aliases=("binary_ce", "binary_cross_entropy", "sigmoid_ce"),
    paper="Bishop, Pattern Recognition and Machine Learning, section 4.3",
    year=2006,
)
LOSSES.add(
    "focal",
    "lanecli.losses.focal:Focal",
    summary="cross-entropy in which easy pixels count less, by the factor (1 - p)^gamma",
    aliases=("focal_loss",),
    paper="Lin et al., Focal Loss for Dense Object Detection",
    year=2017,
)
LOSSES.add(
    "dice",
    "lanecli.losses.overlap:Dice",
    summary="1 - soft Dice over the batch, averaged over the foreground classes that are present",
    aliases=("dice_linear", "soft_dice", "dice_loss"),
    paper="Drozdzal et al., The Importance of Skip Connections in Biomedical Image Segmentation",
    year=2016,
)
LOSSES.add(
    "dice_squared",
    "lanecli.losses.overlap:DiceSquared",
    summary="1 - soft Dice with squares in the denominator",
    aliases=("squared_dice", "vnet_dice"),
    paper="Milletari et al., V-Net",
    year=2016,
)
LOSSES.add(
    "jaccard",
    "lanecli.losses.overlap:Jaccard",
    summary="1 - soft intersection over union",
    aliases=("iou", "soft_iou"),
    paper="Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks",
    year=2016,
)
LOSSES.add(
    "tversky",
    "lanecli.losses.overlap:Tversky",
    summary="Dice in which false positives have weight alpha and false negatives weight beta",
    paper="Salehi et al., Tversky loss function for image segmentation",
    year=2017,
)
LOSSES.add(
    "focal_tversky",
    "lanecli.losses.overlap:FocalTversky",
    summary="Tversky loss to the power 1 / gamma",
    paper="Abraham and Khan, A Novel Focal Tversky Loss Function",
    year=2019,
)
LOSSES.add(
    "lovasz",
    "lanecli.losses.lovasz:Lovasz",
    summary="Lovasz extension of the Jaccard loss, over the sorted errors",
    aliases=("lovasz_softmax",),
    paper="Berman et al., The Lovasz-Softmax loss",
    year=2018,
)
LOSSES.add(
    "mcc",
    "lanecli.losses.mcc:Mcc",
    summary="1 - soft Matthews correlation coefficient",
    aliases=("matthews",),
    paper="Abhishek and Hamarneh, Matthews Correlation Coefficient Loss for Deep Convolutional Networks",
    year=2021,
)
LOSSES.add(
    "kl",
    "lanecli.losses.distillation:KullbackLeibler",
    summary="Kullback-Leibler divergence from a teacher's distribution, at a temperature",
    aliases=("kl_div", "kl_divergence", "distillation"),
    paper="Hinton et al., Distilling the Knowledge in a Neural Network",
    year=2015,
)
LOSSES.add(
    "ohem",
    "lanecli.losses.mining:HardExampleMining",
    summary="cross-entropy of the hardest pixels only",
    aliases=("ohem_ce", "hard_example_mining"),
    paper="Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining",
    year=2016,
)
LOSSES.add(
    "boundary",
    "lanecli.losses.boundary:BoundaryCrossEntropy",
    summary="cross-entropy with larger weights for pixels near a class border",
    aliases=("boundary_ce", "boundary_aware"),
    paper="Ronneberger et al., U-Net",
    year=2015,
)


class Term(Protocol):
    """The attributes that :func:`build_loss` reads from a term; :class:`lanecli.sections.LossTerm` has them."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def args(self) -> Mapping[str, Any]: ...


def build_loss(
    terms: Sequence[Term],
    *,
    classes: int,
    mode: str,
    ignore_id: int = IGNORE_ID,
    pixel_counts: Sequence[int] | None = None,
    background: int | None = 0,
) -> CombinedLoss:
    """Build the weighted sum of `terms` as one module.

    ``loss(logits, target)`` returns the weighted sum, a scalar in float32 (in float64 for float64 logits);
    ``loss.with_terms(logits, target)`` also returns the value of each term before its weight. Everything is computed
    in float32, even under autocast. Where ``loss.needs_teacher`` is true (there is a `kl` term), call
    ``loss(logits, target, teacher=teacher_logits)``; ``loss.teacher`` is the model named by the argument `teacher` of
    that term, or None.

    Args:
        terms: the losses, with their weights and arguments.
        classes: number of classes. The logits have one channel per class, or a single channel in binary mode.
        mode: ``"multiclass"`` (softmax; target (N, H, W) of train ids), ``"multilabel"`` (sigmoid; target (N, C, H, W)
            of 0 and 1) or ``"binary"`` (sigmoid; logits (N, 1, H, W), target (N, H, W) of 0 and 1).
        ignore_id: the target value of pixels that do not count, in every mode.
        pixel_counts: number of pixels of each class in the training data, which class weights given by name need;
            two numbers (negative, positive) in binary mode.
        background: the train id that overlap losses leave out of their mean in multiclass mode, or None where the
            classes have no background.

    Raises:
        InputError: a loss or argument is unknown (the message names the nearest one), or a value is out of range.
    """
    from lanecli.losses.combined import build

    return build(
        terms,
        classes=classes,
        mode=mode,
        ignore_id=ignore_id,
        pixel_counts=pixel_counts,
        background=background,
    )
