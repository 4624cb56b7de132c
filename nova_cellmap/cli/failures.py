# SPDX-License-Identifier: Apache-2.0
"""How a command fails: which exit status an error has."""

from collections.abc import Mapping

from nova_cellmap import exception
from nova_cellmap.cli import streams
from nova_cellmap.cli.statuses import Status

_STATUSES: Mapping[type[Exception], int] = {
    streams.OutputError: Status.UNAVAILABLE,
    exception.InvalidInput: Status.USAGE,
    exception.NotFound: Status.NO_INPUT,
    exception.CellMapError: Status.UNAVAILABLE,
}


class CommandError(Exception):
    """A failure that only the command line knows, with its exit status."""

    def __init__(self, message: str, status: int = Status.USAGE) -> None:
        super().__init__(message)
        self.status = status


def of_machine(error: Exception) -> Exception:
    """What to tell of an error that is the machine's, or of its limits; else the error itself."""
    # The latter is what Python says of a thread, of which each cell has one.
    if isinstance(error, MemoryError) or 'start new thread' in str(error):
        return CommandError(
            'There is not enough memory, or no more threads may be started: see `ulimit -v`, '
            '`ulimit -u` and the limits of the container. What was committed before stays.',
            Status.UNAVAILABLE,
        )
    return error


def status_of(error: Exception, statuses: Mapping[type[Exception], int]) -> int:
    """The exit status of *error*; the *statuses* of a command come first."""
    if isinstance(error, CommandError):
        return error.status
    for table in (statuses, _STATUSES):
        for kind in type(error).__mro__:
            if kind in table:
                return table[kind]
    return Status.UNFORESEEN
