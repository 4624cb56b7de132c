# SPDX-License-Identifier: Apache-2.0
"""The journal: a file in which each change is before it is made, and its outcome afterwards.

Where a run is killed, the changes of its last batch are in the journal without an outcome: they
may have been made or not. One run at a time has the file, from the changes of a batch to their
outcome, so that these are beside each other; others wait for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import fcntl
import logging
import os
import pathlib
from typing import BinaryIO

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap import private_files
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change import Outcome

LOG = logging.getLogger(__name__)

FILE = 'nova_cellmap_journal.jsonl'
# A run that finds more in the file begins another one. Its own lines all go to one, so that none
# is lost as long as it goes on.
_MOST_BYTES = 32 << 20
# How many there are, besides the one that is written to.
_KEPT = 9

# How lines begin.
_BEGINNINGS = (b'{"instance_uuid": ', b'{"outcome": ')
_BLOCK = 1 << 16


def path_of(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Where the journal is unless another place is given: under ``[DEFAULT] state_path``."""
    return pathlib.Path(conf.state_path, FILE).absolute()


def files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
    """A journal and those before it, as far as they are there, the oldest first.

    Where a run was killed before it had begun another one, there are only those before it.
    """
    all_ = [_previous(path, number) for number in range(_KEPT, -1, -1)]
    # Path.exists() fails where a name is too long.
    there = [each for each in all_ if os.path.exists(each)]  # noqa: PTH110
    return there or [pathlib.Path(path)]


def _previous(path: str | os.PathLike[str], number: int) -> pathlib.Path:
    return pathlib.Path(f'{path}.{number}' if number else path)


class Journal:
    """A journal that a run writes.

    :ivar path: the file
    :ivar changes: how many changes the run has written there
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.changes = 0
        self._is_begun = False

    def check(self) -> None:
        """Find out before the work whether it can be written.

        :raises: JournalUnwritable
        """
        with self._locked():
            pass

    def record(
        self,
        changes: Sequence[Change],
        make: Callable[[Sequence[Change]], Mapping[str, str]],
    ) -> Mapping[str, str]:
        """Have the changes be in the journal, and then make them.

        :param make: makes them, and answers by instance why those that it could not were not made
        :returns: what it answers
        :raises: JournalUnwritable, before they are made or afterwards
        """
        with self._locked() as file:
            self._append(file, [each.line for each in changes])
            self.changes += len(changes)
            not_made = make(changes)
            self._append(file, [Outcome(len(changes), not_made).line])
        return not_made

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, which nobody else writes to while the block lasts."""
        with self._errors():
            file = self._open()
        with file:
            yield file

    def _open(self) -> BinaryIO:
        while True:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(private_files.open_to_append(self.path))
                self._lock(file)
                if not self._is_at_its_path(file):
                    # Another run has begun another one meanwhile.
                    continue
                self._check_is_journal(file)
                _cut_torn(file)
                if not self._is_begun and os.fstat(file.fileno()).st_size > _MOST_BYTES:
                    self._rotate()
                    continue
                if not self._is_begun:
                    private_files.sync_folder(self.path.parent)
                    self._is_begun = True
                stack.pop_all()
                return file

    def _lock(self, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOG.info('Another run writes to the journal %s: waiting for it', self.path)
            fcntl.flock(file, fcntl.LOCK_EX)

    def _is_at_its_path(self, file: BinaryIO) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), self.path.lstat())
        return False

    def _check_is_journal(self, file: BinaryIO) -> None:
        """Nothing is cut off or appended to a file of something else."""
        file.seek(0)
        start = file.read(max(map(len, _BEGINNINGS)))
        if not any(start.startswith(each) or each.startswith(start) for each in _BEGINNINGS):
            raise OSError('there is something else in it')

    def _rotate(self) -> None:
        for number in range(_KEPT - 1, -1, -1):
            with contextlib.suppress(FileNotFoundError):
                _previous(self.path, number).replace(_previous(self.path, number + 1))

    def _append(self, file: BinaryIO, lines: Sequence[bytes]) -> None:
        with self._errors():
            size = os.fstat(file.fileno()).st_size
            try:
                _write(file, b''.join(lines))
                os.fsync(file.fileno())
            except OSError:
                # A part of them is none of them.
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # A ValueError of a name that none can have.
            reason = getattr(error, 'strerror', None) or str(error)
            raise exception.JournalUnwritable(file=self.path, reason=reason) from error


def _write(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _cut_torn(file: BinaryIO) -> None:
    """Cut off the part of a line that a kill has left: nothing was changed of what it is of."""
    end = size = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b'\n')
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        file.truncate(end)
