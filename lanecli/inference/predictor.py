"""The predictor: frames in, Predictions out, with as many requests in flight as the backends can use."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from lanecli.errors import LaneError
from lanecli.geometry import Placement
from lanecli.inference.backends.base import Answer, Backend
from lanecli.inference.combiners import Combiner, Fold
from lanecli.inference.measures import Measure, MeasureFold
from lanecli.inference.member import Member, MemberAnswer
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import Step, StepContext
from lanecli.labels import LabelMap, decide
from lanecli.media.frame import Frame
from lanecli.uncertainty.entropy import largest_entropy
from lanecli.uncertainty.maps import map_kind


@dataclass
class Clock:
    """Seconds spent so far: preparing pictures, waiting for the network, and processing its answers."""

    preprocess: float = 0.0
    network: float = 0.0
    postprocess: float = 0.0


@dataclass
class _Job:
    """A frame that is being predicted, with the answers folded in so far."""

    frame: Frame
    fold: Fold
    measures: list[MeasureFold]
    missing: int
    pictures: dict[tuple[Placement, bool], np.ndarray] = field(default_factory=dict)


@dataclass
class _Request:
    """A batch of pictures in flight, one for each job."""

    jobs: list[_Job]
    member: int
    placements: list[Placement]
    backend: Backend
    answer: Answer


class Predictor:
    """Runs every member on every frame and folds the answers, one by one, into a Prediction.

    Answers are combined at the frame's own size, after each member's inverse Geometry and before the class is chosen.
    However many members there are, no more pictures are in flight than one backend takes at once.

    Attributes:
        members: the members.
        label_map: the classes of Predictions.
        keep: parts of Predictions that something reads: ``"planes"``, names of maps.
        clock: where the time went.
    """

    def __init__(
        self,
        members: Sequence[Member],
        combiner: Combiner,
        *,
        measures: Sequence[Measure] = (),
        steps: Sequence[Step] = (),
        keep: Collection[str] = (),
        batch: int = 1,
    ) -> None:
        """Set up.

        Args:
            members: the members, which answer in one label map.
            combiner: the rule that combines their answers.
            measures: measures that add maps.
            steps: what is done to each Prediction, in order.
            keep: parts of Predictions that something reads besides the class map.
            batch: how many frames a request holds.

        Raises:
            InputError: the members' classes differ, or a measure or step does not fit them.
        """
        self.members = list(members)
        self.label_map: LabelMap = members[0].label_map
        for member in members:
            _ = member.source_classes  # raises for other classes
        for measure in measures:
            measure.check(members)
        for step in steps:
            step.check(self.label_map)
        self.combiner, self.measures, self.steps = combiner, list(measures), list(steps)
        self.keep = frozenset(keep) | {need for step in steps for need in step.needs}
        self.batch = batch
        self.clock = Clock()
        self._warnings: dict[str, None] = {}
        self._deepest = max(member.backend.depth for member in members)

    @property
    def map_names(self) -> tuple[str, ...]:
        """Names of the maps that Predictions hold."""
        return tuple(name for measure in self.measures for name in measure.maps)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """For each map with a known scale, its certain and its doubtful end.

        The scale of an entropy is its largest value, or a share of it; that of a fitted map is what its training
        pictures showed.
        """
        planes = len(self.label_map.plane_classes)
        largest = largest_entropy(planes, bernoulli=self.label_map.bernoulli)
        known = {name: (0.0, largest * map_kind(name).drawn_share) for name in self.map_names if map_kind(name).bounded}
        for name, arguments in self.members[0].backend.spec.outputs.items():
            if name in self.map_names and isinstance(ends := arguments.get("range"), list) and len(ends) == 2:
                known[name] = (float(ends[0]), float(ends[1]))
        return {name: ends for name, ends in known.items() if name in self.map_names and ends[0] != ends[1]}

    @property
    def compute(self) -> dict[str, str]:
        """What the first model runs on: ``backend``, ``precision``, ``device``."""
        backend = self.members[0].backend
        return {"backend": backend.name, "precision": backend.precision, "device": backend.device}

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call, a line each."""
        lines = list(self._warnings)
        self._warnings.clear()
        return lines

    def predict(self, frame: Frame) -> Prediction:
        """Return the Prediction for one frame."""
        return next(self.stream([frame]))

    def stream(self, frames: Iterable[Frame], context: StepContext | None = None) -> Iterator[Prediction]:
        """Yield a Prediction for each frame of one source, in order, while later frames are being predicted.

        Args:
            frames: the frames of one source.
            context: what steps should know of the source; by default, that it is a picture.
        """
        steps = [step.start(context or StepContext(self.label_map)) for step in self.steps]
        for prediction in self._predictions(frames):
            for step in steps:
                prediction = self._timed(step, prediction)
            yield prediction

    def _timed(self, step: Callable[[Prediction], Prediction], prediction: Prediction) -> Prediction:
        started = time.perf_counter()
        prediction = step(prediction)
        self.clock.postprocess += time.perf_counter() - started
        return prediction

    def _predictions(self, frames: Iterable[Frame]) -> Iterator[Prediction]:
        jobs: deque[_Job] = deque()
        waiting: deque[_Request] = deque()
        source = iter(frames)
        try:
            while batch := list(islice(source, self.batch)):
                new = [self._job(frame) for frame in batch]
                jobs.extend(new)
                for number in range(len(self.members)):
                    while not self._has_room(waiting, self.members[number].backend):
                        self._take(waiting)
                        yield from self._finished(jobs)
                    waiting.append(self._ask(new, number))
            while waiting:
                self._take(waiting)
                yield from self._finished(jobs)
        finally:  # cut short: requests in flight are waited for, so that the backend can use them again
            for request in waiting:
                with contextlib.suppress(Exception):  # the reason it was cut short matters more
                    request.answer.result()

    def _job(self, frame: Frame) -> _Job:
        for geometry in {member.geometry for member in self.members}:
            if geometry.scales_crop(frame.size) and geometry.frame:
                self._warnings.setdefault(
                    f"the model's crop was made for frames of {geometry.frame[0]}x{geometry.frame[1]}: "
                    f"it is scaled for frames of {frame.size[0]}x{frame.size[1]}"
                )
        folds = [measure.begin(self.label_map) for measure in self.measures]
        return _Job(frame, self.combiner.begin(self.label_map), folds, len(self.members))

    def _has_room(self, waiting: deque[_Request], backend: Backend) -> bool:
        own = sum(request.backend is backend for request in waiting)
        return len(waiting) < self._deepest and own < backend.depth

    def _ask(self, jobs: list[_Job], number: int) -> _Request:
        started = time.perf_counter()
        member = self.members[number]
        placements, pictures = [], []
        for job in jobs:
            placement = member.place(job.frame)
            key = placement, member.view.mirror
            if key not in job.pictures:
                job.pictures[key] = member.picture(job.frame, placement)
            placements.append(placement)
            pictures.append(job.pictures[key])
            if number == len(self.members) - 1:
                job.pictures.clear()
        stacked = pictures[0][None] if len(pictures) == 1 else np.stack(pictures)
        asked = time.perf_counter()
        answer = member.backend.submit(stacked, seed=member.seed)
        self.clock.preprocess += asked - started
        self.clock.network += time.perf_counter() - asked
        return _Request(jobs, number, placements, member.backend, answer)

    def _take(self, waiting: deque[_Request]) -> None:
        """Fold in the answer that has waited longest."""
        request = waiting[0]
        started = time.perf_counter()
        outputs = request.answer.result()
        waiting.popleft()
        if not _is_finite(outputs):
            outputs = self._recomputed(request)
        taken = time.perf_counter()
        member = self.members[request.member]
        for number, (job, placement) in enumerate(zip(request.jobs, request.placements, strict=True)):
            own = {name: values[number] for name, values in outputs.items()}
            answer = MemberAnswer(member, placement, own, job.frame)
            job.fold.add(answer)
            for fold in job.measures:
                fold.add(answer)
            job.missing -= 1
        self.clock.network += taken - started
        self.clock.postprocess += time.perf_counter() - taken

    def _recomputed(self, request: _Request) -> dict[str, np.ndarray]:
        """Return the outputs computed in float32, after a shorter type gave values that are not finite.

        Raises:
            LaneError: float32 gives such values too: the weights are damaged.
        """
        old = request.backend
        if old.precision != "fp32":
            current = self.members[request.member].backend
            wider = current if current.precision == "fp32" else old.in_precision("fp32")
            self.members = [replace(m, backend=wider) if m.backend is old else m for m in self.members]
            self._warnings.setdefault(
                f"{old.precision} gave values that are not finite (overflow): everything since is computed in fp32"
            )
            member = self.members[request.member]
            pictures = np.stack(
                [member.picture(j.frame, p) for j, p in zip(request.jobs, request.placements, strict=True)]
            )
            outputs = wider.submit(pictures, seed=member.seed).result()
            if _is_finite(outputs):
                return outputs
        raise LaneError(
            "the model's outputs are not finite (NaN or infinity): its weights are damaged, or its training diverged"
        )

    def _finished(self, jobs: deque[_Job]) -> Iterator[Prediction]:
        while jobs and not jobs[0].missing:
            yield self._prediction(jobs.popleft())

    def _prediction(self, job: _Job) -> Prediction:
        started = time.perf_counter()
        combined = job.fold.result()
        maps = {name: plane for fold in job.measures for name, plane in fold.result(combined.planes).items()}
        decision = decide(combined.planes, self.label_map, combined.ties)
        planes = combined.planes if "planes" in self.keep else None
        self.clock.postprocess += time.perf_counter() - started
        return Prediction(job.frame, self.label_map, decision.class_map, decision.labels, planes, maps)


def _is_finite(outputs: dict[str, np.ndarray]) -> bool:
    """Return whether all scores are finite: one sum per output tells, much faster than a check of each value."""
    return all(np.isfinite(outputs[name].sum(dtype=np.float32)) for name in ("planes", "logits") if name in outputs)
