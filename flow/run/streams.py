"""Standard streams that may be closed, before the start or in the middle: the work is done nevertheless.

Who closes a stream does not want to read it. Without a standard error a message would go where standard
output goes, or into the next file that is opened, which takes the free number.
"""

import fcntl
import io
import os
import sys


class Lasting(io.FileIO):
    """A stream's file that accepts what is written to it, also when nobody reads it any more."""

    def write(self, content) -> int:
        """Write bytes, or drop them where the reader has closed the pipe; return how many were taken."""
        try:
            return super().write(content)
        except BrokenPipeError:
            return len(memoryview(content).cast("B"))


def occupy() -> None:
    """Open the file descriptors 0, 1 and 2 at the null device where they are closed.

    A shell that ran without an error stream gives its script's own file that number: to be read only.
    """
    for number in range(3):
        try:
            access = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError:
            access = None
        if access is None or (number > 0 and access == os.O_RDONLY):
            empty = os.open(os.devnull, os.O_RDWR)
            if empty != number:
                os.dup2(empty, number)
                os.close(empty)


def make_lasting() -> None:
    """Give this process streams that last; for a command's own process, before it prints."""
    occupy()
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        line = number == 2 or os.isatty(number)
        encoding, errors = (
            getattr(stream, "encoding", "utf-8"),
            getattr(stream, "errors", "backslashreplace"),
        )
        if stream is not None:
            stream.flush()
        raw = io.BufferedWriter(Lasting(number, "w", closefd=False))
        setattr(
            sys, name, io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=line)
        )
