"""The predictor: frames in, Predictions out, with as many questions under way as the backends can use."""

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
    """Seconds spent since it was made: on pictures before the network, waiting for it, and on its answers after it."""

    preprocess: float = 0.0
    network: float = 0.0
    postprocess: float = 0.0


@dataclass
class _Job:
    """A frame on its way, with what its members have said so far."""

    frame: Frame
    fold: Fold
    measures: list[MeasureFold]
    missing: int
    pictures: dict[tuple[Placement, bool], np.ndarray] = field(default_factory=dict)


@dataclass
class _Question:
    """A batch of pictures under way, one of each job."""

    jobs: list[_Job]
    member: int
    placements: list[Placement]
    backend: Backend
    answer: Answer


class Predictor:
    """Asks every member about every frame and folds the answers, one by one, into a Prediction.

    Combining happens at the frame's own size, after each member's inverse Geometry and before the class is chosen. At
    most as many pictures are under way as one backend takes at once, however many members there are.

    Attributes:
        members: who is asked.
        label_map: the classes of Predictions.
        keep: parts of Predictions that somebody reads: ``"planes"``, names of maps.
        clock: where the time went.
        warnings: what the user should know, a line each; :meth:`take_warnings` hands them over once.
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
            members: who is asked; they give answers in one label map.
            combiner: how answers become one.
            measures: further maps.
            steps: what is done to each Prediction, in order.
            keep: parts of Predictions that somebody reads besides the class map.
            batch: how many frames a question holds.

        Raises:
            InputError: members' classes differ, or a measure or step does not fit them.
        """
        self.members = list(members)
        self.label_map: LabelMap = members[0].label_map
        for member in members:
            _ = member.taken  # refuses other classes
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
    def gives(self) -> tuple[str, ...]:
        """Names of the maps Predictions hold."""
        return tuple(name for measure in self.measures for name in measure.maps)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Of maps with a known scale, the value that is certain and the one that is doubtful.

        Entropies have their largest value, or a share of it; fitted maps what the training pictures showed.
        """
        planes = len(self.label_map.plane_classes)
        largest = largest_entropy(planes, bernoulli=self.label_map.bernoulli)
        known = {name: (0.0, largest * map_kind(name).drawn) for name in self.gives if map_kind(name).bounded}
        for name, arguments in self.members[0].backend.spec.outputs.items():
            if name in self.gives and isinstance(found := arguments.get("range"), list) and len(found) == 2:
                known[name] = (float(found[0]), float(found[1]))
        return {name: ends for name, ends in known.items() if name in self.gives and ends[0] != ends[1]}

    @property
    def compute(self) -> dict[str, str]:
        """What the first model runs on: ``backend``, ``precision``, ``device``."""
        backend = self.members[0].backend
        return {"backend": backend.name, "precision": backend.precision, "device": backend.device}

    def take_warnings(self) -> list[str]:
        """What the user should know since this was last called."""
        lines = list(self._warnings)
        self._warnings.clear()
        return lines

    def predict(self, frame: Frame) -> Prediction:
        """The Prediction for one frame."""
        return next(self.stream([frame]))

    def stream(self, frames: Iterable[Frame], context: StepContext | None = None) -> Iterator[Prediction]:
        """A Prediction for each frame of one source, in order; the next are under way while one is taken.

        Args:
            frames: of one source.
            context: what steps should know of it; by default a picture.
        """
        steps = [step.start(context or StepContext(self.label_map)) for step in self.steps]
        for prediction in self._answered(frames):
            for step in steps:
                prediction = self._timed(step, prediction)
            yield prediction

    def _timed(self, step: Callable[[Prediction], Prediction], prediction: Prediction) -> Prediction:
        started = time.perf_counter()
        prediction = step(prediction)
        self.clock.postprocess += time.perf_counter() - started
        return prediction

    def _answered(self, frames: Iterable[Frame]) -> Iterator[Prediction]:
        jobs: deque[_Job] = deque()
        waiting: deque[_Question] = deque()
        source = iter(frames)
        try:
            while group := list(islice(source, self.batch)):
                new = [self._job(frame) for frame in group]
                jobs.extend(new)
                for number in range(len(self.members)):
                    while not self._has_room(waiting, self.members[number].backend):
                        self._take(waiting)
                        yield from self._finished(jobs)
                    waiting.append(self._ask(new, number))
            while waiting:
                self._take(waiting)
                yield from self._finished(jobs)
        finally:  # cut short: what is under way is taken, so that a backend has its requests back
            for question in waiting:
                with contextlib.suppress(Exception):  # the reason it was cut short matters more
                    question.answer.result()

    def _job(self, frame: Frame) -> _Job:
        for geometry in {member.geometry for member in self.members}:
            if geometry.scales_crop(frame.size) and geometry.frame:
                self._warnings.setdefault(
                    f"the model's crop was made for frames of {geometry.frame[0]}x{geometry.frame[1]}: "
                    f"it is scaled to {frame.size[0]}x{frame.size[1]}"
                )
        folds = [measure.begin(self.label_map) for measure in self.measures]
        return _Job(frame, self.combiner.begin(self.label_map), folds, len(self.members))

    def _has_room(self, waiting: deque[_Question], backend: Backend) -> bool:
        own = sum(question.backend is backend for question in waiting)
        return len(waiting) < self._deepest and own < backend.depth

    def _ask(self, jobs: list[_Job], number: int) -> _Question:
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
        return _Question(jobs, number, placements, member.backend, answer)

    def _take(self, waiting: deque[_Question]) -> None:
        """Fold in the answer that has waited longest."""
        question = waiting[0]
        started = time.perf_counter()
        found = question.answer.result()
        waiting.popleft()
        if not _is_finite(found):
            found = self._asked_again(question)
        taken = time.perf_counter()
        member = self.members[question.member]
        for number, (job, placement) in enumerate(zip(question.jobs, question.placements, strict=True)):
            own = {name: values[number] for name, values in found.items()}
            answer = MemberAnswer(member, placement, own, job.frame)
            job.fold.add(answer)
            for fold in job.measures:
                fold.add(answer)
            job.missing -= 1
        self.clock.network += taken - started
        self.clock.postprocess += time.perf_counter() - taken

    def _asked_again(self, question: _Question) -> dict[str, np.ndarray]:
        """The answer in float32 where a shorter type gave values that are not finite.

        Raises:
            LaneError: float32 gives such values too: the weights are damaged.
        """
        old = question.backend
        if old.precision != "fp32":
            current = self.members[question.member].backend
            wider = current if current.precision == "fp32" else old.in_precision("fp32")
            self.members = [replace(m, backend=wider) if m.backend is old else m for m in self.members]
            self._warnings.setdefault(
                f"{old.precision} gave values that are not finite (overflow): computed in fp32 from there on"
            )
            member = self.members[question.member]
            pictures = np.stack(
                [member.picture(j.frame, p) for j, p in zip(question.jobs, question.placements, strict=True)]
            )
            found = wider.submit(pictures, seed=member.seed).result()
            if _is_finite(found):
                return found
        raise LaneError(
            "the model's answer is not finite (NaN or infinity): its weights are damaged, or training diverged"
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


def _is_finite(found: dict[str, np.ndarray]) -> bool:
    """Whether scores are numbers: one sum a plane tells, at a fraction of the cost of looking at each value."""
    return all(np.isfinite(found[name].sum(dtype=np.float32)) for name in ("planes", "logits") if name in found)
