# SPDX-License-Identifier: Apache-2.0
"""The audit: what differs between the mapping and the cells, and repairing it."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import json
from typing import TYPE_CHECKING, Any

from nova_cellmap import exception
from nova_cellmap import private_files
from nova_cellmap.cli import audit_report
from nova_cellmap.cli import base
from nova_cellmap.cli import cell as cell_commands
from nova_cellmap.cli import changing
from nova_cellmap.cli import durations
from nova_cellmap.cli import leftover_report
from nova_cellmap.cli import progress
from nova_cellmap.cli import streams

if TYPE_CHECKING:
    from nova_cellmap.upkeep.cell_report import CellReport
    from nova_cellmap.upkeep.change import Change
    from nova_cellmap.upkeep.journal import Journal


class Audit(base.Lister):
    """Compare the mapping with the instances of every cell, and repair it where asked to.

    Prints a row for each problem: missing (an instance without a mapping), orphaned (a
    mapping of an instance that no cell has), wrong_cell, no_cell (mapped to no cell, but
    in one), wrong_owner, stale_queued_for_delete, duplicate (live in two cells),
    invalid_row (a row of a cell that no mapping can be made of), and stuck (see
    --stuck-after). What Nova is at work on, or was a moment ago, is in flight: it is
    counted, is no problem, and is left alone. A mapping that is changed while it is
    looked at stays as its writer left it. A cell that cannot be read makes nothing
    orphaned. It may be killed and run again at any time.

    With --hosts, where the mapping is in Nova's own tables: a row for each compute host
    that is unmapped, stale (mapped, and in no cell any more), in the wrong_cell or
    in_two_cells.

    With --leftovers, likewise: a row for each instance of which a build_request_left,
    request_spec_left or group_member_left is there, and for each mapping that is
    unmigrated (Nova counts in all cells as long as there is one).
    """

    examples = (
        'nova-cellmap-manage cell_v2 audit',
        'nova-cellmap-manage cell_v2 audit --repair --purge',
        '# where nothing else writes, as right after map_instances:',
        'nova-cellmap-manage cell_v2 audit --repair --min-age 0',
        '# after a restored backup, when the problems have been looked at:',
        'nova-cellmap-manage cell_v2 audit --repair --max-changes 5%',
        '# every night, gently, a part of a large cloud, with a record of how it went:',
        'nova-cellmap-manage cell_v2 audit --repair --batch-size 500 --sleep 0.1 \\',
        '    --max-duration 2h -f csv --summary /var/lib/nova-cellmap/audit.json \\',
        '    --textfile /var/lib/prometheus/node-exporter/nova-cellmap.prom',
        '# after hosts were added, removed or moved:',
        'nova-cellmap-manage cell_v2 audit --hosts',
        '# what Nova has left behind in its API database:',
        'nova-cellmap-manage cell_v2 audit --leftovers',
        '# only write down what it would do, for cell_v2 apply:',
        'nova-cellmap-manage cell_v2 audit --repair --purge --plan plan.jsonl',
        '# for one user who complains:',
        'nova-cellmap-manage cell_v2 audit --project PROJECT',
        'nova-cellmap-manage cell_v2 audit --repair --instance UUID --instance UUID',
    )
    exit_statuses = {
        0: 'the mapping is correct, or is now',
        1: 'problems are left, or --max-duration was over before the end',
        2: 'a cell could not be read; of the others, problems may be left as well',
        3: 'nothing was changed: more than --max-changes would have been; or a cell is empty and '
        'many mappings name it, and --purge was refused',
        base.Status.NO_INPUT: 'there is no such cell, or nobody knows such an instance',
        base.Status.USAGE: 'a number, a time or a uuid is none, or a file has no place',
    }
    statuses = {exception.PurgeRefused: 3, exception.ChangesRefused: 3}
    tells_database = True
    columns = ('instance_uuid', 'problem', 'cell_uuid', 'detail')

    def columns_of(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        return ('host', *self.columns[1:]) if parsed_args.hosts else self.columns

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        cell_commands.add_cell(parser, required=False, verb=' to look at; all by default')
        changing.add_instances(parser, 'Look at this instance alone')
        parser.add_argument(
            '--project', metavar='ID', help='Look at the instances of this project alone.'
        )
        parser.add_argument(
            '--hosts',
            action='store_true',
            help="Look at the hosts that Nova's host_mappings names, in place of the instances.",
        )
        parser.add_argument(
            '--leftovers',
            action='store_true',
            help='Look at what Nova has left behind of instances in its API database.',
        )
        parser.add_argument(
            '--repair',
            action='store_true',
            help='Repair what the cells tell how to: all but orphaned, duplicate, invalid_row '
            'and stuck.',
        )
        parser.add_argument('--purge', action='store_true', help='Remove the orphaned mappings.')
        changing.add_limit(
            parser,
            'Change nothing where more than N mappings, or P%% of all, would be repaired and '
            'removed',
        )
        changing.add_journal(parser)
        parser.add_argument(
            '--plan',
            metavar='FILE',
            help='Write there what --repair and --purge would change, a line a change, for '
            '`cell_v2 apply`; change nothing. --max-changes is no matter then.',
        )
        parser.add_argument(
            '--max-duration',
            metavar='TIME',
            help='Read no further after this time; the next run with the same options goes on '
            'there. 90, 90s, 15m, 1h, 1d.',
        )
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
            '--min-age',
            metavar='TIME',
            default=durations.MIN_AGE,
            help='Look another time at what was changed later, in its cell or in the mapping: it '
            f'may be in flight; {durations.MIN_AGE} by default.',
        )
        parser.add_argument(
            '--stuck-after',
            metavar='TIME',
            default='1d',
            help='Call stuck what has been in flight for so long without a change; 1d by default.',
        )
        parser.add_argument(
            '--summary', metavar='FILE', help='Write the summary there as well, as JSON.'
        )
        parser.add_argument(
            '--textfile',
            metavar='FILE',
            help="Write it there for Prometheus' node exporter, whose folder it is in; the name "
            'ends in .prom.',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        batch_size = base.positive('--batch-size', parsed_args.batch_size, most=base.MOST_AT_ONCE)
        sleep = _seconds('--sleep', parsed_args.sleep)
        min_age = durations.duration('--min-age', parsed_args.min_age)
        stuck_after = durations.duration('--stuck-after', parsed_args.stuck_after)
        max_duration = None
        if parsed_args.max_duration is not None:
            max_duration = durations.duration('--max-duration', parsed_args.max_duration)
        max_changes = changing.most_changes(parsed_args.max_changes)
        instances = changing.instances(parsed_args.instance)
        _check_what_is_looked_at(parsed_args)
        is_changing = parsed_args.repair or parsed_args.purge
        if parsed_args.plan is not None and not is_changing:
            raise base.CommandError('--plan is of what --repair and --purge change: give one.')
        self._journal: Journal | None = None
        self._summary_file = _File('--summary', parsed_args.summary)
        self._text_file = _text_file(parsed_args.textfile)
        self._plan = None if parsed_args.plan is None else _PlanFile(parsed_args.plan)
        self._reports: Mapping[str, CellReport] = {}

        from nova_cellmap.objects import CellMappingList
        from nova_cellmap.upkeep import age
        from nova_cellmap.upkeep import audit
        from nova_cellmap.upkeep import registration

        context = self.context
        only = None
        if parsed_args.cell is not None:
            only = registration.get_cell(context, parsed_args.cell)
        patience = age.Patience(min_age, stuck_after)
        cells = CellMappingList.get_all(context)
        if parsed_args.hosts:
            from nova_cellmap.upkeep import hosts

            of_hosts = hosts.HostAudit(context, cells, only=only, patience=patience)
            return self._begun(of_hosts, audit_report.Report(of_hosts, 'hosts'), parsed_args)
        if parsed_args.leftovers:
            from nova_cellmap.upkeep import leftovers

            of_leftovers = leftovers.LeftoverAudit(
                context,
                cells,
                batch_size=batch_size or leftovers.BATCH_SIZE,
                sleep=sleep,
                patience=patience,
            )
            report = leftover_report.Report(of_leftovers)
            return self._begun(of_leftovers, report, parsed_args)
        if is_changing and self._plan is None:
            self._journal = changing.journal(self.conf, parsed_args.journal)
        run = audit.Audit(
            context,
            cells,
            only=only,
            repair=parsed_args.repair,
            purge=parsed_args.purge,
            batch_size=batch_size or audit.BATCH_SIZE,
            sleep=sleep,
            patience=patience,
            project_id=parsed_args.project,
            instances=instances,
            most_changes=max_changes,
            most_time=max_duration,
            journal=self._journal,
            plan=None if self._plan is None else self._plan.add,
        )
        self._reports = run.reports
        return self._begun(run, audit_report.Report(run), parsed_args)

    def _begun(
        self,
        run: audit_report.Run,
        report: audit_report.Report | leftover_report.Report,
        parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        self._run, self._report, self._is_done = run, report, False
        self._file_error: base.CommandError | None = None
        return self.columns_of(parsed_args), self._rows(run)

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        try:
            result = super().produce_output(parsed_args, column_names, data)
        except _STOPS:
            if not self._is_done:
                self.say(f'Stopped: {self._report.counts()}.')
            raise
        finally:
            if self._is_done and not self.app.is_quiet:
                self._report.show(self.app.stderr)
            changing.tell_journal(self, self._journal)
        if self._plan is not None:
            self.say(f'{self._plan.number:,} changes are planned in {self._plan.path}.')
        if self._run.refused is not None:
            raise self._run.refused
        if self._file_error:
            raise self._file_error
        if self._run.unknown and self.status == 0:
            raise base.CommandError(
                f'Neither the mapping nor a cell has {", ".join(self._run.unknown)}.',
                base.Status.NO_INPUT,
            )
        return result

    def _rows(self, run: audit_report.Run) -> Iterator[tuple[str, ...]]:
        """The problems, as they are found; behind the last one, the summary is written."""
        with (
            contextlib.nullcontext() if self._plan is None else self._plan.written(),
            progress.shown('Auditing', self.app.stderr, self.app.is_quiet) as report,
        ):
            for problem in run.problems(lambda part: report(part, 1, run.instances)):
                done = 'removed' if problem.is_removal else 'repaired'
                detail = f'{problem.detail}; {done}' if problem.repaired else problem.detail
                yield problem.subject, problem.kind.value, problem.cell_uuid, detail
        # Before the rows are printed, or the rest of them: that may fail.
        summary = self._report.summary()
        self.status, self._is_done = summary['status'], True
        try:
            self._write(summary)
        except base.CommandError as error:
            # The rows are printed all the same.
            self._file_error = error

    def _write(self, summary: dict[str, Any]) -> None:
        if self._summary_file.path is not None:
            self._summary_file.write(f'{json.dumps(summary, indent=2)}\n'.encode())
        if self._text_file.path is not None:
            from nova_cellmap.cli import audit_metrics

            last_success = audit_metrics.last_success(self._text_file.path)
            text = audit_metrics.exposition(summary, self._reports, last_success)
            self._text_file.write(text, audit_metrics.MODE)


def _check_what_is_looked_at(parsed_args: argparse.Namespace) -> None:
    """:raises: CommandError"""
    if not parsed_args.hosts and not parsed_args.leftovers:
        return
    what, other = ('hosts', 'leftovers') if parsed_args.hosts else ('leftovers', 'cell')
    nothing_for = ('instance', 'project', 'max_duration', 'repair', 'purge', 'plan', 'textfile')
    for option in (*nothing_for, other):
        if getattr(parsed_args, option):
            raise base.CommandError(f'--{option.replace("_", "-")} is nothing for --{what}.')


# By which it may end midway, when some changes are made; the rows may not be printed yet.
_STOPS = (
    KeyboardInterrupt,
    BrokenPipeError,
    streams.OutputError,
    exception.DatabaseError,
    exception.JournalUnwritable,
)


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(text) if text.isascii() else -1
    except ValueError:
        seconds = -1
    # Neither a negative number nor infinity or no number at all.
    if not 0 <= seconds <= 3600:
        raise base.CommandError(f'{option} must be a number of seconds, 0 to 3600, not {text!r}.')
    return seconds


class _PlanFile:
    """Where the plan goes; a previous one stays until this one is complete."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number = 0
        with _errors_of('--plan', path):
            private_files.check_place(path)

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Have it written when the block comes to its end."""
        with _errors_of('--plan', self.path), private_files.replaced(self.path) as self._file:
            yield

    def add(self, changes: 'Sequence[Change]') -> None:
        with _errors_of('--plan', self.path):
            self._file.writelines(change.line for change in changes)
        self.number += len(changes)


def _text_file(path: str | None) -> '_File':
    if path is not None and not path.endswith('.prom'):
        raise base.CommandError(
            f'--textfile {path}: the node exporter reads only files whose names end in .prom.'
        )
    return _File('--textfile', path)


class _File:
    """What is written at the end, if at all: the file of the run before stays until then.

    :param path: None: it is not written
    """

    def __init__(self, option: str, path: str | None) -> None:
        self._option = option
        self.path = path
        # Hours of work must not end without a place for what they found.
        if path is not None:
            with _errors_of(option, path):
                private_files.check_place(path)

    def write(self, data: bytes, mode: int = private_files.MODE) -> None:
        assert self.path is not None
        with _errors_of(self._option, self.path):
            private_files.replace(self.path, data, mode)


@contextlib.contextmanager
def _errors_of(option: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise base.CommandError(
            f'{option} {path}: no file can be written there: {error.strerror}'
        ) from None
