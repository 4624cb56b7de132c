# SPDX-License-Identifier: Apache-2.0
"""Tables of Nova's, in the shape that a release of it gave them."""

from collections.abc import Callable
import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.cells.nova_table import InstancesTable
from nova_cellmap.cells.nova_table import NovaTable
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base

_ALL = frozenset(nova_cell.instances.c.keys())
_TYPES = {'id': sa.BigInteger(), 'launched_at': sa.DateTime(), 'created_at': sa.DateTime()}
_UUID = '0123abcd-ef45-6789-abcd-ef0123456789'


def _changed(text: str, place: int, character: str) -> str:
    return text[:place] + character + text[place + 1 :]


# Uuids, and what is one but for a little.
_SPELLINGS = st.one_of(
    st.uuids().map(str),
    st.sampled_from([_UUID, *uuids.spellings(_UUID), f'{_UUID}\n', f' {_UUID}', '', '-' * 36]),
    st.builds(
        _changed,
        st.just(_UUID),
        st.integers(0, 36),
        # PostgreSQL keeps no NUL; nor is half a character any.
        st.characters(exclude_categories=['Cs'], exclude_characters='\0'),
    ),
)


class Shapes(tests_base.TestCase):
    def test_a_table_without_what_is_needed_is_refused(self) -> None:
        error = self.assertRaises(
            exception.NotACellDatabase,
            NovaTable,
            'services',
            ['id', 'host'],
            {},
            ['host', 'binary', 'deleted'],
            identity='cell1',
        )
        self.assertIn('cell1', str(error))
        self.assertIn('its table services lacks binary, deleted', str(error))

    def test_it_has_what_is_read_and_is_there(self) -> None:
        table = NovaTable('instances', ['id', 'created_at', 'x'], _TYPES, ['id'], identity='c')
        names = ('id', 'created_at', 'launched_at', 'x')
        self.assertEqual([True, True, False, False], [name in table for name in names])


class _Case(cells_base.TestCase):
    def table(self, *without: str) -> InstancesTable:
        return InstancesTable(
            _ALL - {*without}, ['id', 'uuid'], dialect=self.nova.dialect.name, identity='cell1'
        )

    def read(self, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
        with self.nova.connect() as connection:
            return [*map(tuple, connection.execute(query))]

    def where(
        self, name: str, condition: Callable[[InstancesTable], Any], *without: str
    ) -> set[Any]:
        """A column of the rows of which a condition is true."""
        table = self.table(*without)
        return {value for (value,) in self.read(table.select([name]).where(condition(table)))}


@base.on_each_database
class Columns(_Case):
    def test_those_that_the_release_lacks_are_null(self) -> None:
        nova_cell.add(self.nova, id=7, launched_at=datetime.datetime(2026, 1, 1))
        table = NovaTable('instances', ['id', 'created_at'], _TYPES, ['id'], identity='cell1')
        names = ['launched_at', 'created_at', 'id']
        created_at = datetime.datetime(2026, 1, 1)
        typed = self.read(table.select(names, is_typed=True))
        self.assertEqual([(None, created_at, 7)], typed)
        [(launched_at, text, number)] = self.read(table.select(names, is_plain=True))
        self.assertEqual((None, 7), (launched_at, number))
        self.assertEqual('2026-01-01 00:00:00', text[:19])

    def test_text_is_in_the_order_that_python_has(self) -> None:
        for each in samples.NAMES:
            nova_cell.add(self.nova, display_name=each)
        table = self.table()
        name = table.ordered('display_name')
        query = table.select(['display_name'])
        expected = [(each,) for each in sorted(samples.NAMES)]
        self.assertEqual(expected, self.read(query.order_by(name)))
        behind = query.where(name > table.bound('display_name', 'a')).order_by(name)
        self.assertEqual([row for row in expected if row[0] > 'a'], self.read(behind))


@base.on_each_database
class Conditions(_Case):
    def test_rows_that_are_no_instances(self) -> None:
        real = {nova_cell.add(self.nova), nova_cell.add(self.nova, project_id=None)}
        nova_cell.add(self.nova, uuid=rows.NO_UUID)
        for marker in rows.MARKERS:
            nova_cell.add(self.nova, project_id=marker)
        self.assertEqual(real, self.where('uuid', InstancesTable.is_no_marker))

    def test_deleted_and_soft_deleted_ones(self) -> None:
        deleted = nova_cell.add(self.nova, deleted=7)
        soft = nova_cell.add(self.nova, vm_state='soft-delete')
        nova_cell.add(self.nova, deleted=None, vm_state=None)
        self.assertEqual({deleted, soft}, self.where('uuid', InstancesTable.is_deleted))
        # Who cannot say more, says that.
        self.assertEqual({deleted}, self.where('uuid', InstancesTable.is_deleted, 'vm_state'))

    def test_hidden_ones(self) -> None:
        shown = {nova_cell.add(self.nova), nova_cell.add(self.nova, hidden=None)}
        hidden = nova_cell.add(self.nova, hidden=True)
        self.assertEqual(shown, self.where('uuid', InstancesTable.is_shown))
        # Before Train none are.
        self.assertEqual(shown | {hidden}, self.where('uuid', InstancesTable.is_shown, 'hidden'))


@base.on_each_database
class Spellings(_Case):
    def setUp(self) -> None:
        super().setUp()
        columns = sa.Column('id', sa.Integer, primary_key=True), sa.Column('uuid', sa.Text)
        self.nova = self.new_database(*columns)
        self.instances = sa.table('instances', sa.column('id'), sa.column('uuid'))

    def fill(self, spelled: list[str | None]) -> None:
        with self.nova.begin() as connection:
            connection.execute(self.instances.delete())
            # MariaDB makes another number of 0.
            for row in enumerate(spelled, 1):
                connection.execute(self.instances.insert().values(row))

    @hypothesis.settings(max_examples=20)
    @hypothesis.given(st.lists(_SPELLINGS, max_size=20))
    def test_a_database_and_we_take_the_same_for_canonical(self, spelled: list[str]) -> None:
        self.fill([*spelled, None])
        expected = {
            number
            for number, each in enumerate(spelled, 1)
            if uuids.FORM.fullmatch(each) is not None
        }
        self.assertEqual(expected, self.where('id', InstancesTable.is_canonical))
        odd = {*range(1, len(spelled) + 2)} - expected
        self.assertEqual(odd, self.where('id', InstancesTable.is_odd))

    def test_the_digits_of_any_spelling(self) -> None:
        spelled = [_UUID, *uuids.spellings(_UUID), f' {_UUID} ']
        self.fill([*spelled, _UUID.replace('0', '1'), None])
        digits = _UUID.replace('-', '')
        found = self.where('id', lambda table: table.digits() == digits)
        self.assertEqual({*range(1, len(spelled) + 1)}, found)
