# SPDX-License-Identifier: Apache-2.0
"""resolve_duplicate and move_mappings."""

from nova_cellmap import nova_cell
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base


@functional_base.on_both_schemas
class ResolveDuplicate(base.TestCase):
    command = ('cell_v2', 'resolve_duplicate')

    def test_it_says_what_became_of_it(self) -> None:
        other, nova = self.new_cell('cell2')
        uuid = nova_cell.add(self.nova)
        nova_cell.add(nova, uuid=uuid)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        said = self.assert_succeeds(*self.command, uuid, '--keep', 'cell2', '-f', 'json').json
        self.assertEqual(
            {
                'instance_uuid': uuid,
                'cell_uuid': other.uuid,
                'cell_name': 'cell2',
                'previous_cell_uuid': self.cell.uuid,
                'changed': True,
            },
            said,
        )
        again = self.assert_succeeds(*self.command, uuid, '--keep', other.uuid, '-f', 'json').json
        self.assertEqual((False, other.uuid), (again['changed'], again['previous_cell_uuid']))

    def test_what_it_refuses(self) -> None:
        self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        uuid = nova_cell.add(self.nova, hidden=True)
        unmapped = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid)
        for status, words in (
            (1, (unmapped, '--keep', 'cell1')),
            (4, (uuid, '--keep', 'cell1')),
            (5, (uuid, '--keep', 'lost')),
            (1, ('1234', '--keep', 'cell1')),
            (66, (uuid, '--keep', 'nosuch')),
        ):
            self.assert_fails(status, *self.command, *words)
        self.assertEqual({uuid: None}, self.mapped())


@functional_base.on_both_schemas
class MoveMappings(base.TestCase):
    command = ('cell_v2', 'move_mappings', '--from', 'cell1', '--to', 'cell2')

    def setUp(self) -> None:
        super().setUp()
        self.other, self.other_nova = self.new_cell('cell2')
        self.uuids = [self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid for _ in range(5)]

    def test_some_are_left(self) -> None:
        for uuid in self.uuids[:3]:
            nova_cell.add(self.other_nova, uuid=uuid)
        for options in (('--dry-run',), ()):
            outcome = self.call(*self.command, '--verify', *options, '-f', 'json')
            self.assert_ends(1, outcome)
            self.assertEqual((3, 2), (outcome.json['moved'], outcome.json['not_there']))
            self.assertEqual(bool(options), outcome.json['dry_run'])
            self.assertIn(f'{self.uuids[4]}: cell {self.other.identity} has no row', outcome.err)
        self.assertEqual(
            {self.cell.uuid: 2, self.other.uuid: 3},
            {
                cell.uuid: list(self.mapped().values()).count(cell.uuid)
                for cell in (self.cell, self.other)
            },
        )
        self.assert_succeeds(*self.command)
        self.assertEqual({self.other.uuid}, set(self.mapped().values()))

    def test_those_of_a_file(self) -> None:
        file = self.folder / 'uuids'
        file.write_text(f'# moved on Monday\n\n{self.uuids[0].upper()}\r\n  {self.uuids[1]}\n')
        said = self.assert_succeeds(*self.command, '--uuids', str(file), '-f', 'json').json
        self.assertEqual(2, said['moved'])
        self.assertEqual(
            {*self.uuids[:2]},
            {uuid for uuid, cell in self.mapped().items() if cell == self.other.uuid},
        )

    def test_what_it_refuses(self) -> None:
        file = self.folder / 'uuids'
        file.write_text(f'{self.uuids[0]}\nnone\x1b\n')
        said = self.assert_fails(64, *self.command, '--uuids', str(file))
        self.assertIn('line 2', said)
        move = self.command[:2]
        self.assert_fails(64, *move, '--from', 'cell1', '--to', self.cell.uuid)
        self.assert_fails(64, *self.command, '--batch-size', '0')
        self.assert_fails(64, *self.command, '--uuids', str(self.folder))
        self.assert_fails(66, *self.command, '--uuids', str(self.folder / 'nosuch'))
        self.assert_fails(66, *move, '--from', 'cell1', '--to', 'nosuch')
        self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        self.assert_fails(69, *move, '--from', 'cell1', '--to', 'lost', '--verify')
        self.assertEqual({self.cell.uuid}, set(self.mapped().values()))
