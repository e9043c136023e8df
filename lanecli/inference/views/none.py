"""No augmentation."""

from __future__ import annotations

from lanecli.inference.views import AS_IT_IS, View


def views() -> list[View]:
    """The picture as it is."""
    return [AS_IT_IS]
