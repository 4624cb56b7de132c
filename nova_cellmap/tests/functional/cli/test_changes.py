# SPDX-License-Identifier: Apache-2.0
"""Plans, journals, and what is done with them: apply, revert, history."""

import json
import pathlib
import stat
from typing import Any

from nova_cellmap import nova_cell
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.upkeep import journal as journals

_NOTHING_OLD = ('--min-age', '0')


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell2, self.nova2 = self.new_cell('cell2')
        self.plan = self.folder / 'plan.jsonl'

    @property
    def journal(self) -> pathlib.Path:
        """Where the journal is by default."""
        return pathlib.Path(self.database.state_path or self.folder, journals.FILE)

    def break_(self) -> tuple[str, str]:
        """Two that are wrong: the uuid of a missing one, and of an orphaned one."""
        return nova_cell.add(self.nova), self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid

    def audit(self, *options: str) -> base.Outcome:
        return self.call('cell_v2', 'audit', *_NOTHING_OLD, *options, '-f', 'json')

    def make_plan(self) -> str:
        options = '--repair', '--purge', '--plan', str(self.plan)
        return self.assert_ends(1, self.audit(*options)).err

    def apply(self, status: int, *options: str) -> Any:
        argv = 'cell_v2', 'apply', str(self.plan), *_NOTHING_OLD, *options, '-f', 'json'
        return self.assert_ends(status, self.call(*argv)).json

    def revert(self, status: int, *options: str) -> Any:
        argv = 'cell_v2', 'revert', str(self.journal), *options, '-f', 'json'
        return self.assert_ends(status, self.call(*argv)).json

    def history(self, status: int, uuid: str, *options: str) -> Any:
        argv = 'cell_v2', 'history', uuid, *options, '-f', 'json'
        return self.assert_ends(status, self.call(*argv)).json


@functional_base.on_both_schemas
class Changes(_Case):
    def test_a_plan_is_made_and_taken_back(self) -> None:
        missing, orphan = self.break_()
        before = self.mapped()
        self.assertIn(f'2 changes are planned in {self.plan}', self.make_plan())
        self.assertEqual(0o600, stat.S_IMODE(self.plan.stat().st_mode))
        self.assertEqual(before, self.mapped())
        self.assertFalse(self.journal.exists())
        lines = [json.loads(line) for line in self.plan.read_text().splitlines()]
        self.assertEqual(
            {missing: ['missing'], orphan: ['orphaned']},
            {each['instance_uuid']: each['problems'] for each in lines},
        )
        path = str(self.journal.absolute())
        self.assertEqual({'changes': 2, 'made': 2, 'left': 0, 'journal': path}, self.apply(0))
        self.assertEqual({missing: self.cell.uuid}, self.mapped())
        self.assertEqual(2, self.apply(1)['left'])
        self.assertEqual(
            {'changes': 2, 'reverted': 2, 'left': 0, 'unmade': 0, 'journal': path},
            self.revert(0),
        )
        self.assertEqual(before, self.mapped())
        self.assertEqual(0, self.revert(0)['changes'])

    def test_a_repair_is_taken_back_and_told(self) -> None:
        missing, orphan = self.break_()
        err = self.assert_succeeds('cell_v2', 'audit', *_NOTHING_OLD, '--repair', '--purge').err
        self.assertIn(f'The changes are in the journal, {self.journal.absolute()}.', err)
        self.assertEqual(1, self.revert(0, '--instance', orphan, '--since', '1h')['reverted'])
        self.assertEqual({missing, orphan}, self.mapped().keys())
        [made, back] = self.history(0, orphan.upper())
        self.assertEqual(
            (['orphaned'], None, 'made'), (made['problems'], made['after'], made['outcome'])
        )
        self.assertEqual(
            (['taken_back'], None, made['before'], 'made'),
            (back['problems'], back['before'], back['after'], back['outcome']),
        )
        self.assertEqual(self.cell.uuid, made['before']['cell_uuid'])
        self.assertIn('no cell has the instance', made['why'])
        self.assertEqual([], self.history(1, self.cell.uuid))
        table = self.assert_succeeds('cell_v2', 'history', orphan).out
        self.assertIn(f'cell_uuid: {self.cell.uuid}', table)

    def test_moves_are_in_the_journal(self) -> None:
        uuid = nova_cell.add(self.nova)
        nova_cell.add(self.nova2, uuid=uuid)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        self.assert_succeeds('cell_v2', 'resolve_duplicate', uuid, '--keep', 'cell2')
        move = 'cell_v2', 'move_mappings', '--from', 'cell2', '--to', 'cell1'
        self.assert_succeeds(*move, '--dry-run')
        self.assert_succeeds(*move)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())
        told = self.history(0, uuid)
        self.assertEqual([['duplicate'], ['moved']], [each['problems'] for each in told])
        self.assertEqual({'made'}, {each['outcome'] for each in told})
        since = told[0]['when']
        self.assertEqual(2, self.revert(0, '--since', since)['reverted'])
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())
        self.assertEqual(4, len(self.history(0, uuid)))

    def test_what_others_have_changed_is_named(self) -> None:
        missing, _ = self.break_()
        self.assert_succeeds('cell_v2', 'audit', *_NOTHING_OLD, '--repair', '--purge')
        self.execute(self.mapping_table.update().values(project_id='others'))
        outcome = self.call('cell_v2', 'revert', str(self.journal), '-f', 'json')
        self.assert_ends(1, outcome)
        self.assertEqual((1, 1), (outcome.json['reverted'], outcome.json['left']))
        self.assertIn(f'instance {missing}: others have changed it', outcome.err)

    def test_a_journal_of_another_name(self) -> None:
        _, orphan = self.break_()
        other = self.folder / 'other.jsonl'
        given = '--journal', str(other)
        self.assert_ends(1, self.audit('--repair', *given))
        self.assertFalse(self.journal.exists())
        self.assert_ends(0, self.audit('--purge', *given))
        self.assertEqual(1, len(self.history(0, orphan, *given)))
        argv = 'cell_v2', 'revert', str(other), *given, '-f', 'json'
        self.assertEqual(2, self.assert_succeeds(*argv).json['reverted'])


class RefusedSqlite(_Case):
    def test_3_where_more_would_be_changed_than_may_be(self) -> None:
        self.break_()
        self.make_plan()
        before = self.mapped()
        apply = 'cell_v2', 'apply', str(self.plan), *_NOTHING_OLD
        said = self.assert_fails(3, *apply, '--max-changes', '1')
        self.assertIn('1 missing, 1 orphaned', said)
        self.assertEqual(before, self.mapped())
        self.apply(0, '--max-changes', '2')
        revert = 'cell_v2', 'revert', str(self.journal)
        self.assertIn('2 taken_back', self.assert_fails(3, *revert, '--max-changes', '1'))
        self.assertEqual(1, len(self.mapped()))

    def test_2_where_a_cell_cannot_be_read(self) -> None:
        self.break_()
        self.make_plan()
        self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        told = self.apply(2)
        self.assertEqual((1, 1), (told['made'], told['left']))

    def test_64_where_a_line_is_wrong(self) -> None:
        self.break_()
        self.make_plan()
        before = self.mapped()
        with self.plan.open('a') as file:
            file.write('{"instance_uuid": "\x1b"}\n')
        said = self.assert_fails(64, 'cell_v2', 'apply', str(self.plan))
        self.assertIn('line 3', said)
        self.assertEqual(before, self.mapped())
        self.assert_fails(64, 'cell_v2', 'revert', str(self.plan))
        self.assert_fails(64, 'cell_v2', 'history', 'x', '--journal', str(self.plan))

    def test_64_where_a_value_is_none(self) -> None:
        self.plan.touch()
        apply, revert = (('cell_v2', word, str(self.plan)) for word in ('apply', 'revert'))
        for argv in (
            (*apply, '--min-age', 'x'),
            (*apply, '--max-changes', 'x'),
            (*revert, '--since', 'x'),
            (*revert, '--instance', 'x'),
            ('cell_v2', 'apply', str(self.folder)),
            ('cell_v2', 'audit', '--plan', str(self.plan)),
        ):
            self.assert_fails(64, *argv)
        audit = 'cell_v2', 'audit', '--repair', '--plan'
        for path in (self.folder, self.folder / 'no' / 'x'):
            self.assertIn('--plan', self.assert_fails(64, *audit, str(path)))

    def test_66_where_there_is_no_such_file(self) -> None:
        self.assertIn(journals.FILE, self.assert_fails(66, 'cell_v2', 'history', 'x'))
        for word in ('apply', 'revert'):
            path = str(self.folder / 'nosuch')
            self.assertIn(path, self.assert_fails(66, 'cell_v2', word, path))

    def test_66_where_the_journal_that_is_read_would_be_the_one_that_is_made(self) -> None:
        said = self.assert_fails(66, 'cell_v2', 'revert', str(self.journal))
        self.assertIn(str(self.journal), said)
        self.assertFalse(self.journal.exists())

    def test_69_where_the_journal_cannot_be_written(self) -> None:
        uuid = nova_cell.add(self.nova2)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        self.make_plan()
        for path in (self.folder, self.folder / 'no' / 'x'):
            for argv in (
                ('audit', '--repair'),
                ('apply', str(self.plan)),
                ('revert', str(self.plan)),
                ('resolve_duplicate', uuid, '--keep', 'cell2'),
                ('move_mappings', '--from', 'cell1', '--to', 'cell2'),
            ):
                said = self.assert_fails(69, 'cell_v2', *argv, '--journal', str(path))
                self.assertIn('--journal FILE', said)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())
        # Who only looks needs none.
        self.assert_ends(1, self.audit('--journal', str(self.folder)))

    def test_a_plan_that_fails_leaves_the_previous_one(self) -> None:
        self.plan.write_text('previous')
        argv = '--repair', '--plan', str(self.plan), '--cell', 'nosuch'
        self.assert_ends(66, self.audit(*argv))
        self.assertEqual('previous', self.plan.read_text())
