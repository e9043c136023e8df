"""From a layout to a prepared dataset: read, encode, crop and resize, write; in parallel, resumable, whole or not.

All is made in `UNFINISHED` in the dataset's folder and renamed when every pair is done: a run that is refused or
interrupted leaves nothing under the final names, and a dataset that is replaced stays until then.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lanecli import atomic
from lanecli.data.account import account, nothing_to_learn, warnings_about
from lanecli.data.contact_sheet import HTML, PNG, write_contact_sheet
from lanecli.data.formats import FORMATS
from lanecli.data.job import Job
from lanecli.data.lane_lines import LANES, lanes_of_pair, write_lane_lines
from lanecli.data.layout import Layout, MisreadError, Pair, Request
from lanecli.data.manifest import DESCRIPTION, MANIFEST, DatasetInfo, Sample, picture_names, write_dataset
from lanecli.data.orientation import upright_size
from lanecli.data.pairs import BrokenPairsError, check_pair, counts_of_done, in_parallel, prepare_pair
from lanecli.data.paths import is_zip
from lanecli.data.plan import Plan, make_plan
from lanecli.data.remap import name_counts
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.ownership import is_lock, owned
from lanecli.textfiles import read_text

UNFINISHED = ".unfinished"
"""Where a dataset is being made, in its folder."""
SETTINGS = "settings.json"
"""What it is being made with; a run with the same settings goes on where it stopped."""
UNPACKED = "unpacked"
"""Where a zip is unpacked; it stays when the pictures came with it."""
_MADE = ("masks", "images", UNPACKED)
_FINAL = (DESCRIPTION, MANIFEST, LANES, PNG, HTML, *_MADE)

Begin = Callable[[int], Callable[[], object]]
"""Called with the number of pairs; gives what is called after each."""
Note = Callable[[str], object]
"""Told lines a user should see."""


def _check_place(out: Path, source: Path) -> None:
    """Raise InputError where a dataset cannot be made of `source` in `out`."""
    if source.is_dir() and (out.is_relative_to(source) or source.is_relative_to(out)):
        raise InputError(f"--out {out}: lies inside the source folder or holds it; choose another")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file")


def _claim(out: Path, settings: str, overwrite: bool) -> Path:
    """Where in `out` the dataset is made: a fresh folder, or the unfinished one of the same settings."""
    work = out / UNFINISHED
    begun = work / SETTINGS
    finished, goes_on = (out / DESCRIPTION).is_file(), begun.is_file() and read_text(begun) == settings
    if goes_on and not overwrite:
        return work
    if finished and not overwrite:
        raise InputError(f"--out {out}: a dataset is there already; add --overwrite to replace it")
    if not finished and not begun.is_file() and not all(map(is_lock, out.iterdir())):
        raise InputError(f"--out {out}: holds other files; choose a new or empty folder")
    if (work / "masks").is_dir() and not overwrite:
        raise InputError(f"--out {out}: one was begun there with other settings already; add --overwrite to replace it")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    atomic.write(begun, settings.encode())
    return work


def read_layout(job: Job, unpack_to: Path) -> Layout:
    """What the job's reader finds in its source, a zip being unpacked first.

    Raises:
        InputError: no such source, or it is not the layout.
    """
    read, request = FORMATS.get(job.format), job.request(unpack_to)
    if not is_zip(request.source):
        return _behind_one_wall(read, request)
    from lanecli.data.archive import inner_folder, unpack

    folder = unpack(request.source, unpack_to)
    inner = inner_folder(folder)
    try:
        return _behind_one_wall(read, replace(request, source=inner))
    except InputError:
        if inner == folder:
            raise
        try:  # the one folder in the zip may be part of the layout
            return _behind_one_wall(read, replace(request, source=folder))
        except InputError:
            pass
        raise


def _behind_one_wall(read: Callable[[Request], Layout], request: Request) -> Layout:
    """A reader's answer; what it did not foresee in a foreign file is the file's fault, not a bug's."""
    try:
        return read(request)
    except (UnicodeError, RecursionError, OverflowError, OSError) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{getattr(error, 'filename', None) or request.source}: cannot be read ({text})") from error


def check_dataset(
    job: Job, *, begin: Begin = lambda total: lambda: None, note: Note = lambda line: None
) -> tuple[int, list[str]]:
    """Read every picture and label of a layout and write nothing.

    Args:
        job: what is checked; its `out` and `workers` aside, as `prepare_dataset` would take it.
        begin: called with the number of pairs; gives what is called after each.
        note: told lines a user should see.

    Returns:
        How many pairs there are, and a line for each that is broken, of two sizes, or holds what the label map does
        not know, and for what training would trip over.
    """
    with tempfile.TemporaryDirectory() as scratch:
        layout = read_layout(job, Path(scratch) / UNPACKED)
        plan, counts, problems = _work(layout, job, Path(scratch), check_pair, begin)
        for line in plan.notes:
            note(line)
        if not problems:
            problems += _doubts(plan, counts)
            info = _describe(plan, job, job.request(Path(scratch)), counts)
            problems += [line for line in nothing_to_learn(info) if "nothing to learn" in line]
            for line in warnings_about(info, plan):
                if line not in problems:
                    note(line)
            for name, line in account(plan).items():
                note(f"{name}: {line}")
    return len(plan.pairs), problems


def prepare_dataset(
    job: Job, *, begin: Begin = lambda total: lambda: None, note: Note = lambda line: None
) -> DatasetInfo:
    """Prepare a public layout as one dataset.

        info = prepare_dataset(Job("camvid", Path("CamVid"), Path("data/camvid"), size=(480, 360)))

    Args:
        job: what is made of what, and where.
        begin: called with the number of pairs; gives what is called after each.
        note: told lines a user should see.

    Returns:
        The dataset as it was written.

    Raises:
        BrokenPairsError: pictures or labels that cannot be prepared.
        InputError: anything else wrong with the layout or the options.
    """
    if job.out is None:
        raise InputError("prepare needs --out DIR, the dataset's folder")
    FORMATS.get(job.format)
    out = Path(os.path.abspath(job.out))
    job = replace(job, format=FORMATS.canonical(job.format), out=out)
    request = job.request(out)
    _check_place(out, request.source)
    with owned(out):
        return _prepare(job, request, _claim(out, job.settings(), job.overwrite), begin, note)


def _prepare(job: Job, request: Request, work: Path, begin: Begin, note: Note) -> DatasetInfo:
    """Make the dataset in `work`, then give it its final names."""
    try:
        layout = read_layout(job, work / UNPACKED)
        plan, counts, broken = _work(layout, job, work, _prepare_or_go_on, begin)
        if broken:
            raise BrokenPairsError(broken, len(plan.pairs))
        for doubt in _doubts(plan, counts):
            raise InputError(doubt)
    except InputError:
        if not (work / "masks").is_dir():
            shutil.rmtree(work, ignore_errors=True)
        raise
    info = _describe(plan, job, request, counts)
    for line in (*plan.notes, *warnings_about(info, plan)):
        note(line)
    _finish(plan, info, job)
    return info


def _prepare_or_go_on(plan: Plan, pair: Pair) -> np.ndarray:
    counts = counts_of_done(plan, pair)
    return prepare_pair(plan, pair) if counts is None else counts


def _work(
    layout: Layout, job: Job, folder: Path, step: Callable[[Plan, Pair], np.ndarray], begin: Begin
) -> tuple[Plan, list[np.ndarray], list[str]]:
    """Plan a layout and take every pair; where that fails, the layout's other reading is tried.

    Returns:
        The plan, the pixel counts (256,) of every pair, and a line for each broken one.
    """
    plan = make_plan(layout, job, folder)
    counts, broken = in_parallel(lambda pair: step(plan, pair), plan.pairs, job.workers, begin(len(plan.pairs)))
    if layout.otherwise is None or not any(isinstance(error, MisreadError) for error in broken):
        return plan, counts, [str(error) for error in broken]
    shutil.rmtree(folder / "masks", ignore_errors=True)
    return _work(layout.otherwise(), job, folder, step, begin)


def _doubts(plan: Plan, counts: Sequence[np.ndarray]) -> list[str]:
    doubt = plan.layout.doubt(counts) if plan.layout.doubt is not None else None
    return [] if doubt is None else [doubt]


def _describe(plan: Plan, job: Job, request: Request, counts: Sequence[np.ndarray]) -> DatasetInfo:
    """The dataset as it will stand under its final names."""
    out = job.out or plan.out
    samples, per_split = [], dict[str, np.ndarray]()

    unfinished = f"{plan.out}{os.sep}"

    def final(path: Path) -> Path:
        text = str(path)
        return Path(f"{out}{os.sep}{text.removeprefix(unfinished)}") if text.startswith(unfinished) else path

    for pair, split, group, found in zip(plan.pairs, plan.splits, plan.groups, counts, strict=True):
        samples.append(Sample(final(plan.image_path(pair)), final(plan.mask_path(pair)), split, group))
        per_split[split] = per_split.get(split, np.zeros(256, np.int64)) + found
    folder = request.source if request.source.is_dir() else request.source.parent
    named = {split: name_counts(plan.label_map, total) for split, total in per_split.items()}
    return DatasetInfo(
        out,
        tuple(samples),
        plan.label_map,
        _made_for(plan),
        named,
        FORMATS.canonical(job.format),
        request.images or folder,
        account(plan),
    )


def _made_for(plan: Plan) -> Geometry:
    """The geometry with the size of frames its crop was made for, where all pictures have one."""
    if not any(plan.geometry.crop):
        return plan.geometry
    sizes = {upright_size(pair.image)[0] for pair in plan.pairs}
    return replace(plan.geometry, frame=sizes.pop()) if len(sizes) == 1 else plan.geometry


def _finish(plan: Plan, info: DatasetInfo, job: Job) -> None:
    """Give everything its final name; the description, which makes a folder a dataset, comes last."""
    work, out = plan.out, info.root
    lanes = [lanes_of_pair(plan, pair) for pair in plan.pairs] if plan.layout.lanes is not None else []
    for path in (*(out / name for name in _FINAL), *out.glob("labels.*.json")):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for name in _MADE:
        if (work / name).is_dir() and (name != UNPACKED or _kept(info)):
            (work / name).rename(out / name)
    records: dict[str, list[str]] = {}
    for pair, split in zip(plan.pairs, plan.splits, strict=True):
        if pair.record is not None:
            records.setdefault(split, []).append(pair.record)
    for split, lines in records.items():
        atomic.write(out / f"labels.{split}.json", ("\n".join(lines) + "\n").encode())
    if lanes:
        write_lane_lines(out, picture_names(info)[1], [found for found in lanes if found is not None])
    if job.contact_sheet:
        write_contact_sheet(info, job.contact_sheet, job.seed)
    write_dataset(info)
    shutil.rmtree(work, ignore_errors=True)


def _kept(info: DatasetInfo) -> bool:
    """Whether pictures of the dataset lie where a zip was unpacked."""
    unpacked = f"{info.root / UNPACKED}{os.sep}"
    return any(str(sample.image).startswith(unpacked) for sample in info.samples)
