"""Handles Ctrl-C and the signals with which docker, SLURM, systemd and a closed terminal end a process, all alike.

This module imports almost nothing: until `start` has run, an interruption ends in one of Python's own tracebacks.
"""

import _signal as signal  # type: ignore[import-not-found]  # `signal` builds enums, which takes too long before `start`
import atexit
import os
import sys
import time

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAME_STOP_SECONDS = 1.0
"""Seconds within which further signals count as the same one: `timeout` signals the process and also its group."""
CONNECTING = "lanecli-connect"
"""Name of a thread that waits inside a library and cannot be interrupted."""
_GRACE = 10  # seconds
stderr = 2
"""File descriptor of the process's own stderr."""
_first: float | None = None
_deferred = 0
_previous_hook = sys.__unraisablehook__


class Interrupted(KeyboardInterrupt):
    """An interruption that keeps part of the work; the message says what is kept and how to resume."""


def start() -> None:
    """From now on, any of `SIGNALS` ends the process at once with exit code 130, since no work has begun yet."""
    # Python removes all handlers before it frees what was loaded, and a signal would then decide the exit code of a
    # finished process; ignored signals stay ignored
    atexit.register(_set_handler, signal.SIG_IGN)
    _set_handler(_exit_at_once)


def listen() -> None:
    """From now on, the first of `SIGNALS` raises KeyboardInterrupt, and so does any more than a second later."""
    global _first, _previous_hook
    _first = None
    _set_handler(_interrupt)
    if sys.unraisablehook is not _raise_again:
        _previous_hook, sys.unraisablehook = sys.unraisablehook, _raise_again


def finish(code: int) -> None:
    """From now on, a signal ends the process at once with exit code `code`, since its work is done and reported."""
    _set_handler(lambda _number, _frame: os._exit(code))
    if interrupted():
        # after an interruption in code compiled from text (namedtuple does that), Python ends itself by SIGINT unless
        # it compiles some text once more
        from collections import namedtuple

        namedtuple("Ended", ())


def interrupted() -> bool:
    """Whether a signal has arrived since `listen`."""
    return _first is not None


class Deferred:
    """A `with` block in which the first signal takes effect only at the next `check`; later ones do so at once.

    with Deferred():
        for batch in batches:
            check()  # the state of the training is consistent here
            step(batch)
    """

    def __enter__(self) -> None:
        global _deferred
        _deferred += 1

    def __exit__(self, *_: object) -> None:
        global _deferred
        _deferred -= 1


def check() -> None:
    """Raise KeyboardInterrupt if a signal has arrived."""
    if _first is not None:
        raise KeyboardInterrupt


def leave_signals_to_parent() -> None:
    """In a worker process, leave signals to the parent process, and end when the parent ends, however that happens.

    A worker that gets SIGTERM ends after `_GRACE` seconds, if its parent has not ended it by then.
    """
    import multiprocessing
    import threading
    from multiprocessing import connection

    _ignore()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # they were blocked while this process was started
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            connection.wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=follow, name="lanecli-follow", daemon=True).start()


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda _number, _frame: signal.alarm(_GRACE))


def _after_fork() -> None:
    """Keep a forked worker from raising KeyboardInterrupt before it calls `leave_signals_to_parent`."""
    if any(signal.getsignal(number) in (_exit_at_once, _interrupt) for number in SIGNALS):
        _ignore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _set_handler(handler: object) -> None:
    """Set the handler of `SIGNALS`, except those the process was started to ignore (by `nohup`, for example)."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                signal.signal(number, handler)
            except ValueError:  # this is not the main thread, which alone may handle signals
                return


def _exit_at_once(_number: int, _frame: object) -> None:
    os.write(stderr, b"interrupted\n")
    os._exit(130)


def _interrupt(_number: int, _frame: object) -> None:
    global _first
    now = time.monotonic()
    if _first is not None and now - _first < SAME_STOP_SECONDS:
        return
    waits = _deferred > 0 and _first is None
    _first = now
    if not waits:
        raise KeyboardInterrupt


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat an interruption that arrived where nothing can be raised, such as in a destructor."""
    global _first
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        _previous_hook(unraisable)
        return
    import threading

    _first = None
    again = threading.Timer(0.01, signal.raise_signal, (signal.SIGINT,))
    again.daemon = True
    again.start()
