"""Prepares a dataset from a layout: reads, encodes, crops, resizes and writes pairs, in parallel and resumably.

All files are written into the folder `UNFINISHED` inside the dataset's folder and moved when every pair is done. A run
that fails or is interrupted leaves nothing under the final names, and a dataset to be replaced stays until then.
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
from lanecli.data.contact_sheet import HTML, PNG, write_contact_sheet
from lanecli.data.formats import FORMATS
from lanecli.data.job import Job
from lanecli.data.lane_lines import LANES, lanes_of_pair, write_lane_lines
from lanecli.data.layout import Layout, MisreadError, Pair, Request
from lanecli.data.manifest import DESCRIPTION, MANIFEST, DatasetInfo, Sample, picture_names, write_dataset
from lanecli.data.orientation import upright_size
from lanecli.data.pairs import BrokenPairsError, check_pair, counts_of_finished, prepare_pair, process_pairs
from lanecli.data.paths import is_zip
from lanecli.data.plan import Plan, make_plan
from lanecli.data.remap import counts_by_class
from lanecli.data.summary import nothing_to_learn, summarise, warnings_about
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.ownership import is_lock, owned
from lanecli.textfiles import read_text

UNFINISHED = ".unfinished"
"""Folder of the unfinished dataset, inside the dataset's folder."""
SETTINGS = "settings.json"
"""File with the settings of the unfinished dataset, which a run with the same settings resumes."""
UNPACKED = "unpacked"
"""Folder into which a zip is unpacked; it is kept if it holds the pictures."""
_FOLDERS = ("masks", "images", UNPACKED)
_FINAL = (DESCRIPTION, MANIFEST, LANES, PNG, HTML, *_FOLDERS)

Begin = Callable[[int], Callable[[], object]]
"""Called with the number of pairs; returns a function that is called after each pair."""
Note = Callable[[str], object]
"""Called with lines for the user."""


def _check_out(out: Path, source: Path) -> None:
    """Raise InputError if a dataset cannot be prepared from `source` into `out`."""
    if source.is_dir() and (out.is_relative_to(source) or source.is_relative_to(out)):
        raise InputError(f"--out {out}: is inside the source folder or contains it; choose another folder")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file")


def _claim_work_folder(out: Path, settings: str, overwrite: bool) -> Path:
    """Return the folder for the unfinished dataset: a new one, or the existing one if it has the same settings."""
    work = out / UNFINISHED
    settings_file = work / SETTINGS
    finished, resumes = (out / DESCRIPTION).is_file(), settings_file.is_file() and read_text(settings_file) == settings
    if resumes and not overwrite:
        return work
    if finished and not overwrite:
        raise InputError(f"--out {out}: holds a dataset already; add --overwrite to replace it")
    if not finished and not settings_file.is_file() and not all(map(is_lock, out.iterdir())):
        raise InputError(f"--out {out}: holds other files; choose a new or empty folder")
    if (work / "masks").is_dir() and not overwrite:
        raise InputError(f"--out {out}: holds an unfinished dataset with other settings; add --overwrite to replace it")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    atomic.write(settings_file, settings.encode())
    return work


def read_layout(job: Job, unpack_to: Path) -> Layout:
    """Read the layout of the job's source, which is unpacked first if it is a zip.

    Raises:
        InputError: the source does not exist, or does not have the job's format.
    """
    read, request = FORMATS.get(job.format), job.request(unpack_to)
    if not is_zip(request.source):
        return _read_with_explained_errors(read, request)
    from lanecli.data.archive import inner_folder, unpack

    folder = unpack(request.source, unpack_to)
    inner = inner_folder(folder)
    try:
        return _read_with_explained_errors(read, replace(request, source=inner))
    except InputError:
        if inner == folder:
            raise
        try:  # the only folder in the zip may be part of the layout
            return _read_with_explained_errors(read, replace(request, source=folder))
        except InputError:
            pass
        raise


def _read_with_explained_errors(read: Callable[[Request], Layout], request: Request) -> Layout:
    """Call a reader, and turn errors that it did not foresee in a foreign file into InputError."""
    try:
        return read(request)
    except (UnicodeError, RecursionError, OverflowError, OSError) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{getattr(error, 'filename', None) or request.source}: cannot be read ({text})") from error


def check_dataset(
    job: Job, *, begin: Begin = lambda total: lambda: None, note: Note = lambda line: None
) -> tuple[int, list[str]]:
    """Read every picture and label of a layout, without writing anything.

    Args:
        job: the options, as for `prepare_dataset`; `out` is not used.
        begin: called with the number of pairs; returns a function that is called after each pair.
        note: called with lines for the user.

    Returns:
        The number of pairs, and a line for each problem: pairs that cannot be read, that differ in size or have
        unknown labels, and a dataset from which nothing could be learnt.
    """
    with tempfile.TemporaryDirectory() as scratch:
        layout = read_layout(job, Path(scratch) / UNPACKED)
        plan, counts, problems = _plan_and_process(layout, job, Path(scratch), check_pair, begin)
        for line in plan.notes:
            note(line)
        if not problems:
            problems += _questions(plan, counts)
            info = _describe(plan, job, job.request(Path(scratch)), counts)
            problems += [line for line in nothing_to_learn(info) if "nothing to learn" in line]
            for line in warnings_about(info, plan):
                if line not in problems:
                    note(line)
            for name, line in summarise(plan).items():
                note(f"{name}: {line}")
    return len(plan.pairs), problems


def prepare_dataset(
    job: Job, *, begin: Begin = lambda total: lambda: None, note: Note = lambda line: None
) -> DatasetInfo:
    """Prepare a dataset from its public layout.

        info = prepare_dataset(Job("camvid", Path("CamVid"), Path("data/camvid"), size=(480, 360)))

    Args:
        job: the options.
        begin: called with the number of pairs; returns a function that is called after each pair.
        note: called with lines for the user.

    Returns:
        The dataset as it was written.

    Raises:
        BrokenPairsError: some pictures or labels cannot be prepared.
        InputError: anything else is wrong with the layout or the options.
    """
    if job.out is None:
        raise InputError("prepare needs --out DIR, the dataset's folder")
    FORMATS.get(job.format)
    out = Path(os.path.abspath(job.out))
    job = replace(job, format=FORMATS.canonical(job.format), out=out)
    request = job.request(out)
    _check_out(out, request.source)
    with owned(out):
        return _prepare(job, request, _claim_work_folder(out, job.settings(), job.overwrite), begin, note)


def _prepare(job: Job, request: Request, work: Path, begin: Begin, note: Note) -> DatasetInfo:
    """Prepare the dataset in `work`, then move it to its final names."""
    try:
        layout = read_layout(job, work / UNPACKED)
        plan, counts, broken = _plan_and_process(layout, job, work, _prepare_or_resume, begin)
        if broken:
            raise BrokenPairsError(broken, len(plan.pairs))
        for question in _questions(plan, counts):
            raise InputError(question)
    except InputError:
        if not (work / "masks").is_dir():
            shutil.rmtree(work, ignore_errors=True)
        raise
    info = _describe(plan, job, request, counts)
    for line in (*plan.notes, *warnings_about(info, plan)):
        note(line)
    _finish(plan, info, job)
    return info


def _prepare_or_resume(plan: Plan, pair: Pair) -> np.ndarray:
    counts = counts_of_finished(plan, pair)
    return prepare_pair(plan, pair) if counts is None else counts


def _plan_and_process(
    layout: Layout, job: Job, folder: Path, step: Callable[[Plan, Pair], np.ndarray], begin: Begin
) -> tuple[Plan, list[np.ndarray], list[str]]:
    """Plan the dataset and process every pair. If the layout was read in the wrong way, try its alternative.

    Returns:
        The plan, the pixel counts (256,) of every pair, and a line for each broken pair.
    """
    plan = make_plan(layout, job, folder)
    counts, broken = process_pairs(lambda pair: step(plan, pair), plan.pairs, job.workers, begin(len(plan.pairs)))
    if layout.alternative is None or not any(isinstance(error, MisreadError) for error in broken):
        return plan, counts, [str(error) for error in broken]
    shutil.rmtree(folder / "masks", ignore_errors=True)
    return _plan_and_process(layout.alternative(), job, folder, step, begin)


def _questions(plan: Plan, counts: Sequence[np.ndarray]) -> list[str]:
    question = plan.layout.question(counts) if plan.layout.question is not None else None
    return [] if question is None else [question]


def _describe(plan: Plan, job: Job, request: Request, counts: Sequence[np.ndarray]) -> DatasetInfo:
    """Describe the dataset with its final paths."""
    out = job.out or plan.out
    samples, per_split = [], dict[str, np.ndarray]()

    unfinished = f"{plan.out}{os.sep}"

    def final(path: Path) -> Path:
        text = str(path)
        return Path(f"{out}{os.sep}{text.removeprefix(unfinished)}") if text.startswith(unfinished) else path

    for pair, split, group, pixels in zip(plan.pairs, plan.splits, plan.groups, counts, strict=True):
        samples.append(Sample(final(plan.image_path(pair)), final(plan.mask_path(pair)), split, group))
        per_split[split] = per_split.get(split, np.zeros(256, np.int64)) + pixels
    folder = request.source if request.source.is_dir() else request.source.parent
    pixel_counts = {split: counts_by_class(plan.label_map, total) for split, total in per_split.items()}
    return DatasetInfo(
        out,
        tuple(samples),
        plan.label_map,
        _geometry_with_frame(plan),
        pixel_counts,
        FORMATS.canonical(job.format),
        request.images or folder,
        summarise(plan),
    )


def _geometry_with_frame(plan: Plan) -> Geometry:
    """Return the geometry, with the frame size that its crop is meant for if all pictures have the same size."""
    if not any(plan.geometry.crop):
        return plan.geometry
    sizes = {upright_size(pair.image)[0] for pair in plan.pairs}
    return replace(plan.geometry, frame=sizes.pop()) if len(sizes) == 1 else plan.geometry


def _finish(plan: Plan, info: DatasetInfo, job: Job) -> None:
    """Move everything to its final name. The description, which makes the folder a dataset, is written last."""
    work, out = plan.out, info.root
    lanes = [lanes_of_pair(plan, pair) for pair in plan.pairs] if plan.layout.lanes is not None else []
    for path in (*(out / name for name in _FINAL), *out.glob("labels.*.json")):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for name in _FOLDERS:
        if (work / name).is_dir() and (name != UNPACKED or _uses_unpacked(info)):
            (work / name).rename(out / name)
    records: dict[str, list[str]] = {}
    for pair, split in zip(plan.pairs, plan.splits, strict=True):
        if pair.record is not None:
            records.setdefault(split, []).append(pair.record)
    for split, lines in records.items():
        atomic.write(out / f"labels.{split}.json", ("\n".join(lines) + "\n").encode())
    if lanes:
        write_lane_lines(out, picture_names(info)[1], [each for each in lanes if each is not None])
    if job.contact_sheet:
        write_contact_sheet(info, job.contact_sheet, job.seed)
    write_dataset(info)
    shutil.rmtree(work, ignore_errors=True)


def _uses_unpacked(info: DatasetInfo) -> bool:
    """Whether pictures of the dataset are in the folder of an unpacked zip."""
    unpacked = f"{info.root / UNPACKED}{os.sep}"
    return any(str(sample.image).startswith(unpacked) for sample in info.samples)
