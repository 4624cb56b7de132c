# SPDX-License-Identifier: Apache-2.0
"""Resume points in files, where the database has no table for them.

They are in a folder under ``[DEFAULT] state_path``, one for each database and each cell, or
each other database, that is read. Who runs on another machine begins at the first row.
"""

from collections.abc import Callable
import hashlib
import json
import logging
import pathlib
import threading
from typing import Any, TypeVar

from nova_cellmap import private_files
from nova_cellmap import runtime
from nova_cellmap.url import place

LOG = logging.getLogger(__name__)

Row = dict[str, Any]
_T = TypeVar('_T')

FOLDER = 'nova_cellmap_resume'


class ResumeFiles(runtime.Part):
    """The resume points of a runtime's mapping database."""

    def __init__(self, owner: Any) -> None:
        self._folder = pathlib.Path(owner.conf.state_path, FOLDER)
        self._database = place.digest(owner.conf.api_database.connection)
        self._lock = threading.Lock()

    def get(self, kind: str, of: str, where: str = '') -> Row | None:
        """What was noted last; None where nothing was, or of another place.

        :param kind: of what
        :param of: which cell, or which other database
        :param where: the place that is read, where that may change
        """

        def form(noted: Any) -> Row:
            if noted.pop('where', '') != where:
                raise ValueError('it is of another database')
            return {name: int(value) for name, value in noted.items()}

        return self._read(kind, of, form)

    def get_uuid(self, kind: str, of: str) -> str | None:
        """Likewise, where what is noted is a uuid."""
        return self._read(kind, of, lambda noted: str(noted['last_uuid']))

    def note(self, kind: str, of: str, come_to: Row, conflicts: int, where: str = '') -> None:
        """Note how far it has been read, and how many more conflicts were met."""
        with self._lock:
            before = self.get(kind, of, where) or {}
            conflicts += before.get('conflicts', 0)
            self._write(kind, of, {**come_to, 'conflicts': conflicts, 'where': where})

    def note_uuid(self, kind: str, of: str, last_uuid: str) -> None:
        """Note up to which uuid it has been read."""
        self._write(kind, of, {'last_uuid': last_uuid})

    def clear(self, kind: str, of: str) -> None:
        """Forget it."""
        try:
            self._path(kind, of).unlink(missing_ok=True)
        except OSError as error:
            LOG.warning('The resume point of %s %s cannot be removed: %s', kind, of, error)

    def _read(self, kind: str, of: str, form: Callable[[Any], _T]) -> _T | None:
        try:
            return form(json.loads(self._path(kind, of).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
            LOG.warning('The resume point of %s %s is passed over: %s', kind, of, error)
            return None

    def _write(self, kind: str, of: str, noted: Row) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_files.replace(self._path(kind, of), json.dumps(noted).encode())
        except OSError as error:
            # What it is about is committed. The next run begins at an earlier row.
            LOG.warning(
                'How far %s %s was read cannot be noted (%s): check [DEFAULT] state_path',
                kind,
                of,
                error,
            )

    def _path(self, kind: str, of: str) -> pathlib.Path:
        which = hashlib.sha256(f'{self._database}\n{of}'.encode(errors='surrogateescape'))
        return self._folder / f'{kind}-{which.hexdigest()}.json'
