"""The sections of an experiment's configuration, with their keys, types, ranges and defaults."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A section of the configuration. Unknown keys are errors, and values do not change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """`model`: the model that is trained."""

    name: str = "linknet"
    encoder: str | None = None
    """The encoder; None takes the default of the architecture."""
    encoder_weights: str | None = None
    """Weights of the encoder: a file, or a name whose weights are downloaded; None starts from random weights."""
    weights: str | None = None
    """A model file or shipped model from which training starts; with other classes the head is not taken from it."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout rate, in training and for Monte-Carlo dropout; None takes the default of the architecture."""
    spectral_norm: bool | float = Field(False, ge=0)
    """Divide the encoder's weights by their largest singular value, so that feature density detects new input. A number
    such as 3 divides only weights above it, down to it."""
    args: dict[str, Any] = Field(default_factory=dict)


class GeometryConfig(Section):
    """`data.geometry`: how pictures are cropped and resized for the network."""

    size: tuple[int, int] = (576, 320)
    crop: tuple[float, float, float, float] = (0, 0, 0, 0)
    fit: Literal["stretch", "pad"] = "stretch"

    @field_validator("size", mode="before")
    @classmethod
    def _width_by_height(cls, value: Any) -> Any:
        """``512x256`` is ``[512, 256]``."""
        match = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value) if isinstance(value, str) else None
        return (int(match[1]), int(match[2])) if match else value


class AugmentConfig(Section):
    """`data.augment`: random changes of training pictures; 0 turns a change off."""

    flip: float = Field(0.5, ge=0, le=1)
    """Probability of mirroring left to right."""
    scale: tuple[float, float] = (0.75, 1.6)
    """Range of the random zoom; above 1, a part of the picture fills the input of the network."""
    aspect: float = Field(0.15, ge=0, lt=1)
    rotate: float = Field(3.0, ge=0, le=180)
    """Largest rotation in degrees, in both directions."""
    shift: float = Field(0.1, ge=0, le=1)
    """Largest shift in both directions, as a share of the picture's side, beyond what the zoom leaves free."""
    perspective: float = Field(0.0, ge=0, lt=0.5)
    color: float = Field(0.35, ge=0, le=1)
    """Strength of the changes of brightness, contrast, saturation, hue, gamma and white balance."""
    blur: float = Field(0.15, ge=0, le=1)
    noise: float = Field(0.15, ge=0, le=1)
    cutout: float = Field(0.0, ge=0, le=1)
    repaint: float = Field(0.0, ge=0, le=1)
    """Probability of painting new lane lines on the road of a real picture, where old ones are partly removed."""

    @field_validator("scale")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be a range above 0, with the smaller zoom first")
        return value


class DataConfig(Section):
    """`data`: the training data; without a root, procedural road scenes are rendered while training."""

    root: list[str] = Field(default_factory=list)
    weights: list[float] | None = None
    """Share of each root in an epoch; with None every sample is drawn once."""
    split: str = "train"
    val_split: str = "val"
    geometry: GeometryConfig = Field(default_factory=GeometryConfig)
    augment: AugmentConfig | None = Field(default_factory=AugmentConfig)
    samples: int | None = Field(None, ge=1)
    """Samples per epoch; None draws every sample once (without a root, 2000 procedural scenes)."""
    sampler: Literal["uniform", "balanced", "rare"] = "uniform"
    """uniform: every sample once; balanced: all classes equally often; rare: samples with rare classes more often."""
    workers: int = Field(1, ge=0)
    fold: str | None = None
    """``2/5`` leaves out the second of five folds of the training split; groups stay whole if there are enough."""
    unlabelled: list[str] = Field(default_factory=list)
    """Folders of pictures without labels, which a teacher labels: `teacher`, or the averaged weights of the run."""
    unlabelled_share: float = Field(0.5, gt=0, lt=1)
    """Share of the samples of an epoch that come from `unlabelled`."""
    confidence: float = Field(0.8, ge=0.5, lt=1)
    """The least probability of a teacher's prediction that is used as a label."""

    @field_validator("fold")
    @classmethod
    def _fold(cls, value: str | None) -> str | None:
        if value is not None:
            number, _, count = value.partition("/")
            if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) and int(count) > 1):
                raise ValueError("must be a fold and the number of folds, such as 2/5")
        return value

    @field_validator("root", "unlabelled", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("weights")
    @classmethod
    def _shares(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and (min(value, default=0) < 0 or not sum(value) > 0):
            raise ValueError("shares must not be negative, and one must be above 0")
        return value


class LossTerm(Section):
    """One term of a weighted sum of losses."""

    name: str
    weight: float = 1.0
    args: dict[str, Any] = Field(default_factory=dict)


class OptimConfig(Section):
    """`optim`: the optimiser."""

    name: str = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    args: dict[str, Any] = Field(default_factory=dict)
    encoder_lr: float = Field(1.0, gt=0)
    """Factor of the learning rate for the encoder."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from each layer of the encoder to the layer below it."""
    freeze_encoder: bool = False
    """Do not change the weights of the encoder and the statistics of its normalisation."""


class ScheduleConfig(Section):
    """`schedule`: how the learning rate changes over the run."""

    name: str = "cosine"
    warmup: float = Field(0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly from zero."""
    args: dict[str, Any] = Field(default_factory=dict)


class BoostMemberConfig(Section):
    """A previous member of a boosted ensemble."""

    model: str
    weight: float


class TrainConfig(Section):
    """`train`: the training loop."""

    epochs: int = Field(10, ge=1)
    batch: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are accumulated for a step."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    clip: float | None = Field(1.0, gt=0)
    """The largest norm of the gradient; larger ones are scaled down."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the moving average of weights and statistics of batch norm that is validated and saved as the model."""
    seed: int = Field(0, ge=0)
    compile: bool = False
    """Compile the network, which takes time at the start. On a CPU this makes steps no faster (docs/training.md)."""
    checkpoint_gradients: bool = False
    """Compute the encoder's activations twice instead of keeping them: less memory, about a third more time."""
    bootstrap: int | None = Field(None, ge=0)
    """Seed with which the training samples are resampled with replacement (for bagging)."""
    weigh_errors_of: str | None = None
    """A model; pictures that it gets wrong are drawn more often (for boosting)."""
    boost: list[BoostMemberConfig] = Field(default_factory=list)
    """Previous members; pixels that they get wrong have larger weights. ``lanecli train --boosting N`` sets this."""
    best: str = "miou_foreground"
    """The validation score by which the best epoch is chosen, whose model is kept."""
    save_steps: int = Field(500, ge=1)
    """Steps between saves of the state within an epoch. The state is also saved at the end of each epoch."""
    sample_epochs: int = Field(5, ge=0)
    """Epochs between sheets of sample predictions; 0 draws none."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: each process has a copy of the network (ddp), or a shard of its weights (fsdp)."""
    sync_batchnorm: bool = True
    """Under torchrun: compute the statistics of batch norm over the pictures of all processes."""
    sync_loss: bool = True
    """Under torchrun: compute the loss over the pictures of all processes; otherwise it is the mean of their losses."""
