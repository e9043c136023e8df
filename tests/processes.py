"""Real processes for tests: started from one that has imported everything, so that each costs a moment, not seconds."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["lanecli.training.loop", "segmentation_models_pytorch", "processes"])


def _command(
    arguments: list[str], output: str, variables: dict[str, str], largest_file: int | None, own_group: bool
) -> None:
    """Run ``lanecli ARGUMENTS`` as a process of its own would."""
    if own_group:
        os.setpgrp()
    import torch

    # loader workers are forked, as in a process started by hand: those of a fork server outlive a killed run
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    os.environ.update(variables)
    with open(output, "w", buffering=1) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    if largest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    from lanecli.cli import main

    sys.argv = ["lanecli", *arguments]
    main()


def start(
    arguments: list[object],
    output: Path,
    *,
    variables: dict[str, str] | None = None,
    largest_file: int | None = None,
    own_group: bool = False,
) -> Any:
    """``lanecli ARGUMENTS`` in a process; what it prints goes to the file `output`.

    Args:
        arguments: of the command line.
        output: file.
        variables: of its environment.
        largest_file: bytes it may write to a file, as on a disk that runs full.
        own_group: lead a process group, which `os.killpg` reaches with all loader workers in it.
    """
    process = _CONTEXT.Process(
        target=_command, args=([str(a) for a in arguments], str(output), variables or {}, largest_file, own_group)
    )
    process.start()
    return process


def launch(size: int, arguments: list[object], folder: Path) -> list[Any]:
    """`size` processes of ``lanecli ARGUMENTS`` with the variables `torchrun` sets; output goes to `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        variables = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(size),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        }
        processes.append(start(arguments, folder / f"output-{rank}.txt", variables=variables))
    return processes


def together(size: int, arguments: list[object], folder: Path) -> list[int]:
    """Exit codes of :func:`launch`'s processes."""
    processes = launch(size, arguments, folder)
    for process in processes:
        process.join()
    return [int(process.exitcode) for process in processes]
