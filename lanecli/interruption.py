"""Ctrl-C, and the signals that docker, SLURM, systemd and a closed terminal end a process with: one way out for all.

Imports next to nothing: until `start` has run, an interruption ends in a traceback of Python's own.
"""

import _signal as signal  # type: ignore[import-not-found]  # `signal` builds enums, longer than all else before `start`
import atexit
import os
import sys
import time

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
ONE_STOP = 1.0
"""Seconds within which further signals mean the same stop: `timeout` sends two, to the process and to its group."""
CONNECTING = "lanecli-connect"
"""Name of a thread that waits inside a library, which cannot be called back."""
_GRACE = 10
stderr = 2
"""Descriptor of our own stderr."""
_first: float | None = None
_deferred = 0
_other_hook = sys.__unraisablehook__


class Interrupted(KeyboardInterrupt):
    """An interruption after which something is kept; the message says what, and how to go on."""


def start() -> None:
    """From now on one of `SIGNALS` ends the process at once with exit code 130: nothing is begun yet."""
    # Python gives up all handlers before it frees what was loaded, and a finished process would end by the signal;
    # what is ignored it leaves
    atexit.register(_handle, signal.SIG_IGN)
    _handle(_leave)


def listen() -> None:
    """From now on the first of `SIGNALS` raises KeyboardInterrupt, and so does another more than a second later."""
    global _first, _other_hook
    _first = None
    _handle(_interrupt)
    if sys.unraisablehook is not _raise_again:
        _other_hook, sys.unraisablehook = sys.unraisablehook, _raise_again


def finish(code: int) -> None:
    """From now on a signal ends the process at once with `code`: its work is done and said."""
    _handle(lambda _number, _frame: os._exit(code))
    if interrupted():
        # an interruption that passed through code which Python compiled from text, as that of namedtuple, makes Python
        # end itself by SIGINT, unless it compiles a text again
        from collections import namedtuple

        namedtuple("Ended", ())


def interrupted() -> bool:
    """Whether a signal came since `listen`."""
    return _first is not None


class Deferred:
    """While inside, the first signal waits for `check`, where what is under way is whole; a later one does not wait.

    with Deferred():
        for batch in batches:
            check()
            step(batch)
    """

    def __enter__(self) -> None:
        global _deferred
        _deferred += 1

    def __exit__(self, *_: object) -> None:
        global _deferred
        _deferred -= 1


def check() -> None:
    """Raise KeyboardInterrupt if a signal came."""
    if _first is not None:
        raise KeyboardInterrupt


def leave_to_parent() -> None:
    """In a worker process: leave signals to the process that started it, and end with it, however that ends.

    A worker that is asked to end dies after `_GRACE` seconds, if the one that started it has not ended it by then.
    """
    import multiprocessing
    import threading
    from multiprocessing import connection

    _ignore()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # held back while this process was started
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
    """A worker raises nothing between its start and `leave_to_parent`."""
    if any(signal.getsignal(number) in (_leave, _interrupt) for number in SIGNALS):
        _ignore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _handle(handler: object) -> None:
    """Answer with `handler`; what the process was started to ignore (as `nohup` does) stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                signal.signal(number, handler)
            except ValueError:  # off the main thread: whoever runs there answers signals
                return


def _leave(_number: int, _frame: object) -> None:
    os.write(stderr, b"interrupted\n")
    os._exit(130)


def _interrupt(_number: int, _frame: object) -> None:
    global _first
    now = time.monotonic()
    if _first is not None and now - _first < ONE_STOP:
        return
    waits = _deferred > 0 and _first is None
    _first = now
    if not waits:
        raise KeyboardInterrupt


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """An interruption that came in a place nothing can be raised from, such as a destructor, comes again after it."""
    global _first
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        _other_hook(unraisable)
        return
    import threading

    _first = None
    again = threading.Timer(0.01, signal.raise_signal, (signal.SIGINT,))
    again.daemon = True
    again.start()
