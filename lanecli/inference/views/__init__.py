"""Views for test-time augmentation: ways to show the same picture to the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lanecli.registry import Registry


@dataclass(frozen=True)
class View:
    """One way to show a picture to the network; the answer is transformed back before it is combined.

    Attributes:
        mirror: whether left and right are exchanged (and so are the classes in `LabelMap.swaps`).
        scale: factor of the network's size.
    """

    mirror: bool = False
    scale: float = 1.0


AS_IT_IS = View()

VIEWS: Registry[Callable[[], list[View]]] = Registry("test-time augmentation")
VIEWS.add("none", "lanecli.inference.views.none:views", summary="the picture as it is")
VIEWS.add("flip", "lanecli.inference.views.flip:views", summary="as it is, and mirrored left to right")
VIEWS.add("multiscale", "lanecli.inference.views.multiscale:views", summary="at three sizes, each mirrored too")


def views_of(names: str) -> list[View]:
    """Return the views of a name, or the product of the views of several names joined by ``+``.

    Raises:
        InputError: a name is not registered.

    Example:
        >>> [view.mirror for view in views_of("flip")]
        [False, True]
    """
    product = [AS_IT_IS]
    for name in names.split("+"):
        product = [
            View(one.mirror != other.mirror, one.scale * other.scale) for one in product for other in VIEWS.get(name)()
        ]
    return list(dict.fromkeys(product))
