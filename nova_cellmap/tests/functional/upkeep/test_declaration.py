# SPDX-License-Identifier: Apache-2.0
"""Cells that are declared: made once, changed where they differ, else left alone."""

from concurrent import futures
from typing import Any

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import declaration
from nova_cellmap.upkeep.declaration import Difference

_DATABASE = 'mysql+pymysql://nova:sekret@db:3306/nova_cell2'
_QUEUE = 'rabbit://nova:sekret@mq:5672/cell2'
_URLS = {'database_connection': _DATABASE, 'transport_url': _QUEUE}


class _Case(cells_base.TestCase):
    def make_conf(self) -> cfg.ConfigOpts:
        conf = super().make_conf()
        conf.set_override('connection', 'mysql+pymysql://nova:sekret@db:3306/nova', 'database')
        conf.set_override('transport_url', 'rabbit://nova:sekret@mq:5672/')
        return conf

    def ensure(self, name: str = 'cell2', **values: Any) -> declaration.Outcome:
        """Check, declare and declare again: the first tells what the second does."""
        before = self.stored()
        would = self.declare(name, **values, check=True)
        self.assertEqual(before, self.stored())
        done = self.declare(name, **values)
        self.assertEqual(would.diff, done.diff)
        self.assertIn(would.uuid, (None, done.uuid))
        stored = self.stored()
        self.assertEqual(bool(done.diff), before != stored)
        again = self.declare(name, **values)
        self.assertEqual((done.uuid, {}), (again.uuid, again.diff))
        self.assertEqual(stored, self.stored())
        return done

    def declare(self, name: str = 'cell2', **values: Any) -> declaration.Outcome:
        outcome = declaration.ensure_cell(self.context, self.conf, name, **values)
        self.assertNotIn('sekret', str(outcome))
        return outcome

    def stored(self) -> list[Any]:
        rows = self.execute(self.cell_table.select().order_by(self.cell_table.c.id))
        return [dict(row._mapping) for row in rows]

    def row(self, uuid: str | None) -> Any:
        [row] = [each for each in self.stored() if each['uuid'] == uuid]
        return row

    def refused(self, kind: type[Exception], name: str = 'cell2', **values: Any) -> str:
        """With and without check; the message."""
        before = self.stored()
        messages = {
            str(self.assertRaises(kind, self.declare, name, **values, check=check))
            for check in (True, False)
        }
        self.assertEqual(before, self.stored())
        [message] = messages
        self.assertNotIn('sekret', message)
        return message


@base.on_both_schemas
class NewCells(_Case):
    def test_it_is_made_once(self) -> None:
        outcome = self.ensure(**_URLS)
        self.assertEqual(
            {
                'name': Difference(None, 'cell2'),
                'database_connection': Difference(None, _DATABASE.replace('sekret', '***')),
                'transport_url': Difference(None, _QUEUE.replace('sekret', '***')),
                'disabled': Difference(None, False),
            },
            outcome.diff,
        )
        row = self.row(outcome.uuid)
        self.assertEqual(
            {'name': 'cell2', **_URLS}, {name: row[name] for name in ('name', *_URLS)}
        )
        self.assertFalse(row['disabled'])

    def test_what_is_not_declared_is_as_of_every_new_cell(self) -> None:
        row = self.row(self.ensure().uuid)
        self.assertEqual(self.conf.database.connection, row['database_connection'])
        self.assertEqual(self.conf.transport_url, row['transport_url'])

    def test_one_that_is_disabled_from_the_start(self) -> None:
        self.assertTrue(self.row(self.ensure(**_URLS, disabled=True).uuid)['disabled'])

    def test_cell0(self) -> None:
        outcome = self.ensure('cell0')
        self.assertEqual(CellMapping.CELL0_UUID, outcome.uuid)
        row = self.row(outcome.uuid)
        self.assertEqual(f'{self.conf.database.connection}_cell0', row['database_connection'])
        self.assertEqual(('cell0', 'none:///'), (row['name'], row['transport_url']))
        outcome = self.ensure('cell0', database_connection=_DATABASE)
        self.assertEqual(['database_connection'], list(outcome.diff))

    def test_what_no_cell_may_have(self) -> None:
        for values in (
            {'database_connection': 'nosuch://nova:sekret@db/x'},
            {'database_connection': 'mysql+pymysql://nova:sekret@db/x?local_infile=1'},
            {'transport_url': 'rabbit://nova:sekret@mq:port/'},
            {'transport_url': 'rabbit://nova:sekret@{hostname7}/'},
        ):
            self.refused(exception.InvalidURL, **{**_URLS, **values})
        for name in ('n' * 256, 'a\x1bb'):
            self.refused(exception.InvalidInput, name, **_URLS)
        taken = {'database_connection': cells_base.url_of(self.nova)}
        self.refused(exception.CellMappingExists, **{**_URLS, **taken})
        self.refused(exception.Cell0CannotBeDisabled, 'cell0', **_URLS, disabled=True)
        self.make_cell(name='cell0')
        self.refused(exception.CellMappingExists, 'cell0', **_URLS)

    def test_several_at_once_make_one(self) -> None:
        with futures.ThreadPoolExecutor(4) as pool:
            outcomes = [*pool.map(lambda _: self.declare(**_URLS), range(4))]
        self.assertEqual(1, len({outcome.uuid for outcome in outcomes}))
        self.assertEqual(2, len(self.stored()))
        self.assertEqual(1, len([outcome for outcome in outcomes if outcome.diff]))


@base.on_both_schemas
class ExistingCells(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.declare(**_URLS)

    def test_what_differs_is_changed_and_nothing_else(self) -> None:
        queue = 'rabbit://nova:sekret@mq9:5672/cell2'
        outcome = self.ensure(database_connection=_DATABASE, transport_url=queue)
        masked = 'rabbit://nova:***@{}:5672/cell2'
        self.assertEqual(
            {'transport_url': Difference(masked.format('mq'), masked.format('mq9'))}, outcome.diff
        )
        row = self.row(outcome.uuid)
        self.assertEqual((_DATABASE, queue), (row['database_connection'], row['transport_url']))

    def test_another_secret_is_a_difference_that_is_not_shown(self) -> None:
        url = _DATABASE.replace('sekret', 'sekret2')
        [difference] = self.ensure(database_connection=url).diff.values()
        self.assertEqual(f'{difference.before} (with another secret)', difference.after)

    def test_what_is_not_declared_stays(self) -> None:
        self.assertEqual({'disabled': Difference(False, True)}, self.ensure(disabled=True).diff)
        self.assertEqual({}, self.ensure(**_URLS).diff)
        self.assertEqual({}, self.ensure().diff)
        self.assertEqual({'disabled': Difference(True, False)}, self.ensure(disabled=False).diff)

    def test_a_template_is_compared_as_it_is_stored(self) -> None:
        template = '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2'
        self.assertEqual([], list(self.ensure(**_URLS).diff))
        self.assertEqual(
            ['database_connection'], list(self.ensure(database_connection=template).diff)
        )
        self.assertEqual(['database_connection'], list(self.ensure(**_URLS).diff))

    def test_what_no_cell_may_have(self) -> None:
        self.refused(exception.InvalidURL, database_connection='nosuch://nova:sekret@db/x')
        taken = cells_base.url_of(self.nova)
        self.refused(exception.CellMappingExists, database_connection=taken)
        self.declare('cell0')
        self.refused(exception.Cell0CannotBeDisabled, 'cell0', disabled=True)

    def test_a_cell0_of_another_name_gets_its_own(self) -> None:
        self.make_cell(uuid=CellMapping.CELL0_UUID, name='zero')
        self.assertEqual({'name': Difference('zero', 'cell0')}, self.ensure('cell0').diff)

    def test_its_instances_stay(self) -> None:
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        self.ensure('cell1', database_connection=f'{_DATABASE}_b')
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())


@base.on_each_database
class SeveralOfOneName(_Case):
    schema = 'nova'

    def test_it_says_what_to_do(self) -> None:
        cells = [self.make_cell(), self.make_cell()]
        self.execute(
            self.cell_table.update()
            .where(self.cell_table.c.uuid.in_([cell.uuid for cell in cells]))
            .values(name='twice')
        )
        message = self.refused(exception.CellNameNotUnique, 'twice', **_URLS)
        for text in ('update_cell --cell_uuid', *(cell.uuid for cell in cells)):
            self.assertIn(text, message)
