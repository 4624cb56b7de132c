# SPDX-License-Identifier: Apache-2.0
"""The cells as this process has read them lately, so that not each answer needs to read them.

What this process changes itself it forgets at once; of what others change it learns when the
time has passed that ``[cells] cache_time`` gives.
"""

from collections.abc import Collection, Iterable
import threading
import time
from typing import Any

from nova_cellmap import runtime

Row = dict[str, Any]


class KnownCells(runtime.Part):
    """Rows of ``cell_mapping``, as a runtime has read them lately."""

    def __init__(self, owner: runtime.Runtime) -> None:
        self._seconds: float = owner.conf.cells.cache_time
        self._lock = threading.Lock()
        # With the time at which each was read, on the clock of time.monotonic.
        self._rows: dict[str, tuple[float, Row]] = {}
        self._read_at = float('-inf')
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often they were forgotten: to be asked for before cells are read."""
        return self._generation

    @property
    def are_fresh(self) -> bool:
        """Whether any is known."""
        return time.monotonic() - self._read_at < self._seconds

    def get(self, uuids: Collection[str]) -> dict[str, Row]:
        """Those of these cells that are known, by uuid; each a dict of the caller's own."""
        since = time.monotonic() - self._seconds
        with self._lock:
            found = [(uuid, self._rows.get(uuid, _NOTHING)) for uuid in uuids]
        return {uuid: dict(row) for uuid, (read_at, row) in found if read_at > since}

    def keep(self, rows: Iterable[Row], generation: int, read_at: float) -> None:
        """Know these cells, unless one was changed meanwhile.

        :param generation: what :attr:`generation` said before they were read
        :param read_at: when that was, or when the transaction began that they were read in
        """
        with self._lock:
            if self._seconds and generation == self._generation:
                self._rows.update((row['uuid'], (read_at, dict(row))) for row in rows)
                self._read_at = max(self._read_at, read_at)

    def forget(self) -> None:
        with self._lock:
            self._generation += 1
            self._rows.clear()
            self._read_at = float('-inf')


_NOTHING: tuple[float, Row] = (float('-inf'), {})
