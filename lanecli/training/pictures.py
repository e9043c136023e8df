"""Pictures that models are scored on, and the check that a model was not trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lanecli.data.fingerprint import share_seen
from lanecli.data.manifest import Sample, read_dataset
from lanecli.errors import InputError
from lanecli.modelfile import read_spec


@dataclass(frozen=True)
class Pictures:
    """A split of a prepared dataset."""

    root: Path
    split: str

    @property
    def name(self) -> str:
        """Name of the set in tables and of its folder."""
        return f"{self.root.name} {self.split}"

    def samples(self) -> tuple[Sample, ...]:
        """Return the samples. Raises InputError if there are none."""
        return read_dataset(self.root).of_split(self.split)


def refuse_trained_on(file: Path, name: str, samples: Sequence[Sample]) -> None:
    """Raise InputError if the provenance of a model file shows that it was trained on some of `samples`."""
    if share := share_seen(read_spec(file).provenance.get("trained_on"), samples):
        raise InputError(
            f"{file} was trained on {100 * share:.3g} % of the pictures of {name}: nothing is scored on pictures it "
            "has seen"
        )
