# SPDX-License-Identifier: Apache-2.0
"""What an audit of what Nova has left behind has found."""

import time
from typing import TYPE_CHECKING, Any, TextIO

from nova_cellmap.text import escaped

if TYPE_CHECKING:
    from nova_cellmap.upkeep.leftovers import LeftoverAudit


class Report:
    """What a run has found so far."""

    def __init__(self, run: 'LeftoverAudit') -> None:
        self._run = run
        self._start = time.monotonic()

    def counts(self) -> str:
        """How many problems there were."""
        return f'{self._run.found.total():,} left found until then'

    def summary(self) -> dict[str, Any]:
        run = self._run
        found = run.found.total()
        return {
            'status': 2 if run.errors else 1 if found else 0,
            'rows': run.rows,
            'problems': found,
            'left': found,
            'by_kind': {kind.value: number for kind, number in sorted(run.found.items())},
            'in_flight': run.in_flight,
            'seconds': round(time.monotonic() - self._start, 3),
            'cells_not_read': {uuid: str(error) for uuid, error in run.errors.items()},
        }

    def show(self, stream: TextIO) -> None:
        """Print it, a line a thing."""
        summary = self.summary()
        lines = [f'{number:,} {kind}' for kind, number in summary['by_kind'].items()]
        if summary['in_flight']:
            lines.append(f'{summary["in_flight"]:,} in flight: written a moment ago.')
        lines += summary['cells_not_read'].values()
        rest = f'{summary["left"]:,} left' if summary['left'] else 'Nothing is left'
        lines.append(f'{rest} ({summary["rows"]:,} rows in {summary["seconds"]:,.1f} s).')
        for line in lines:
            print(escaped(line), file=stream)
