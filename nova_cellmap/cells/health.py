# SPDX-License-Identifier: Apache-2.0
"""Which cells failed lately, and are skipped for a while."""

from collections.abc import Collection
import dataclasses
import datetime
import logging
import threading
import time

from nova_cellmap import runtime
from nova_cellmap.cells import connections
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What is wrong with a cell.

    ``failures`` counts the calls in a row that failed, ``reason`` is what the last one met.
    ``until`` says how long the cell is skipped; None where it is not, or no longer.
    """

    failures: int
    reason: str
    until: datetime.datetime | None


@dataclasses.dataclass
class _Record:
    place: connections.Place
    failures: int = 0
    reason: str = ''
    # On the clock of time.monotonic; 0 where it was not skipped.
    skipped_until: float = 0

    def trouble(self) -> Trouble:
        left = self.skipped_until - time.monotonic()
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=left)
        return Trouble(self.failures, self.reason, until if left > 0 else None)


class Health(runtime.Part):
    """The cells that failed the last time they were called."""

    def __init__(self, owner: runtime.Runtime) -> None:
        self._limits = owner.conf.cells
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def check(self, cell: CellMapping, seconds: float) -> Trouble | None:
        """The trouble for which a cell is to be skipped; None where it is to be called.

        When the time to skip it has passed, one call is let through; until that is answered,
        or for as many *seconds*, the others skip the cell.
        """
        with self._lock:
            record = self._of(cell)
            if record is None or not record.skipped_until:
                return None
            now = time.monotonic()
            if now < record.skipped_until:
                return record.trouble()
            record.skipped_until = now + seconds
        LOG.info('Trying cell %s again', cell.identity)
        return None

    def succeeded(self, cell: CellMapping) -> None:
        with self._lock:
            record = self._of(cell)
            if record is None:
                return
            del self._records[cell.uuid]
        LOG.info('Cell %s answers again, after %d failures', cell.identity, record.failures)

    def failed(self, cell: CellMapping, reason: str) -> None:
        """Take note that a cell could not be reached, or did not answer in time."""
        with self._lock:
            record = self._of(cell)
            if record is None:
                record = self._records[cell.uuid] = _Record(connections.place_of(cell))
            record.failures += 1
            record.reason = reason
            limit = self._limits.failures_before_skip
            is_skipped = 0 < limit <= record.failures
            if is_skipped:
                record.skipped_until = time.monotonic() + self._limits.skip_time
        if is_skipped:
            LOG.warning(
                'Skipping cell %s for %d s: it failed %d times in a row; %s',
                cell.identity,
                self._limits.skip_time,
                record.failures,
                reason,
            )

    def troubles(self) -> dict[str, Trouble]:
        """What is wrong with each cell that failed the last time, by its uuid."""
        with self._lock:
            return {uuid: record.trouble() for uuid, record in self._records.items()}

    def forget(self, uuids: Collection[str]) -> None:
        """Call these cells as if they had not failed."""
        with self._lock:
            for uuid in uuids:
                self._records.pop(uuid, None)

    def forget_all_but(self, uuids: Collection[str]) -> None:
        self.forget(self.troubles().keys() - uuids)

    def _of(self, cell: CellMapping) -> _Record | None:
        record = self._records.get(cell.uuid)
        if record is not None and record.place != connections.place_of(cell):
            # The failures were another place's.
            del self._records[cell.uuid]
            return None
        return record
