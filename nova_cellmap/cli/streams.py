# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error, which may be closed, full, or read by nobody."""

from collections.abc import Iterator
import contextlib
import io
import os
import sys
from typing import Any, TextIO

from nova_cellmap.text import escaped_lines


class OutputError(Exception):
    """Standard output takes no more; ``lost`` is what should have gone there, if it is short."""

    def __init__(self, reason: str, lost: str = '') -> None:
        super().__init__(reason, lost)
        self.reason = reason
        self.lost = lost

    def __str__(self) -> str:
        lost = f' What was to be printed: {self.lost}.' if self.lost else ''
        return (
            f'Standard output cannot be written to: {self.reason}. What the command changes was '
            f'changed as far as it came, and its output is lost.{lost}'
        )


class _Stream:
    """A stream on top of another one, which answers for all but writing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Output(_Stream):
    """Standard output: a failure to write has a class of its own."""

    def write(self, text: str) -> int:
        with _output_errors():
            return self.stream.write(text)

    def flush(self) -> None:
        with _output_errors():
            self.stream.flush()


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        # A ValueError where it is closed.
        raise OutputError(getattr(error, 'strerror', None) or str(error)) from error


class _Errors(_Stream):
    """Standard error: what moves a terminal's cursor is shown, and nothing fails.

    A message that cannot be shown is no reason to stop in the middle of the work.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(escaped_lines(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()


class _Forgiving(_Errors):
    """Standard error for a program's own drawing, which does move the cursor."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
        return len(text)


def to_draw_on(stream: TextIO) -> TextIO:
    """A stream for what itself escapes the texts of others, such as a progress bar."""
    if not isinstance(stream, _Errors):
        return stream
    drawn: TextIO = _Forgiving(stream.stream)  # type: ignore[assignment]
    return drawn


@contextlib.contextmanager
def prepared() -> Iterator[tuple[TextIO, TextIO]]:
    """Standard output and standard error, in ``sys`` too, while the block lasts."""
    before = sys.stdout, sys.stderr
    _fill_gaps()
    out: Any = sys.stdout or io.TextIOWrapper(io.FileIO(1, 'w', closefd=False))
    errors: Any = sys.stderr or io.TextIOWrapper(io.FileIO(2, 'w', closefd=False))
    if isinstance(out, io.TextIOWrapper):
        # What the terminal cannot show is shown as an escape.
        out.reconfigure(errors='backslashreplace')
    out, errors = _Output(out), _Errors(errors)
    sys.stdout, sys.stderr = out, errors
    try:
        yield out, errors
    finally:
        sys.stdout, sys.stderr = before
        try:
            errors.stream.flush()
        except (OSError, ValueError):
            _discard(errors)


def _fill_gaps() -> None:
    """Open what is closed: the next file, of a database perhaps, would become standard output."""
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest number that is free. Nothing can be written to standard output.
            os.open(os.devnull, flags)


def discard_output() -> None:
    """Let Python's end not fail for what could not be written."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
