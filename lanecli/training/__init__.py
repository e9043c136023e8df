"""Training: the loop, optimisers and schedules, checkpoints, the run's log."""
