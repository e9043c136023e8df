"""The names this package had for what `lanecli.atomic` does."""

from __future__ import annotations

from lanecli.atomic import prepare_target, temporary_name
from lanecli.atomic import write as write_atomically

__all__ = ["prepare_target", "temporary_name", "write_atomically"]
