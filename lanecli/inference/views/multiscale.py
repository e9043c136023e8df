"""Three sizes, each mirrored too: the test-time augmentation that papers on segmentation report."""

from __future__ import annotations

from lanecli.inference.views import View

SCALES = (0.75, 1.0, 1.25)


def views() -> list[View]:
    """Return three sizes around the network's own, each as it is and mirrored: six views."""
    return [View(mirror, scale) for scale in SCALES for mirror in (False, True)]
