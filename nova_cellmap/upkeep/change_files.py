# SPDX-License-Identifier: Apache-2.0
"""The changes that plans and journals tell of, forwards and backwards.

A file may have a million lines. All are checked before anything is done, and then read once more,
one by one; what is kept of each is its place.
"""

import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
import contextlib
import dataclasses
import enum
import itertools
import os
import pathlib
from typing import BinaryIO, Self

from nova_cellmap import exception
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change import Outcome

# Of so many changes at most one outcome tells.
_MOST_AT_ONCE = 100_000


class Fate(enum.IntEnum):
    """What became of a change."""

    # Of a plan; and in a journal of a run that was killed.
    UNKNOWN = 0
    MADE = 1
    NOT_MADE = 2


@dataclasses.dataclass(frozen=True)
class Entry:
    """A change, and what became of it.

    :ivar number: which of the changes of all files it is, from the oldest on
    :ivar why_not: why it was not made
    """

    number: int
    change: Change
    fate: Fate
    why_not: str = ''


class ChangeFiles:
    """The changes of some files, which are open while the block lasts.

    :param paths: the files, the oldest first
    :param wanted: which of their changes are looked at; all by default
    :param may_be_torn: whether a kill may have left a part of a line at the end
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        wanted: Callable[[Change], bool] = lambda change: True,
        may_be_torn: bool = False,
    ) -> None:
        self._paths = list(paths)
        self._wanted = wanted
        self._may_be_torn = may_be_torn
        self._files: list[_File] = []

    def __enter__(self) -> Self:
        """
        :raises: InvalidChangeFile, ChangeFileNotFound, ChangeFileUnreadable
        """
        with contextlib.ExitStack() as stack:
            for path in self._paths:
                with _errors_of(path):
                    file = stack.enter_context(pathlib.Path(path).open('rb'))
                    # It is read twice. One that is written by another program meanwhile is not.
                    file.seek(0)
                first = sum(map(len, self._files))
                self._files.append(_File(file, str(path), first, self._may_be_torn))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *args: object) -> None:
        self._stack.close()

    def entries(self, *, newest_first: bool = False) -> Iterator[Entry]:
        step = -1 if newest_first else 1
        for file in self._files[::step]:
            for entry in file.entries(step):
                if self._wanted(entry.change):
                    yield entry

    def made(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Those that were made, or may have been."""
        for entry in self.entries(newest_first=newest_first):
            if entry.fate is not Fate.NOT_MADE:
                yield entry


def check_there(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Find out whether files of changes can be opened.

    :raises: ChangeFileNotFound, ChangeFileUnreadable
    """
    for path in paths:
        with _errors_of(path), pathlib.Path(path).open('rb'):
            pass


def batches(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """The changes in parts, in none of which an instance is twice."""
    batch: dict[str, Entry] = {}
    for entry in entries:
        if len(batch) == size or entry.change.instance_uuid in batch:
            yield list(batch.values())
            batch = {}
        batch[entry.change.instance_uuid] = entry
    if batch:
        yield list(batch.values())


@contextlib.contextmanager
def _errors_of(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise exception.ChangeFileNotFound(file=path) from None
    except (OSError, ValueError) as error:
        # A ValueError of a name that none can have.
        reason = getattr(error, 'strerror', None) or str(error)
        raise exception.ChangeFileUnreadable(file=path, reason=reason) from error


class _File:
    """One of the files; it has been read once."""

    def __init__(self, file: BinaryIO, name: str, first: int, may_be_torn: bool) -> None:
        self._file = file
        self._name = name
        self._first = first
        self._may_be_torn = may_be_torn
        # Of each change, where its line begins, and what became of it.
        self._places = array.array('Q')
        self._fates = bytearray()
        self._why_not: dict[int, str] = {}
        self._read()

    def __len__(self) -> int:
        return len(self._places)

    def entries(self, step: int) -> Iterator[Entry]:
        for number in range(len(self))[::step]:
            self._file.seek(self._places[number])
            found = change.read(self._file.readline())
            assert isinstance(found, Change)
            fate, why_not = Fate(self._fates[number]), self._why_not.get(number, '')
            yield Entry(self._first + number, found, fate, why_not)

    def _read(self) -> None:
        place = 0
        latest: deque[str] = deque(maxlen=_MOST_AT_ONCE)
        for number in itertools.count(1):
            line = self._file.readline(change.MOST_BYTES)
            if not line:
                return
            is_torn = not line.endswith(b'\n') and len(line) < change.MOST_BYTES
            try:
                found = change.read(line)
                if isinstance(found, Outcome):
                    self._settle(found, latest)
                else:
                    self._places.append(place)
                    self._fates.append(Fate.UNKNOWN)
                    latest.append(found.instance_uuid)
            except ValueError as error:
                if is_torn and self._may_be_torn:
                    return
                raise exception.InvalidChangeFile(
                    file=self._name, number=number, reason=error
                ) from None
            place += len(line)

    def _settle(self, outcome: Outcome, latest: deque[str]) -> None:
        """Note what became of the latest changes."""
        if outcome.changes > len(latest):
            raise ValueError('it is the outcome of more changes than there are before it')
        uuids = [latest.pop() for _ in range(outcome.changes)]
        for number, uuid in enumerate(uuids, 1):
            place = len(self._places) - number
            why_not = outcome.not_made.get(uuid)
            self._fates[place] = Fate.MADE if why_not is None else Fate.NOT_MADE
            if why_not is not None:
                self._why_not[place] = why_not
        latest.clear()
