"""One file per frame: a single file for a picture, a folder of numbered files for a video."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from lanecli import atomic
from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob

UNFINISHED = ".unfinished"
"""The file that marks a folder whose source was interrupted."""


class FrameFiles(Sink):
    """Writes a file for each frame. A folder gets its name, and replaces an older one, once the source is finished.

    Attributes:
        suffix: suffix of a video's numbered files.
    """

    suffix: str

    def __init__(self, job: SinkJob) -> None:
        """Check that the output can be written."""
        self.path = job.path
        self._folder: atomic.Pending | None = None
        if job.reader is None or not job.path.is_dir():
            atomic.prepare_target(job.path, overwrite=job.settings.overwrite)
        elif not job.settings.overwrite:
            raise InputError(f"{job.path}: exists already; add --overwrite to replace it")
        if job.reader is not None:
            self._folder = atomic.Pending(job.path, folder=True)

    def write(self, prediction: Prediction) -> None:
        """Write the frame's file."""
        if self._folder is None:
            self.write_file(prediction, self.path)
        else:
            self.write_file(prediction, self._folder.path / f"{prediction.frame.index:06d}{self.suffix}")

    @abstractmethod
    def write_file(self, prediction: Prediction, target: Path) -> None:
        """Write one frame to `target`."""

    def close(self, interrupted: bool = False) -> None:
        """Give the folder its name, with the frames written so far, and mark it if the source was interrupted.

        Without any frame, nothing is left behind.
        """
        if self._folder is None:
            return
        if any(self._folder.path.iterdir()):
            if interrupted:
                (self._folder.path / UNFINISHED).touch()
            self._folder.commit()
        else:
            self._folder.discard()
