# SPDX-License-Identifier: Apache-2.0
"""A log that those who call cannot fill or forge."""

import logging
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_log import log as oslo_logging

from nova_cellmap import log_lines
from nova_cellmap import text

# In characters: of a caller's text, and of any line.
_MAX_SHOWN = 200
_MAX_LINE = 2000
# One place in the code writes so many lines at once, and then one in so many seconds.
BURST = 100
SECONDS = 1.0
# What a traceback counts for.
_TRACEBACK = 10


def shown(value: Any, most: int = _MAX_SHOWN) -> str:
    """A text of others as it may be in a line of the log."""
    return text.line(str(value), most)


class Bounded(logging.Filter):
    """Lets a place in the code log no more than so often, and no line of any length."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._places: dict[tuple[str, int], _Allowance] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            place = self._places.setdefault((record.pathname, record.lineno), _Allowance())
            left_out = place.take(time.monotonic(), _TRACEBACK if record.exc_info else 1)
        if left_out is None:
            return False
        more = f' ({left_out} more of these lines were left out)' if left_out else ''
        record.msg, record.args = shown(record.getMessage(), _MAX_LINE) + more, ()
        return True


class _Allowance:
    """How many lines a place may still write."""

    def __init__(self) -> None:
        self._lines = float(BURST)
        self._at = 0.0
        self._left_out = 0

    def take(self, now: float, lines: int) -> int | None:
        """How many were left out before this one of so many lines; None: this one is as well."""
        self._lines = min(BURST, self._lines + (now - self._at) / SECONDS)
        self._at = now
        if self._lines < lines:
            self._left_out += 1
            return None
        self._lines -= lines
        left_out, self._left_out = self._left_out, 0
        return left_out


def bound() -> None:
    """Bound what this process logs, with the handlers that it has now."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Bounded())


def reopen(conf: cfg.ConfigOpts) -> None:
    """Open the log files of this process again, after a rotation."""
    oslo_logging.setup(conf, 'nova_cellmap')
    log_lines.escape()
    log_lines.guard()
