# SPDX-License-Identifier: Apache-2.0
"""A plan is applied beside others who write, killed again and again, and taken back.

What others have changed stays, and all else becomes what it was. Of more changes and kills:

    NOVA_CELLMAP_TEST_CHANGES=100000 NOVA_CELLMAP_TEST_KILLS=20 tools/test \
        nova_cellmap.tests.functional.cli.test_changes_killed.ChangesMariadb
"""

from collections.abc import Iterator, Sequence
import contextlib
import itertools
from multiprocessing import context
import os
import random
import signal
import sys
import threading
import time

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.tests.functional.cli import processes
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import ChangeFiles

_CHANGES = int(os.environ.get('NOVA_CELLMAP_TEST_CHANGES', '2400'))
_KILLS = int(os.environ.get('NOVA_CELLMAP_TEST_KILLS', '2'))
# Others write to one mapping of so many; and each of them waits so many seconds in between.
_ONE_OF = 6
_WRITERS = 2
_PAUSE = 0.002
# In seconds, for one run.
_MOST_TIME = 3600

# What mappings say, by instance; None: there is none.
_Mappings = dict[str, db_api.Row | None]


class _Others:
    """Others who write to some mappings, while the block lasts.

    Who removes what the plan removes does the same, and nobody can tell whose work it is: so they
    do not. Whatever else they write is like nothing that anybody has written.

    :ivar wrote: what each mapping says since somebody has written to it
    """

    def __init__(
        self, cells: Sequence[str | None], uuids: Sequence[str], *, kept: set[str]
    ) -> None:
        self.wrote: _Mappings = {}
        self._cells = cells
        self._kept = kept
        self._numbers = itertools.count(1)
        self._is_over = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._write_all, args=(uuids[number::_WRITERS],))
            for number in range(_WRITERS)
        ]

    def __enter__(self) -> None:
        for each in self._threads:
            each.start()

    def __exit__(self, *args: object) -> None:
        self._is_over.set()
        for each in self._threads:
            each.join()
        if self._errors:
            raise self._errors[0]

    def _write_all(self, uuids: Sequence[str]) -> None:
        context = RequestContext(user_id='other', project_id='other', overwrite=False)
        dice = random.Random(uuids[0])
        try:
            while not self._is_over.wait(_PAUSE):
                uuid = dice.choice(uuids)
                is_removed = uuid not in self._kept and dice.random() < 0.2
                values = None if is_removed else self._values(dice)
                self._write(context, uuid, values)
                self.wrote[uuid] = values
        except BaseException as error:
            self._errors.append(error)

    def _values(self, dice: random.Random) -> db_api.Row:
        return {
            'cell_uuid': dice.choice(self._cells),
            'project_id': f'others-{next(self._numbers)}',
            'user_id': 'others',
            'queued_for_delete': dice.random() < 0.5,
        }

    def _write(self, context: RequestContext, uuid: str, values: db_api.Row | None) -> None:
        """Have a mapping say this, whatever it said."""
        while True:
            # What failed for any reason is written again.
            with contextlib.suppress(exception.DatabaseError, exception.InstanceMappingExists):
                try:
                    if values is None:
                        db_api.instance_mapping_destroy(context, uuid)
                    else:
                        db_api.instance_mapping_update(context, uuid, values)
                except exception.InstanceMappingNotFound:
                    if values is not None:
                        row = {'instance_uuid': uuid, **values}
                        db_api.instance_mapping_create(context, row)
                return


@functional_base.on_both_schemas
class Changes(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell2, nova2 = self.new_cell('cell2')
        nova_cell.add(nova2)
        self.output = self.folder / 'output'
        self.plan = self.folder / 'plan.jsonl'
        self.journal = self.folder / 'journal.jsonl'
        self.dice = random.Random(1)
        self.figures = {'kills': 0}

    def test_exactly_what_others_have_changed_stays(self) -> None:
        self.break_all()
        before = self.now()
        argv = 'audit', '--repair', '--purge', '--plan', str(self.plan), '--min-age', '0'
        self.run_command(1, *argv, '-f', 'value')
        self.assertEqual(before, self.now())
        with ChangeFiles([self.plan]) as plan:
            planned = [entry.change for entry in plan.entries()]
        self.assertLessEqual(_CHANGES, len(planned))
        self.figures['changes'] = len(planned)
        others = self.others(planned)
        with others:
            self.apply()
            after = self.now()
            theirs = {*others.wrote}
            self.revert()
        for one in planned:
            if one.instance_uuid not in others.wrote:
                self.assertEqual(one.after, after.get(one.instance_uuid))
        # They were in the way.
        self.assertTrue(theirs & {one.instance_uuid for one in planned})
        self.assertEqual(_with(before, others.wrote), self.now())
        if 'NOVA_CELLMAP_TEST_CHANGES' in os.environ:
            self.figures['by_others'] = len(others.wrote)
            print(type(self).__name__, self.figures, file=sys.stderr)

    def break_all(self) -> None:
        """Have so many mappings be wrong, in each way that is repaired; and some be right."""
        right = max(_CHANGES // 10, 10)
        nova_cell.fill(self.nova, _CHANGES + right)
        table = nova_cell.instances
        query = sa.select(
            table.c.uuid, table.c.project_id, table.c.user_id, table.c.deleted, table.c.vm_state
        ).order_by(table.c.id)
        with self.nova.connect() as connection:
            rows = connection.execute(query).all()
        mappings = [
            {
                'instance_uuid': row.uuid,
                'cell_uuid': self.cell.uuid,
                'project_id': row.project_id,
                'user_id': row.user_id,
                'queued_for_delete': bool(row.deleted) or row.vm_state == 'soft-delete',
            }
            for row in rows
        ]
        wrong = (_broken(number, row, self.cell2.uuid) for number, row in enumerate(mappings))
        broken = [row for row in itertools.islice(wrong, _CHANGES) if row is not None]
        db_api.instance_mapping_create_bulk(self.context, [*broken, *mappings[_CHANGES:]])

    def others(self, planned: Sequence[Change]) -> _Others:
        uuids = sorted({*self.now(), *(each.instance_uuid for each in planned)})
        kept = {each.instance_uuid for each in planned if each.after is None}
        some = uuids[:: _ONE_OF if _CHANGES > 100 else 1]
        return _Others([self.cell.uuid, self.cell2.uuid, None], some, kept=kept)

    def apply(self) -> None:
        """Apply the plan, killed so many times and stopped twice."""
        argv = 'apply', str(self.plan), '--min-age', '0', '--max-changes', str(2 * _CHANGES)
        stops = [*[signal.SIGKILL] * _KILLS, signal.SIGTERM, signal.SIGINT]
        whole = self.plan.stat().st_size
        with self.timed('apply_seconds'):
            for number, signum in enumerate(stops):
                self.stop_once_behind(whole * number // (len(stops) + 1), signum, *argv)
            self.run_command(1, *argv)

    def revert(self) -> None:
        """Take all back, killed likewise."""
        argv = 'revert', str(self.journal), '--max-changes', str(9 * _CHANGES)
        kills = max(2, _KILLS // 4)
        begin, whole = self.journal_size(), self.plan.stat().st_size
        with self.timed('revert_seconds'):
            for number in range(kills):
                size = begin + whole * number // (kills + 1)
                self.stop_once_behind(size, signal.SIGKILL, *argv)
            self.run_command(1, *argv)

    def stop_once_behind(self, size: int, signum: int, *argv: str) -> None:
        """Stop a run soon after the journal has come to that size."""
        run = self.run_aside(*argv)
        size = max(size, self.journal_size())
        while self.journal_size() <= size:
            self.assertTrue(run.is_alive(), 'it came to its end before')
            time.sleep(0.001)
        time.sleep(self.dice.uniform(0, 0.05))
        os.kill(run.pid or 0, signum)
        run.join(_MOST_TIME)
        self.assertNotIn('Traceback', self.output.read_text())
        self.figures['kills'] += run.exitcode == -signal.SIGKILL

    def run_command(self, status: int, *argv: str) -> None:
        run = self.run_aside(*argv)
        run.join(_MOST_TIME)
        self.assertEqual(status, run.exitcode, self.output.read_text()[-5000:])

    def run_aside(self, *argv: str) -> context.ForkServerProcess:
        config = '--config-file', str(self.config_file)
        command = *config, 'cell_v2', *argv, '--journal', str(self.journal)
        run = processes.start([*command], self.output)
        self.addCleanup(run.join)
        self.addCleanup(run.kill)
        return run

    def journal_size(self) -> int:
        """Of the one that is written and of those before it, in bytes."""
        size = 0
        for path in journals.files(self.journal):
            # It may have got another name.
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def now(self) -> _Mappings:
        """What each mapping says."""
        rows = db_api.instance_mapping_get_all(self.context)
        return {row['instance_uuid']: change.values_of(row) for row in rows}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.figures[name] = round(time.monotonic() - begin)


def _broken(number: int, row: db_api.Row, other_cell: str) -> db_api.Row | None:
    """A mapping that is wrong; None: there is none."""
    match number % 6:
        case 0:
            return None
        case 1:
            # Of an instance that is nowhere; its own has none.
            return {**row, 'instance_uuid': functional_base.new_uuid()}
        case 2:
            return {**row, 'cell_uuid': other_cell}
        case 3:
            return {**row, 'cell_uuid': None}
        case 4:
            return {**row, 'project_id': 'theirs'}
    return {**row, 'queued_for_delete': not row['queued_for_delete']}


def _with(mappings: _Mappings, others: _Mappings) -> _Mappings:
    """The mappings after others have written these."""
    found = {**mappings, **others}
    return {uuid: values for uuid, values in found.items() if values is not None}
