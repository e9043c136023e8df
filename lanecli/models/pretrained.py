"""Published weights of the encoders of smp, timm and torchvision: their names, where they are, and how to fetch them.

Nothing here uses the network, or imports those libraries, unless the user names weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from lanecli.errors import InputError, did_you_mean

_PATIENCE = 5.0  # seconds to wait for the first answer of the hub


@contextlib.contextmanager
def fetching(encoder: str, name: str | None) -> Iterator[None]:
    """Context in which an encoder of smp or timm can be built with the weights `name`; None is without weights.

    If the hub does not answer, it is not asked again: weights that it gave before come from its cache, and others fail
    at once, not after a minute of retries.

    Raises:
        InputError: the encoder has no weights of this name, or they could not be fetched.
    """
    if name is None:
        yield
        return
    _check_name(encoder, name)
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    offline = constants.HF_HUB_OFFLINE
    if not offline:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
        except Exception:  # the hub client does not document which errors its HTTP session raises
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:  # the hub client's errors and urllib's are of this kind
        raise not_fetched(encoder, name) from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def not_fetched(encoder: str, name: str) -> InputError:
    """Return the error for weights that could not be fetched; it says what to download and how to continue."""
    where = published_at(encoder, name)
    fetch = f"download {where}, and pass the file" if where else "pass a downloaded file"
    return InputError(
        f"weights '{name}' of encoder '{encoder}' could not be fetched (no network?): {fetch} "
        "(model.encoder_weights=FILE), or start from random weights (model.encoder_weights=null)"
    )


def published_at(encoder: str, name: str) -> str | None:
    """Say where the weights `name` of an encoder are published, in words for a message; None where that is unknown.

    Args:
        encoder: an encoder of smp or timm (``tu-NAME``), or torchvision's VGG16.
        name: the name that smp, timm or torchvision give to the weights.
    """
    origin: dict[str, Any] = _settings(encoder).get(name, {})
    if encoder.startswith("tu-"):
        import timm

        known = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        origin = {"repo_id": known.hf_hub_id, "url": known.url} if known is not None else {}
    elif not origin and encoder in ("vgg16", "vgg16_bn"):
        import torchvision

        origin = {"url": torchvision.models.get_model_weights(encoder)[name].url}
    if origin.get("repo_id"):
        return f"model.safetensors of {origin['repo_id']} on the Hugging Face Hub"
    return origin.get("url")


def _settings(encoder: str) -> dict[str, Any]:
    """Return smp's table of the weights of an encoder, by name; empty for an encoder that smp does not have."""
    import segmentation_models_pytorch as smp

    settings: dict[str, Any] = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings") or {}
    return settings


def _check_name(encoder: str, name: str) -> None:
    """Raise InputError if the encoder has published weights, but none with this `name`."""
    # timm names one of several sets in the name of the encoder itself: tu-NAME.SET
    known = ["imagenet"] if encoder.startswith("tu-") else list(_settings(encoder))
    if known and name not in known:
        others = ", ".join(known)
        raise InputError(f"encoder '{encoder}' has no weights '{name}'{did_you_mean(name, known)}; there are: {others}")
