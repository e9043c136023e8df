"""What the architectures written here check and compute alike before they are built."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator

from lanecli.errors import InputError, nearest


def refuse_unknown(model: str, arguments: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError, naming the nearest known one, when `model` does not take one of `arguments`."""
    for name in arguments:
        if name not in known:
            raise InputError(f"model '{model}' takes no argument '{name}'{nearest(name, known)}")


def refuse_encoder(model: str, encoder: str | None, encoder_weights: str | None) -> None:
    """Raise InputError when an encoder or its weights are asked of a model that has its own."""
    if encoder is not None:
        raise InputError(f"model '{model}' has its own encoder: leave out model.encoder ('{encoder}')")
    if encoder_weights is not None:
        raise InputError(f"model '{model}' has its own encoder: leave out model.encoder_weights ('{encoder_weights}')")


def scaled(channels: int, width: float, multiple: int = 4) -> int:
    """`channels` times `width`, rounded to a positive multiple of `multiple`. Raises InputError for width <= 0."""
    if not width > 0:
        raise InputError(f"model.width must be positive, not {width}")
    return max(multiple, round(channels * width / multiple) * multiple)


def is_weight_file(encoder_weights: str | None) -> bool:
    """Whether the encoder's weights are asked for by file, not by name."""
    return encoder_weights is not None and encoder_weights.endswith((".safetensors", ".pth", ".pt"))


@contextlib.contextmanager
def encoder_errors(model: str, encoder: str, encoder_weights: str | None) -> Iterator[None]:
    """Turn what building `encoder` (and fetching its weights) raises into one InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # timm, its hub client and smp raise many kinds
        if encoder_weights is not None and not is_weight_file(encoder_weights):
            raise InputError(
                f"weights '{encoder_weights}' of encoder '{encoder}' could not be fetched (no network?): use "
                "model.encoder_weights=null, or give a downloaded file (model.encoder_weights=FILE.safetensors)"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model '{model}' cannot be built with encoder '{encoder}': {reason}") from error
