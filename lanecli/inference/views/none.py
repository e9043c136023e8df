"""No test-time augmentation."""

from __future__ import annotations

from lanecli.inference.views import AS_IT_IS, View


def views() -> list[View]:
    """Return only the picture as it is."""
    return [AS_IT_IS]
