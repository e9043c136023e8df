"""The picture as it is, and mirrored."""

from __future__ import annotations

from lanecli.inference.views import AS_IT_IS, View


def views() -> list[View]:
    """Return the picture as it is, and mirrored left to right."""
    return [AS_IT_IS, View(mirror=True)]
