# SPDX-License-Identifier: Apache-2.0
"""The audit: what differs between the mapping and the cells, and repairing it."""

import argparse
from collections.abc import Iterable, Iterator
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, TextIO

from nova_cellmap import exception
from nova_cellmap import private_files
from nova_cellmap.cli import base
from nova_cellmap.cli import cell as cell_commands
from nova_cellmap.cli import progress
from nova_cellmap.cli import streams
from nova_cellmap.text import escaped

if TYPE_CHECKING:
    from nova_cellmap.upkeep import audit

# The width of the longest bar of the summary.
_BAR = 30
# Where nobody watches.
_LOG_WIDTH = 200


class Audit(base.Lister):
    """Compare the mapping with the instances of every cell, and repair it where asked to.

    Prints a row for each problem: missing (an instance without a mapping), orphaned (a
    mapping of an instance that no cell has), wrong_cell, no_cell (mapped to no cell, but
    in one), wrong_owner, stale_queued_for_delete, duplicate (live in two cells), and
    invalid_row (a row of a cell that no mapping can be made of). A mapping that is changed
    while it is looked at stays as its writer left it. A cell that cannot be read makes
    nothing orphaned. It may be killed and run again at any time.
    """

    examples = (
        'nova-cellmap-manage cell_v2 audit',
        'nova-cellmap-manage cell_v2 audit --repair --purge',
        '# every night, gently, with a record of how it went:',
        'nova-cellmap-manage cell_v2 audit --repair --batch-size 500 --sleep 0.1 \\',
        '    -f csv --summary /var/lib/nova-cellmap/audit.json',
    )
    exit_statuses = {
        0: 'the mapping is correct, or is now',
        1: 'problems are left',
        2: 'a cell could not be read; of the others, problems may be left as well',
        3: 'a cell is empty and many mappings name it: --purge was refused, nothing was changed',
        base.Status.NO_INPUT: 'there is no such cell',
        base.Status.USAGE: 'a number is not a positive one, or the summary has no place',
    }
    statuses = {exception.PurgeRefused: 3}
    tells_database = True
    columns = ('instance_uuid', 'problem', 'cell_uuid', 'detail')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        cell_commands.add_cell(parser, required=False, verb=' to look at; all by default')
        parser.add_argument(
            '--repair',
            action='store_true',
            help='Repair what the cells tell how to: all but orphaned, duplicate and invalid_row.',
        )
        parser.add_argument('--purge', action='store_true', help='Remove the orphaned mappings.')
        parser.add_argument(
            '--batch-size',
            metavar='N',
            help='Read N rows of each side at a time; 1000 by default, at most 100,000.',
        )
        parser.add_argument(
            '--sleep',
            metavar='SECONDS',
            default='0',
            help='Rest after each batch, to spare the databases; 0 by default.',
        )
        parser.add_argument(
            '--summary', metavar='FILE', help='Write the summary there as well, as JSON.'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        batch_size = base.positive('--batch-size', parsed_args.batch_size, most=base.MOST_AT_ONCE)
        sleep = _seconds('--sleep', parsed_args.sleep)
        self._summary_file = _SummaryFile(parsed_args.summary)

        from nova_cellmap.objects import CellMappingList
        from nova_cellmap.upkeep import audit
        from nova_cellmap.upkeep import registration

        context = self.context
        only = None
        if parsed_args.cell is not None:
            only = registration.get_cell(context, parsed_args.cell)
        run = audit.Audit(
            context,
            CellMappingList.get_all(context),
            only=only,
            repair=parsed_args.repair,
            purge=parsed_args.purge,
            batch_size=batch_size or audit.BATCH_SIZE,
            sleep=sleep,
        )
        self._report, self._is_done = Report(run), False
        self._summary_error: base.CommandError | None = None
        return self.columns, self._rows(run)

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        try:
            result = super().produce_output(parsed_args, column_names, data)
        except (KeyboardInterrupt, BrokenPipeError, streams.OutputError):
            if not self._is_done:
                self.say(f'Stopped: {self._report.counts()}.')
            raise
        finally:
            if self._is_done and not self.app.is_quiet:
                show(self._report.summary(), self.app.stderr)
        if self._summary_error:
            raise self._summary_error
        return result

    def _rows(self, run: 'audit.Audit') -> Iterator[tuple[str, ...]]:
        """The problems, as they are found; behind the last one, the summary is written."""
        with progress.shown('Auditing', self.app.stderr, self.app.is_quiet) as report:
            for problem in run.problems(lambda part: report(part, 1, run.instances)):
                done = 'removed' if problem.kind == 'orphaned' else 'repaired'
                detail = f'{problem.detail}; {done}' if problem.repaired else problem.detail
                yield problem.instance_uuid, problem.kind.value, problem.cell_uuid, detail
        # Before the rows are printed, or the rest of them: that may fail.
        summary = self._report.summary()
        self.status, self._is_done = summary['status'], True
        try:
            self._summary_file.write(summary)
        except base.CommandError as error:
            # The rows are printed all the same.
            self._summary_error = error


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(text) if text.isascii() else -1
    except ValueError:
        seconds = -1
    # Neither a negative number nor infinity or no number at all.
    if not 0 <= seconds <= 3600:
        raise base.CommandError(f'{option} must be a number of seconds, 0 to 3600, not {text!r}.')
    return seconds


class _SummaryFile:
    """Where the summary goes, if anywhere: the file of the run before stays until then."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        # Hours of work must not end without a place for what they found.
        if path is not None:
            with self._errors():
                private_files.check_place(path)

    def write(self, summary: dict[str, Any]) -> None:
        if self._path is not None:
            with self._errors():
                data = json.dumps(summary, indent=2) + '\n'
                private_files.replace(self._path, data.encode())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise base.CommandError(
                f'--summary {self._path}: no file can be written there: {error.strerror}'
            ) from None


class Report:
    """What a run has found so far, as a person or a script wants to read it."""

    def __init__(self, run: 'audit.Audit') -> None:
        self._run = run
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
            'status': 2 if run.errors else 1 if left else 0,
            'instances': run.instances,
            'mappings': sum(report.mappings for report in run.reports.values()),
            'problems': sum(report.found.total() for report in run.reports.values()),
            'left': left,
            'in_flight': sum(report.in_flight for report in run.reports.values()),
            'seconds': round(time.monotonic() - self._start, 3),
            'cells': [self._of_cell(uuid) for uuid in run.reports],
            'other_cells_not_read': unread,
        }

    def _of_cell(self, uuid: str) -> dict[str, Any]:
        report, errors = self._run.reports[uuid], self._run.errors
        return {
            'cell_uuid': uuid,
            'cell_name': report.cell.name,
            'instances': report.instances,
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
        lines.append(f'{summary["in_flight"]:,} in flight: Nova is at work on them; left alone.')
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
    for name in ('instances', 'problems', 'repaired', 'left'):
        shown.add_column(name, justify='right')
    shown.add_column('')
    most = max((cell['instances'] for cell in summary['cells']), default=0)
    for cell in summary['cells']:
        if cell['error'] is not None:
            shown.add_row(_text(_name(cell)), *'----', text.Text('not read', style='red'))
            continue
        numbers = cell['instances'], sum(cell['problems'].values()), cell['repaired'], cell['left']
        shown.add_row(_text(_name(cell)), *(f'{number:,}' for number in numbers), _bar(cell, most))
    return shown


def _name(cell: dict[str, Any]) -> str:
    return str(cell['cell_name'] or cell['cell_uuid'])


def _text(words: str, style: str = '') -> Any:
    """Words of others, which are no markup and do not move the cursor."""
    from rich import text

    return text.Text(escaped(words), style=style)


def _bar(cell: dict[str, Any], most: int) -> Any:
    """The cell's size beside the largest; red is the part that has problems left."""
    from rich import text

    width = max(1, round(_BAR * cell['instances'] / most)) if cell['instances'] else 0
    bad = min(width, -(-width * cell['left'] // max(cell['instances'], 1)))
    return text.Text('█' * (width - bad), style='green') + text.Text('░' * bad, style='red')


def _verdict(summary: dict[str, Any]) -> str:
    rate = summary['instances'] / max(summary['seconds'], 1e-3)
    compared = _counted(summary['instances'], 'instance')
    took = f'{compared} in {summary["seconds"]:,.1f} s, {rate:,.0f}/s'
    left = summary['left']
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
