# SPDX-License-Identifier: Apache-2.0
"""Whether the conductor is well, as the last checks have found it.

Each check is made now and then in a thread of its own. A question is told what the last one has
found: no question takes longer because something does not answer, and many questions are no work
for the database or the message queue.
"""

from collections.abc import Callable, Mapping
import dataclasses
import datetime
import enum
import logging
import threading
import time
from typing import Any

from nova_cellmap import text
from nova_cellmap.version import __version__

LOG = logging.getLogger(__name__)

# In seconds: between two checks, between two where something is wrong, and for how long one is
# believed.
INTERVAL = 10.0
SOON = 2.0
PATIENCE = 60.0
# In characters.
_MAX_OUTPUT = 500


class Status(enum.StrEnum):
    """How a check, or all of them, ended; the worst comes last."""

    PASS = 'pass'
    WARN = 'warn'
    FAIL = 'fail'


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check has found.

    :ivar output: why it does not pass
    :ivar value: a number that it measured, in *unit*
    :ivar at: when, by the monotonic clock
    """

    status: Status
    output: str = ''
    value: float | None = None
    unit: str = ''
    at: float = dataclasses.field(default_factory=time.monotonic)

    def as_json(self) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC)
        at = now - datetime.timedelta(seconds=time.monotonic() - self.at)
        shown: dict[str, Any] = {'status': self.status, 'time': f'{at:%Y-%m-%dT%H:%M:%SZ}'}
        if self.output:
            shown['output'] = text.line(self.output, _MAX_OUTPUT)
        if self.value is not None:
            shown |= {'observedValue': round(self.value, 6), 'observedUnit': self.unit}
        return shown


class Health:
    """The checks, and what the last of each has found.

    :param checks: by their names; what one raises is its failure
    :param interval: how many seconds are between two of a kind
    :param patience: after how many seconds without an end a check counts as failed
    """

    def __init__(
        self,
        checks: Mapping[str, Callable[[], Finding]],
        *,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
    ) -> None:
        self._checks = checks
        self._interval = interval
        self._patience = patience
        self._ended = threading.Event()
        none = Finding(Status.FAIL, 'the first check has not ended yet')
        self._found = dict.fromkeys(checks, none)

    def start(self) -> None:
        """Check from here on, in daemon threads."""
        for name in self._checks:
            threading.Thread(
                target=self._repeat, args=(name,), name=f'nova-cellmap-{name}', daemon=True
            ).start()

    def stop(self) -> None:
        """Begin no further check."""
        self._ended.set()

    def findings(self) -> dict[str, Finding]:
        """What the last check of each kind has found."""
        return {name: self._believed(finding) for name, finding in self._found.items()}

    def as_json(self) -> dict[str, Any]:
        """All of it, in the form of draft-inadarei-api-health-check."""
        found = self.findings()
        order = list(Status)
        return {
            'status': max((finding.status for finding in found.values()), key=order.index),
            'version': '1',
            'releaseId': __version__,
            'checks': {name: [finding.as_json()] for name, finding in found.items()},
        }

    def _believed(self, finding: Finding) -> Finding:
        age = time.monotonic() - finding.at
        if age <= self._patience:
            return finding
        return Finding(Status.FAIL, f'no check has ended for {age:.0f} seconds', at=finding.at)

    def _repeat(self, name: str) -> None:
        while not self._ended.is_set():
            self._found[name] = found = self._finding(name)
            is_well = found.status is Status.PASS
            self._ended.wait(self._interval if is_well else min(self._interval, SOON))

    def _finding(self, name: str) -> Finding:
        try:
            return self._checks[name]()
        except Exception as error:
            LOG.exception('The check of the %s failed unforeseen', name)
            return Finding(Status.FAIL, f'the check itself failed: {type(error).__name__}')
