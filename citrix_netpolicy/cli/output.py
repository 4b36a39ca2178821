"""The one door through which lines leave the command line: nothing in them acts on a terminal or a log."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from citrix_netpolicy.cli.process import discard
from citrix_netpolicy.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

__all__ = ["Parser", "UnheardError", "finish", "say", "warn"]


class UnheardError(Exception):
    """What was asked for could not be printed. `reason` is empty when its reader has gone, as `head` does."""

    def __init__(self, error: OSError) -> None:
        self.reason = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
        super().__init__(self.reason)


def say(lines: Iterable[str]) -> None:
    """Print what was asked for, on standard output. Raises UnheardError."""
    for line in lines:
        try:
            sys.stdout.write(_shown(line, sys.stdout))
        except OSError as error:
            raise UnheardError(error) from None


def warn(lines: Iterable[str]) -> None:
    """Print what there is to say beside that, on standard error; that it is lost there is no failure."""
    for line in lines:
        try:
            sys.stderr.write(_shown(line, sys.stderr))
        except OSError:
            discard(sys.stderr)


def finish() -> None:
    """Hand over all that was printed. Raises UnheardError."""
    try:
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    try:
        sys.stdout.flush()
    except OSError as error:
        raise UnheardError(error) from None


def _shown(line: str, stream: IO[str]) -> str:
    """Return a line as a stream can show it; in other encodings, letters become escapes too."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return plain(line).encode(encoding, "backslashreplace").decode(encoding) + "\n"


class Parser(argparse.ArgumentParser):
    """A parser of arguments that speaks through the same door."""

    def _print_message(self, message: str, file: object = None) -> None:
        (say if file is sys.stdout else warn)(message.splitlines())

    def error(self, message: str) -> NoReturn:
        """Tell the usage and what is wrong, and end with the code of bad input."""
        warn((*self.format_usage().splitlines(), f"error: {message}"))
        self.exit(2)
