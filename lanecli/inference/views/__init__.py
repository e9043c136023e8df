"""Views of a frame for test-time augmentation: each a way of showing the network the same picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lanecli.registry import Registry


@dataclass(frozen=True)
class View:
    """One way of showing a picture to the network; the answer is turned back before it is combined.

    Attributes:
        mirror: left and right changed places (and so do classes that `LabelMap.swaps` names).
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
    """The views of a name, or of several joined by ``+``: their product.

    Example:
        >>> [view.mirror for view in views_of("flip")]
        [False, True]

    Raises:
        InputError: a name that is not registered.
    """
    product = [AS_IT_IS]
    for name in names.split("+"):
        product = [
            View(one.mirror != other.mirror, one.scale * other.scale) for one in product for other in VIEWS.get(name)()
        ]
    return list(dict.fromkeys(product))
