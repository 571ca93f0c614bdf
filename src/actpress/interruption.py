"""Ctrl-C while a command starts: it leaves at once.

What is imported then may take an interrupt for an error of its own, or print a traceback of it.
"""

import os
import signal

EXIT_INTERRUPTED = 130


def leave_when_interrupted() -> None:
    """Until work begins, Ctrl-C ends the process with one line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def work_begins() -> None:
    """From here on, Ctrl-C is an exception, so that work can be left in order."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def work_is_done() -> None:
    """The process is about to end; Ctrl-C changes nothing any more."""
    if signal.getsignal(signal.SIGINT) in {_leave, signal.default_int_handler}:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(*_: object) -> None:
    os.write(2, b"interrupted; nothing was written\n")
    os._exit(EXIT_INTERRUPTED)
