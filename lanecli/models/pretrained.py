"""Published weights of smp's, timm's and torchvision's encoders: their names, where they are, and fetching them.

Nothing here reaches for the network, or imports those libraries, unless a person names weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from lanecli.errors import InputError, did_you_mean

_PATIENCE = 5.0  # seconds for the hub's first answer


@contextlib.contextmanager
def fetching(encoder: str, name: str | None) -> Iterator[None]:
    """Build an encoder of smp's or timm's with the weights `name` inside; None is without.

    A hub that does not answer is not asked again: weights it gave before are taken from its cache, others are missed at
    once in place of after a minute of retries.

    Raises:
        InputError: the encoder has no weights of this name, or they did not arrive.
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
        except Exception:  # the session's own kinds of errors are not the hub client's to promise
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:  # the hub client's errors and urllib's are of this kind
        raise not_fetched(encoder, name) from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def not_fetched(encoder: str, name: str) -> InputError:
    """What to say when the weights `name` of `encoder` did not arrive: what to download, and how to go on."""
    where = published_at(encoder, name)
    fetch = f"download {where}, and give the file" if where else "give a downloaded file"
    return InputError(
        f"weights '{name}' of encoder '{encoder}' could not be fetched (no network?): {fetch} "
        "(model.encoder_weights=FILE), or start from random weights (model.encoder_weights=null)"
    )


def published_at(encoder: str, name: str) -> str | None:
    """Where the weights `name` of an encoder are published, in words for a person; None where nothing is known.

    Args:
        encoder: of smp's, timm's (``tu-NAME``) or torchvision's VGG16.
        name: as smp, timm or torchvision call them.
    """
    place: dict[str, Any] = _settings(encoder).get(name, {})
    if encoder.startswith("tu-"):
        import timm

        known = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        place = {"repo_id": known.hf_hub_id, "url": known.url} if known is not None else {}
    elif not place and encoder in ("vgg16", "vgg16_bn"):
        import torchvision

        place = {"url": torchvision.models.get_model_weights(encoder)[name].url}
    if place.get("repo_id"):
        return f"model.safetensors of {place['repo_id']} on the Hugging Face Hub"
    return place.get("url")


def _settings(encoder: str) -> dict[str, Any]:
    """smp's table of an encoder's weights, by name; empty for one it does not have."""
    import segmentation_models_pytorch as smp

    settings: dict[str, Any] = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings") or {}
    return settings


def _check_name(encoder: str, name: str) -> None:
    """Raise InputError when the encoder has weights, and none of them is `name`."""
    # which of several sets, timm has in the encoder's own name: tu-NAME.SET
    known = ["imagenet"] if encoder.startswith("tu-") else list(_settings(encoder))
    if known and name not in known:
        others = ", ".join(known)
        raise InputError(f"encoder '{encoder}' has no weights '{name}'{did_you_mean(name, known)}; there are: {others}")
