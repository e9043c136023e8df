"""Saving the state of a run, and restoring it: a resumed run ends with the weights it would have had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lanecli.training.checkpoint import save_state
from lanecli.training.failures import DivergedError, how_to_resume
from lanecli.training.random_state import random_state, set_random_state
from lanecli.training.run_folder import check_resumed, damaged_state_errors

if TYPE_CHECKING:
    from lanecli.training.loop import Run
    from lanecli.training.stage import Stage


def save_run(run: Run) -> None:
    """Save the whole state of the current step. Every process takes part, and the main one writes.

    Raises:
        DivergedError: a weight is infinite or NaN.
    """
    weights = run.parallel.weights()
    bad = next((name for name, value in weights.items() if not value.isfinite().all()), None)
    if bad is not None:
        raise DivergedError(
            f"weight '{bad}' is not finite at step {run.step}: lower optim.lr; {how_to_resume(run.folder)}"
        )
    state = {
        "step": run.step,
        "epoch": run.epoch,
        "best": run.best,
        "sums": {name: float(total) for name, total in run.batch_loss.sums.items()},
        "network": weights,
        "optimiser": run.parallel.optimiser_state(run.optimiser),
        "scaler": run.scaler.state_dict(),
        "average": run.parallel.weights(run.average.network) if run.average else None,
        "updates": run.average.updates if run.average else 0,
        "random": random_state(run.processes, run.device),
        "config": run.config.model_dump(mode="json"),
    }
    if run.processes.main:
        save_state(run.folder / "last", state)


def restore_run(run: Run, state: dict[str, Any]) -> None:
    """Restore the step, the epoch and the weights of a new run.

    Raises:
        InputError: the state is damaged, or belongs to another configuration.
    """
    with damaged_state_errors(run.folder):
        check_resumed(state, run.config, run.processes.size, run.folder, run.epoch_ends)
        run.step, run.epoch, run.best = (state[key] for key in ("step", "epoch", "best"))
        run.parallel.load_weights(state["network"])
        if run.average:
            run.parallel.load_weights(state["average"], run.average.network)
            run.average.updates = state["updates"]


def restore_stage(run: Run, stage: Stage, state: dict[str, Any]) -> None:
    """Restore the optimiser, the sums of the epoch and the random numbers, once `stage` has begun.

    Raises:
        InputError: the state is damaged.
    """
    with damaged_state_errors(run.folder):
        if run.step > stage.first_step:
            run.parallel.load_optimiser_state(run.optimiser, state["optimiser"])
        run.scaler.load_state_dict(state["scaler"])
        totals = state["sums"].items()
        run.batch_loss.sums = {name: torch.tensor(v, dtype=torch.float64, device=run.device) for name, v in totals}
        set_random_state(state["random"][run.processes.rank], run.device)
