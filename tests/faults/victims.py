"""Commands run as real processes, to be interrupted and killed at moments drawn from a seed that is printed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STOPS = (signal.SIGINT, signal.SIGTERM)


class Victim:
    """``lanecli WORDS`` in a process group of its own."""

    def __init__(self, *words: object, cwd: Path, largest_file: int | None = None, memory: int | None = None) -> None:
        """Start it.

        Args:
            words: of the command line.
            cwd: where it runs; what it prints goes to the files ``stdout`` and ``stderr`` there.
            largest_file: bytes it may write to a file, as on a disk that runs full.
            memory: bytes it may take.
        """
        self._out, self._err = cwd / "stdout", cwd / "stderr"

        def limit() -> None:
            if largest_file is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            if memory is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

        self._pipes = largest_file is not None  # a limit would hold for what it prints too
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lanecli", *map(str, words)],
                cwd=cwd,
                stdout=subprocess.PIPE if self._pipes else out,
                stderr=subprocess.PIPE if self._pipes else err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=limit,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            )

    def until(self, true: Callable[[], object], seconds: float = 120) -> None:
        """Wait until `true()` holds or the process has ended."""
        deadline = time.monotonic() + seconds
        while not true() and self.process.poll() is None:
            assert time.monotonic() < deadline, f"waited {seconds} s; stderr: {self.err}"
            time.sleep(0.002)

    def until_it_listens(self) -> None:
        """Wait until SIGTERM is caught: Python's own start is over."""
        self.until(lambda: listens(self.process.pid))

    def stop(self, number: int, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, seconds: float = 60) -> int:
        """Its exit code; a failure where it does not end within `seconds`."""
        try:
            if self._pipes:
                for path, data in zip((self._out, self._err), self.process.communicate(timeout=seconds), strict=True):
                    path.write_bytes(data)
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"did not end within {seconds} s; stderr: {self.err}") from None

    def left(self) -> list[int]:
        """Processes of its group that are alive."""
        alive = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                except OSError:
                    continue
                if int(group) == self.process.pid and state not in "ZX":
                    alive.append(int(folder.name))
        return alive

    @property
    def out(self) -> str:
        """What it has printed on stdout."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has printed on stderr."""
        return self._err.read_text()


def listens(pid: int) -> bool:
    """Whether a process catches SIGTERM, as every command does from its start on."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "x 0").split()[1]
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def dice(name: str) -> random.Random:
    """A random source whose seed is printed: ``LANECLI_FAULT_SEED=N`` takes another."""
    seed = os.environ.get("LANECLI_FAULT_SEED", "1")
    print(f"{name}: LANECLI_FAULT_SEED={seed}")
    return random.Random(f"{name} {seed}")
