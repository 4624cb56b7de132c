# SPDX-License-Identifier: Apache-2.0
"""The cells as this process has read them lately, so that not each answer needs to read them.

What this process changes itself it forgets at once; of what others change it learns when the
time has passed that ``[cells] cache_time`` gives. Cells are few: all are read at once.
"""

from collections.abc import Collection, Iterable
import os
import threading
import time
from typing import Any

from oslo_config import cfg

Row = dict[str, Any]

# Who looks up once asks for the cell as well, which takes one statement. Who does so again
# within this part of the time that cells are known soon has saved what it takes to read all.
_SOON = 0.1


class KnownCells:
    """All rows of ``cell_mapping``, at most so many *seconds* old."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        # On the clock of time.monotonic.
        self._read_at = self._looked_up_at = float('-inf')
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often they were forgotten: to be asked for before cells are read."""
        return self._generation

    def pay_off(self) -> bool:
        """Whether a lookup does well to take its cell from here: they are known, or soon used."""
        now = time.monotonic()
        before, self._looked_up_at = self._looked_up_at, now
        return now - self._read_at < self._seconds or now - before < self._seconds * _SOON

    def get(self, uuids: Collection[str]) -> dict[str, Row]:
        """Those of these cells that are known, by uuid; each a dict of the caller's own."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._seconds:
                return {}
            return {uuid: dict(self._rows[uuid]) for uuid in uuids if uuid in self._rows}

    def keep(self, rows: Iterable[Row], generation: int, read_at: float) -> None:
        """Know these cells, which are all, unless one was changed meanwhile.

        :param generation: what :attr:`generation` said before they were read
        :param read_at: when that was, or when the transaction began that they were read in
        """
        with self._lock:
            if generation == self._generation and read_at > self._read_at:
                self._rows = {row['uuid']: dict(row) for row in rows}
                self._read_at = read_at

    def forget(self) -> None:
        with self._lock:
            self._generation += 1
            self._rows = {}
            self._read_at = float('-inf')


_known = KnownCells(0)


def configure(conf: cfg.ConfigOpts) -> None:
    """Begin anew, with ``[cells] cache_time`` of *conf*."""
    global _known
    _known = KnownCells(conf.cells.cache_time)


def known() -> KnownCells:
    """What this process knows of the cells."""
    return _known


def _begin_anew() -> None:
    """Know nothing, in a child of a fork: the lock may be held by a thread that is not here."""
    global _known
    _known = KnownCells(_known._seconds)


os.register_at_fork(after_in_child=_begin_anew)
