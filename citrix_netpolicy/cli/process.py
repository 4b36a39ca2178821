"""How the process meets the system: the streams that it is given, and the signals that end it."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ended", "Signals", "discard", "mend_streams", "signals_raised"]

_STREAMS: Final = ("stdin", "stdout", "stderr")


class Ended(BaseException):
    """A signal asks the process to end. `code` is what shells make of it."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        self.code = 128 + number
        super().__init__(self.signal.name)


class Signals:
    """The signals that have asked the process to end so far.

    `Ended` is raised wherever the process is, and libraries turn what is raised in the midst of them into
    errors of their own. So an error that comes after a signal is that signal.
    """

    def __init__(self) -> None:
        self.arrived: list[int] = []

    def end(self, number: int, _frame: object) -> None:
        """Raise `Ended`: the handler of a signal."""
        self.arrived.append(number)
        raise Ended(number)

    def raise_again(self) -> None:
        """Raise `Ended` if a signal has arrived."""
        if self.arrived:
            raise Ended(self.arrived[0]) from None


@contextmanager
def signals_raised() -> Iterator[Signals]:
    """Raise `Ended` where SIGINT or SIGTERM would end the process, so that it can leave all in order."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals  # signals reach the main thread only
        return
    former: dict[int, Any] = {}
    try:
        for number, usual in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            # Who started us may have other plans for a signal, such as to ignore it.
            if signal.getsignal(number) == usual:
                former[number] = usual
                signal.signal(number, signals.end)
        yield signals
    except BaseException:
        signals.raise_again()
        raise
    finally:
        for held, handler in former.items():
            signal.signal(held, handler)


def mend_streams() -> None:
    """Put something in the place of streams that are closed.

    Else the next file that is opened would take the place of one, and what is said would go into it. What is
    written to a closed standard output fails, since nobody gets it; messages go nowhere.
    """
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # Free numbers are given away from below, so this gets the one that is missing.
            os.open(os.devnull, os.O_RDWR if name == "stderr" else os.O_RDONLY)
            if name != "stdin":
                setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "w", closefd=False))))


def discard(stream: TextIO) -> None:
    """Let a stream that fails lead nowhere, or Python would fail once more when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
        stream.flush()
