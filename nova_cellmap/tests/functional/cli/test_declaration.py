# SPDX-License-Identifier: Apache-2.0
"""ensure_cell, and map_cell0 --ensure: what a deployment tool reads."""

from typing import Any

from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base

_DATABASE = 'mysql+pymysql://nova:sekret@db:3306/nova_cell2'
_QUEUE = 'rabbit://nova:sekret@mq:5672/cell2'


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.database_file = self.folder / 'database'
        self.database_file.write_text(f'{_DATABASE}\n')
        queue_file = self.folder / 'queue'
        queue_file.write_text(_QUEUE)
        self.urls = (
            *('--database_connection-file', str(self.database_file)),
            *('--transport-url-file', str(queue_file)),
        )

    def ensure(self, *options: str) -> Any:
        return self.assert_succeeds('cell_v2', 'ensure_cell', *options).json

    def names(self) -> list[str | None]:
        return [cell.name for cell in CellMappingList.get_all(self.context)]


@functional_base.on_both_schemas
class EnsureCell(_Case):
    def test_it_prints_one_object_and_nothing_else(self) -> None:
        would = self.ensure('--name', 'cell2', *self.urls, '--check')
        self.assertEqual((None, True), (would['uuid'], would['changed']))
        self.assertEqual(['cell1'], self.names())
        outcome = self.call('cell_v2', 'ensure_cell', '--name', 'cell2', *self.urls)
        self.assertEqual('', self.assert_ends(0, outcome).err)
        cell = CellMapping.get_by_name(self.context, 'cell2')
        self.assertEqual({**would, 'uuid': cell.uuid}, outcome.json)
        for options in ((), ('--check',)):
            again = self.ensure('--name', 'cell2', *self.urls, *options)
            self.assertEqual({'uuid': cell.uuid, 'changed': False, 'diff': {}}, again)

    def test_a_secret_that_was_changed_is_not_shown(self) -> None:
        self.ensure('--name', 'cell2', *self.urls)
        self.database_file.write_text(_DATABASE.replace('sekret', 'sekret2'))
        outcome = self.ensure('--name', 'cell2', *self.urls, '--check')
        self.assertTrue(outcome['changed'])
        self.assertEqual(['database_connection'], list(outcome['diff']))
        self.assertEqual({'before', 'after'}, outcome['diff']['database_connection'].keys())

    def test_the_state(self) -> None:
        name = '--name', 'cell1'
        states = [
            self.ensure(*name, *options)['diff']
            for options in (('--enabled',), ('--disabled',), (), ('--disabled',), ('--enabled',))
        ]
        off, on = {'before': False, 'after': True}, {'before': True, 'after': False}
        self.assertEqual([{}, {'disabled': off}, {}, {}, {'disabled': on}], states)

    def test_cell0(self) -> None:
        urls = self.urls[:2]
        changed = [
            self.assert_succeeds('cell_v2', *command, *urls, *check).json['changed']
            for command in (('map_cell0', '--ensure'), ('ensure_cell', '--name', 'cell0'))
            for check in (('--check',), (), ('--check',), ())
        ]
        self.assertEqual([True, True] + 6 * [False], changed)
        self.database_file.write_text(f'{_DATABASE}_0')
        outcome = self.assert_succeeds('cell_v2', 'map_cell0', '--ensure', *urls).json
        self.assertEqual(['database_connection'], list(outcome['diff']))


class Failures(_Case):
    def test_exit_statuses(self) -> None:
        name = '--name', 'cell2'
        taken = '--database_connection', self.cell.database_connection
        queue = self.urls[2:]
        for status, options in (
            (1, (*name, *queue, '--database_connection', 'nosuch://nova:sekret@db/x')),
            (2, (*name, *queue, *taken)),
            (5, ('--name', 'cell0', *self.urls, '--disabled')),
            (64, (*self.urls,)),
            (64, (*name, '--disabled', '--enabled')),
            (64, (*name, '--database_connection-file', '-', '--transport-url-file', '-')),
            (66, (*name, '--database_connection-file', str(self.folder / 'nosuch'))),
        ):
            for check in ((), ('--check',)):
                outcome = self.call('cell_v2', 'ensure_cell', *options, *check)
                self.assertEqual('', self.assert_ends(status, outcome).out)
        self.assertEqual(['cell1'], self.names())

    def test_other_formats(self) -> None:
        self.ensure('--name', 'cell2', *self.urls)
        command = 'cell_v2', 'ensure_cell', '--name', 'cell2', '--disabled', '--check'
        shown = self.assert_succeeds(*command, '-f', 'table').out
        self.assertIn('disabled: False -> True', shown)
        shown = self.assert_succeeds(*command, '-f', 'value', '-c', 'diff').out
        self.assertEqual('{"disabled": {"before": false, "after": true}}\n', shown)
        shown = self.assert_succeeds(*command, '-f', 'value', '-c', 'changed').out
        self.assertEqual('True\n', shown)
