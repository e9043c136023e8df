"""The command line: one module for each subcommand, which parses its arguments, calls one function and prints.

No module here imports torch, cv2 or numpy at its top.
"""

from __future__ import annotations

import os
import sys

from lanecli import interruption
from lanecli.cli.quiet import silence_libraries


def main() -> None:
    """Run the command that was typed and end the process.

    Exit codes: 0 all done, 1 failed, 2 wrong usage or bad input, 130 interrupted.
    """
    interruption.start()
    if "--debug" not in sys.argv:
        silence_libraries()
    from lanecli.cli.app import build  # typer takes most of the time that `--help` takes

    code: object = 0
    completing = "_LANECLI_COMPLETE" in os.environ
    try:
        interruption.listen()
        build(None if completing else sys.argv[1:])(prog_name="lanecli")
    except BaseException as error:
        code = _report(error)
    status = code if isinstance(code, int) else 1
    interruption.finish(status)
    if _is_connecting():
        # the thread would return from its library into an interpreter that is gone, and crash
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105 - contextlib would be imported before signals are handled
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(status)
    sys.exit(code)  # type: ignore[arg-type]


def _is_connecting() -> bool:
    """Return whether a thread still waits for a URL that is no longer needed (see `lanecli.media.container`)."""
    threading = sys.modules.get("threading")
    return threading is not None and any(thread.name == interruption.CONNECTING for thread in threading.enumerate())


def _report(error: BaseException) -> object:
    """Print how the command ended, unless it ended well, and return the exit code."""
    from lanecli.errors import LaneError, bug_report_message, reason

    if isinstance(error, SystemExit) and not error.code:
        return 0
    stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code == 130)
    if stopped or interruption.interrupted():  # whatever exception it has become since
        if os.environ.get("RANK", "0") == "0":  # of several processes that train together, one prints
            if sys.stderr is not None and sys.stderr.isatty():
                sys.stderr.write("\r")  # overwrite the ^C that the terminal shows
            _print_error("; ".join(["interrupted", *_interruption_messages(error)]))
        return 130
    if isinstance(error, SystemExit):
        return error.code
    if os.environ.get("LANECLI_DEBUG"):
        raise error
    if isinstance(error, LaneError):
        _print_error(f"error: {error}")
        return error.exit_code
    if isinstance(error, (OSError, MemoryError)):  # a full disk or a removed folder is no bug, wherever it shows
        path = f"{error.filename}: " if isinstance(error, OSError) and error.filename is not None else ""
        _print_error(f"error: {path}{reason(error)}")
        return 1
    _print_error(f"error: {bug_report_message(error)}")
    return 1


def _interruption_messages(error: BaseException | None) -> list[str]:
    """Return the message of the interruption that caused `error`: what is kept, and how to continue."""
    while error is not None:
        if isinstance(error, interruption.Interrupted) and str(error):
            return [str(error)]
        error = error.__cause__ or error.__context__
    return []


def _print_error(line: str) -> None:
    """Print a line on stderr, if stderr can still be written."""
    from lanecli.errors import one_line

    try:
        sys.stdout.flush()
        sys.stderr.write(one_line(line) + "\n")
        sys.stderr.flush()
    except OSError:
        pass
