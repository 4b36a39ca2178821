"""The one door through which lines leave the command line: nothing in them acts on a terminal or a log."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from citrix_netpolicy.cli.process import discard
from citrix_netpolicy.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import IO

__all__ = ["Parser", "UnheardError", "examples", "finish", "helping", "say", "warn"]


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
    text = plain(line).encode(encoding, "backslashreplace").decode(encoding)
    return (_coloured(text) if _takes_colour(stream) else text) + "\n"


def _takes_colour(stream: IO[str]) -> bool:
    """Tell whether a stream is a terminal whose user has not asked for plain text (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return os.name != "nt" or bool(os.environ.get("WT_SESSION") or os.environ.get("TERM"))


# The words that begin a line, in bold red, yellow and cyan.
_COLOURS: Final = {"error": "1;31", "warning": "1;33", "note": "1;36"}


def _coloured(line: str) -> str:
    word, colon, rest = line.partition(":")
    code = _COLOURS.get(word.strip())
    return f"\x1b[{code}m{word}{colon}\x1b[0m{rest}" if code and colon else line


def helping(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Return what a command does that was given nothing to do: it shows its help."""

    def run(_: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return run


def examples(parser: argparse.ArgumentParser, *commands: str) -> None:
    """Let the help of a verb end with commands that work."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "examples:\n" + "\n".join(f"  citrix-netpolicy {command}" for command in commands)


class Parser(argparse.ArgumentParser):
    """A parser of arguments that speaks through the same door."""

    def _print_message(self, message: str, file: object = None) -> None:
        (say if file is sys.stdout else warn)(message.splitlines())

    # Newer versions of Python would colour the help by themselves, past this door.
    color = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is not known where it stands, so that the usage is that of the verb."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from citrix_netpolicy.errors import nearest  # noqa: PLC0415 - a command that works needs none

            known = [option for option in self._option_string_actions if option.startswith("--")]
            hint = nearest(unknown[0], known) if unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f" ({hint})" if hint else ""))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Tell the usage and what is wrong, and end with the code of bad input."""
        warn((*self.format_usage().splitlines(), f"error: {message}"))
        self.exit(2)
