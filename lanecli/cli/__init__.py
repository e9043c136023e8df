"""The command line: one module per subcommand; each parses, calls one function and prints. No heavy import here."""

from __future__ import annotations

import os
import sys

from lanecli import interruption
from lanecli.cli.quiet import silence_libraries


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted."""
    interruption.start()
    if "--debug" not in sys.argv:
        silence_libraries()
    from lanecli.cli.app import build  # typer alone takes most of the time `--help` does

    code: object = 0
    completing = "_LANECLI_COMPLETE" in os.environ
    try:
        interruption.listen()
        build(None if completing else sys.argv[1:])(prog_name="lanecli")
    except BaseException as error:
        code = _concluded(error)
    status = code if isinstance(code, int) else 1
    interruption.finish(status)
    if _is_connecting():
        # the thread is inside a library and would wake up in an interpreter that has been taken down: a crash
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105 - contextlib would be loaded before signals are heard
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(status)
    sys.exit(code)  # type: ignore[arg-type]


def _is_connecting() -> bool:
    """Return whether a thread still waits for a URL that nobody needs any more (`lanecli.media.container`)."""
    threading = sys.modules.get("threading")
    return threading is not None and any(thread.name == interruption.CONNECTING for thread in threading.enumerate())


def _concluded(error: BaseException) -> object:
    """Say how the command ended; the exit code."""
    from lanecli.errors import LaneError, bug_report_message, reason

    if isinstance(error, SystemExit) and not error.code:
        return 0
    stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code == 130)
    if stopped or interruption.interrupted():  # whatever else it was turned into on its way here
        if os.environ.get("RANK", "0") == "0":  # of several processes that train together, one speaks
            if sys.stderr is not None and sys.stderr.isatty():
                sys.stderr.write("\r")  # over the ^C that the terminal has written
            _say("; ".join(["interrupted", *_kept(error)]))
        return 130
    if isinstance(error, SystemExit):
        return error.code
    if os.environ.get("LANECLI_DEBUG"):
        raise error
    if isinstance(error, LaneError):
        _say(f"error: {error}")
        return error.exit_code
    if isinstance(error, (OSError, MemoryError)):  # a full disk, a folder taken away: not ours, wherever it shows
        place = f"{error.filename}: " if isinstance(error, OSError) and error.filename is not None else ""
        _say(f"error: {place}{reason(error)}")
        return 1
    _say(f"error: {bug_report_message(error)}")
    return 1


def _kept(error: BaseException | None) -> list[str]:
    """What an interruption on the way to `error` says is kept."""
    while error is not None:
        if isinstance(error, interruption.Interrupted) and str(error):
            return [str(error)]
        error = error.__cause__ or error.__context__
    return []


def _say(line: str) -> None:
    """Print a line on stderr, if anyone is there to read it."""
    from lanecli.errors import one_line

    try:
        sys.stdout.flush()
        sys.stderr.write(one_line(line) + "\n")
        sys.stderr.flush()
    except OSError:
        pass
