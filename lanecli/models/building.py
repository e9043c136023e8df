"""Checks and computations that the builders of architectures share."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator

from lanecli.errors import InputError, did_you_mean
from lanecli.models.pretrained import fetching


def refuse_unknown(model: str, arguments: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError, which names the nearest known one, if `model` does not have one of the `arguments`."""
    for name in arguments:
        if name not in known:
            raise InputError(f"model '{model}' takes no argument '{name}'{did_you_mean(name, known)}")


def refuse_encoder(model: str, encoder: str | None, encoder_weights: str | None) -> None:
    """Raise InputError if an encoder or its weights are given for a model that has its own encoder."""
    if encoder is not None:
        raise InputError(f"model '{model}' has its own encoder: leave out model.encoder ('{encoder}')")
    if encoder_weights is not None:
        raise InputError(f"model '{model}' has its own encoder: leave out model.encoder_weights ('{encoder_weights}')")


def scaled(channels: int, width: float, multiple: int = 4) -> int:
    """Return `channels` times `width`, rounded to a positive multiple of `multiple`. InputError if width <= 0."""
    if not width > 0:
        raise InputError(f"model.width must be positive, not {width}")
    return max(multiple, round(channels * width / multiple) * multiple)


def is_weight_file(encoder_weights: str | None) -> bool:
    """Whether `encoder_weights` is a file and not the name of published weights."""
    return encoder_weights is not None and encoder_weights.endswith((".safetensors", ".pth", ".pt"))


def published_weights(encoder: str, encoder_weights: str | None) -> str | bool | None:
    """Return smp's argument for the weights: a name, True for timm's (whose set the encoder names), else None."""
    if encoder_weights is None or is_weight_file(encoder_weights):
        return None
    return True if encoder.startswith("tu-") else encoder_weights


@contextlib.contextmanager
def encoder_errors(model: str, encoder: str, encoder_weights: str | None) -> Iterator[None]:
    """Turn the errors of building an smp or timm `encoder`, and of fetching its weights, into an InputError."""
    try:
        with fetching(encoder, None if is_weight_file(encoder_weights) else encoder_weights):
            yield
    except InputError:
        raise
    except Exception as error:  # timm and smp raise errors of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model '{model}' cannot be built with encoder '{encoder}': {reason}") from error
