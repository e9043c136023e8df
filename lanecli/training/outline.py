"""The outline of a run, which is printed before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lanecli.training.loop import Run
    from lanecli.training.stage import Stage


def outline(run: Run, *, data: bool = True) -> list[str]:
    """Return lines that say what will be trained on which data, and for how long.

    Args:
        run: a run that has not started.
        data: whether to include the lines about data and stages; the dry run has lines of its own.
    """
    config, first = run.config, run.stages[0]
    encoder = first.spec.arguments.get("encoder")
    parameters = sum(p.numel() for p in run.network.parameters())
    lines = [
        f"model:   {first.spec.architecture}{f' with {encoder}' if encoder else ''}, "
        f"{parameters / 1e6:.1f} M parameters, {_start(run)}",
        f"classes: {', '.join(first.label_map.names)}",
        f"device:  {run.device} in {str(run.dtype).removeprefix('torch.')}",
    ]
    if data:
        lines += [_data(run), *(_stage(stage, len(run.stages)) for stage in run.stages)]
        resumed = f"; continues from step {run.step}" if run.step else ""
        lines.append(f"in all:  {run.epochs} epochs, {run.steps} steps{resumed}")
    if not any(stage.validation for stage in run.stages):
        lines.append(
            f"warning: no validation set (split '{config.data.val_split}'): there will be no scores, and the model of "
            "the last epoch is kept; prepare the data with --split train=0.8,val=0.2, or set data.val_split"
        )
    if run.stages[0].asks_average and not config.model.weights:
        lines.append(
            "warning: the run labels data.unlabelled itself before it knows the classes, which can end in nothing: "
            "start from a trained model with model.weights=MODEL"
        )
    return lines


def _start(run: Run) -> str:
    model = run.config.model
    if model.weights:
        return f"from the weights of {model.weights}"
    return f"encoder from {model.encoder_weights}" if model.encoder_weights else "from random weights"


def _data(run: Run) -> str:
    stage = run.stages[0]
    if not stage.config.data.root:
        return f"data:    procedural scenes, rendered while training, and {pictures(stage.validation)} for validation"
    return (
        f"data:    {pictures(stage.training.collections)} of '{stage.config.data.split}' to train on, "
        f"{pictures(stage.validation)} of '{stage.config.data.val_split}' for validation"
    )


def _stage(stage: Stage, stages: int) -> str:
    config = stage.config
    width, height = config.data.geometry.size
    batch = str(config.train.batch) + (f" x {config.train.accumulate}" if config.train.accumulate > 1 else "")
    dropped = stage.left_out
    rest = (
        f" ({dropped} {'picture does' if dropped == 1 else 'pictures do'} not fill a batch; they change each epoch)"
        if dropped
        else ""
    )
    loss = "+".join(term.name for term in stage.loss_terms)
    name = f"stage {stage.number + 1}:" if stages > 1 else "plan:   "
    return (
        f"{name} {config.train.epochs} epochs of {stage.steps_per_epoch} steps of {batch} pictures{rest} at "
        f"{width}x{height}, loss {loss}, {config.optim.name} at {config.optim.lr:g}, {config.schedule.name}"
    )


def pictures(parts: Any) -> str:
    """Say how many pictures several sets have together: ``"1 picture"``, ``"20 pictures"``."""
    count = sum(len(part) for part in parts)
    return f"{count} picture{'' if count == 1 else 's'}"
