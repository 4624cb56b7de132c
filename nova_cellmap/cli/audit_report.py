# SPDX-License-Identifier: Apache-2.0
"""What an audit has found, as a person or a script wants to read it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import enum
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nova_cellmap.cli import streams
from nova_cellmap.text import escaped

if TYPE_CHECKING:
    from nova_cellmap import exception
    from nova_cellmap.upkeep.cell_report import CellReport

# The width of the longest bar of the summary.
_BAR = 30
_INSTANCES, _HOSTS = 'instances', 'hosts'
# Where nobody watches.
_LOG_WIDTH = 200


class Problem(Protocol):
    """What is wrong with one instance, or one host."""

    @property
    def detail(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def kind(self) -> enum.StrEnum: ...

    @property
    def cell_uuid(self) -> str: ...

    @property
    def repaired(self) -> bool: ...

    @property
    def is_removal(self) -> bool: ...


class Run(Protocol):
    """An audit, so far as the command has to know."""

    refused: 'exception.ChangesRefused | None'
    unknown: Sequence[str]

    @property
    def instances(self) -> int: ...

    @property
    def errors(self) -> 'Mapping[str, exception.CellError]': ...

    def problems(self, on_batch: Callable[[float], None]) -> Iterator[Problem]: ...


class RunOverCells(Run, Protocol):
    """One that has a report of each cell."""

    began_after: str
    stopped_at: str | None

    @property
    def reports(self) -> 'Mapping[str, CellReport]': ...


class Report:
    """What a run has found so far.

    :param things: what it compares: ``instances`` or ``hosts``
    """

    def __init__(self, run: RunOverCells, things: str = _INSTANCES) -> None:
        self._run = run
        self._things = things
        self._start = time.monotonic()

    def counts(self) -> str:
        """How many problems there were and are."""
        reports = self._run.reports.values()
        found = sum(report.found.total() for report in reports)
        repaired = sum(report.repaired.total() for report in reports)
        return f'{_counted(found, "problem")} found until then, {repaired:,} of them repaired'

    def summary(self) -> dict[str, Any]:
        run = self._run
        left = sum(report.left for report in run.reports.values())
        # A cell that is not looked at may still have to be asked who has an instance.
        unread = {uuid: str(why) for uuid, why in run.errors.items() if uuid not in run.reports}
        return {
            'status': self._status(left),
            self._things: run.instances,
            'mappings': sum(report.mappings for report in run.reports.values()),
            'problems': sum(report.found.total() for report in run.reports.values()),
            'left': left,
            'in_flight': sum(report.in_flight for report in run.reports.values()),
            'seconds': round(time.monotonic() - self._start, 3),
            'cells': [self._of_cell(uuid) for uuid in run.reports],
            'other_cells_not_read': unread,
            **self._limits(),
        }

    def show(self, stream: TextIO) -> None:
        """Print it."""
        show(self.summary(), stream)

    def _status(self, left: int) -> int:
        run = self._run
        if run.refused is not None:
            return 3
        if run.errors:
            return 2
        return 1 if left or run.stopped_at is not None else 0

    def _limits(self) -> dict[str, Any]:
        """What was not done, where it was limited."""
        run = self._run
        limits = {
            'began_after': run.began_after or None,
            'stopped_at': run.stopped_at,
            'refused': run.refused and {**run.refused.kwargs},
        }
        return {name: value for name, value in limits.items() if value is not None}

    def _of_cell(self, uuid: str) -> dict[str, Any]:
        report, errors = self._run.reports[uuid], self._run.errors
        return {
            'cell_uuid': uuid,
            'cell_name': report.cell.name,
            self._things: report.instances,
            'mappings': report.mappings,
            'problems': {kind.value: number for kind, number in sorted(report.found.items())},
            'repaired': report.repaired.total(),
            'left': report.left,
            'in_flight': report.in_flight,
            'error': str(errors[uuid]) if uuid in errors else None,
        }


def show(summary: dict[str, Any], stream: TextIO) -> None:
    """Print a summary: a line and a bar a cell, and what is left."""
    from rich import console
    from rich import text

    # Nobody breaks the lines of a log.
    printer = console.Console(
        file=streams.to_draw_on(stream),
        highlight=False,
        width=None if stream.isatty() else _LOG_WIDTH,
    )
    printer.print(_table(summary))
    lines = [
        f'{_name(cell)}: '
        + ', '.join(f'{number:,} {kind}' for kind, number in cell['problems'].items())
        for cell in summary['cells']
        if cell['problems']
    ]
    errors = [cell['error'] for cell in summary['cells'] if cell['error'] is not None]
    if summary['in_flight']:
        lines.append(
            f'{summary["in_flight"]:,} in flight: left alone, until Nova is done with them.'
        )
    for line in lines:
        printer.print(_text(line), soft_wrap=True)
    for error in (*errors, *summary['other_cells_not_read'].values()):
        printer.print(_text(error, style='red'), soft_wrap=True)
    style = 'red' if summary['status'] else 'green'
    printer.print(text.Text(_verdict(summary), style=style), soft_wrap=True)


def _table(summary: dict[str, Any]) -> Any:
    from rich import table
    from rich import text

    shown = table.Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    shown.add_column('cell')
    things = _things(summary)
    for name in (things, 'problems', 'repaired', 'left'):
        shown.add_column(name, justify='right')
    shown.add_column('')
    most = max((cell[things] for cell in summary['cells']), default=0)
    for cell in summary['cells']:
        if cell['error'] is not None:
            shown.add_row(_text(_name(cell)), *'----', text.Text('not read', style='red'))
            continue
        size, found = cell[things], sum(cell['problems'].values())
        numbers = size, found, cell['repaired'], cell['left']
        bar = _bar(size, cell['left'], most)
        shown.add_row(_text(_name(cell)), *(f'{number:,}' for number in numbers), bar)
    return shown


def _things(summary: dict[str, Any]) -> str:
    """What was compared."""
    return _HOSTS if _HOSTS in summary else _INSTANCES


def _name(cell: dict[str, Any]) -> str:
    return str(cell['cell_name'] or cell['cell_uuid'])


def _text(words: str, style: str = '') -> Any:
    """Words of others, which are no markup and do not move the cursor."""
    from rich import text

    return text.Text(escaped(words), style=style)


def _bar(size: int, left: int, most: int) -> Any:
    """A cell's size beside the largest; red is the part that has problems left."""
    from rich import text

    width = max(1, round(_BAR * size / most)) if size and most else 0
    bad = min(width, -(-width * left // max(size, 1)))
    return text.Text('█' * (width - bad), style='green') + text.Text('░' * bad, style='red')


def _verdict(summary: dict[str, Any]) -> str:
    things = _things(summary)
    rate = summary[things] / max(summary['seconds'], 1e-3)
    compared = _counted(summary[things], things.removesuffix('s'))
    took = f'{compared} in {summary["seconds"]:,.1f} s, {rate:,.0f}/s'
    left = summary['left']
    if 'refused' in summary:
        return f'Nothing was changed: too much would have been ({took}).'
    part = ''
    if 'began_after' in summary:
        part = f' from {summary["began_after"]} on'
    if 'stopped_at' in summary:
        part += f' up to {summary["stopped_at"]}, where the time was over'
    if part:
        rest = f'{_counted(left, "problem")} left' if left else 'no problem left'
        return f'{rest}{part} ({took}).'
    if summary['status'] == 2:
        rest = f'{_counted(left, "problem")} left' if left else 'no problem'
        return f'Not all cells could be read; in the others, {rest} ({took}).'
    if left:
        return f'{_counted(left, "problem")} left ({took}).'
    if summary['problems']:
        return f'{_counted(summary["problems"], "problem")} repaired, none left ({took}).'
    return f'The mapping is correct ({took}).'


def _counted(number: int, thing: str) -> str:
    return f'{number:,} {thing}' if number == 1 else f'{number:,} {thing}s'
