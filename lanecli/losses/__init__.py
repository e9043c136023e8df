"""The loss registry and how a weighted sum of losses is built. Listing it imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lanecli.labels import IGNORE_ID
from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.losses.base import Loss
    from lanecli.losses.combined import CombinedLoss

LOSSES: Registry[type[Loss]] = Registry("loss")
"""Names to classes of :class:`lanecli.losses.base.Loss`; `paper` and `year` are among the facts of each entry."""

LOSSES.add(
    "nll",
    "lanecli.losses.entropy:NegativeLogLikelihood",
    summary="negative log-likelihood of the right class (per class and pixel where labels overlap)",
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
    summary="cross-entropy with the foreground weighed beta to 1",
    aliases=("wce", "weighted_cross_entropy"),
    paper="Jadon, A survey of loss functions for semantic segmentation",
    year=2020,
)
LOSSES.add(
    "balanced_ce",
    "lanecli.losses.entropy:BalancedCrossEntropy",
    summary="cross-entropy with foreground beta, background 1 - beta; beta is the background's share unless given",
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
    summary="cross-entropy with easy pixels faded out by (1 - p)^gamma",
    aliases=("focal_loss",),
    paper="Lin et al., Focal Loss for Dense Object Detection",
    year=2017,
)
LOSSES.add(
    "dice",
    "lanecli.losses.overlap:Dice",
    summary="1 - soft Dice over the batch, foreground classes that are present",
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
    summary="Dice with false positives weighed alpha and false negatives beta",
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
    summary="Lovasz extension of the Jaccard loss over sorted errors",
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
    summary="divergence from a teacher's distribution at a temperature",
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
    summary="cross-entropy with pixels near a class border weighed up",
    aliases=("boundary_ce", "boundary_aware"),
    paper="Ronneberger et al., U-Net",
    year=2015,
)


class Term(Protocol):
    """What :func:`build_loss` reads of a term; :class:`lanecli.config.LossTerm` is one."""

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
    """The weighted sum of `terms` as one module.

    ``loss(logits, target)`` is a scalar (float32; float64 for float64 logits), the weighted sum;
    ``loss.with_terms(logits, target)`` gives each term's own value before its weight besides. Everything is computed
    in float32 whatever autocast says. Where ``loss.needs_teacher`` (a term `kl`), it is
    ``loss(logits, target, teacher=teacher_logits)``; ``loss.teacher`` is the model the term's `teacher` names, or None.

    Args:
        terms: losses with their weight and arguments.
        classes: number of classes; channels of the logits, but in binary mode, where there is one channel.
        mode: ``"multiclass"`` (softmax; target (N, H, W) train ids), ``"multilabel"`` (sigmoid; target (N, C, H, W)
            of 0 and 1) or ``"binary"`` (sigmoid; logits (N, 1, H, W), target (N, H, W) of 0 and 1).
        ignore_id: target value of pixels that do not count, in every mode.
        pixel_counts: pixels of each class in the training data, for class weights asked for by name; two numbers
            (negative, positive) in binary mode.
        background: train id that overlap losses leave out of their mean in multiclass mode; None: there is none.

    Raises:
        InputError: an unknown loss or argument (the nearest is named), or a value out of range.
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
