# SPDX-License-Identifier: Apache-2.0
"""Rows that say what cannot be, in real tables: they are set aside and named."""

from typing import Any
import uuid as uuids

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import runtime
from nova_cellmap.cells import listing
from nova_cellmap.cells import lookup
from nova_cellmap.cells import target
from nova_cellmap.db.caching.known_cells import KnownCells
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import counts
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep import nova_import
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem

_mappings = own.instance_mapping


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)

    def loose_table(self, **columns: Any) -> None:
        """Have cell1's table take what Nova's would not."""
        kinds = {
            'id': sa.BigInteger(),
            'deleted': sa.Integer(),
            'hidden': sa.SmallInteger(),
            **{name: sa.Text() for name in ('uuid', 'project_id', 'user_id', 'vm_state')},
            'display_name': sa.Text(),
            'created_at': sa.DateTime(),
            **columns,
        }
        self.nova = self.new_database(*(sa.Column(name, kind) for name, kind in kinds.items()))
        self.cell.database_connection = cells_base.url_of(self.nova)
        self.cell.save()
        self.numbers = iter(range(1, 1000))

    def insert(self, **values: Any) -> Any:
        row = {
            'id': next(self.numbers),
            'uuid': base.new_uuid(),
            'project_id': 'project',
            'user_id': 'user',
            'deleted': 0,
            'hidden': 0,
            'vm_state': 'active',
            **values,
        }
        table = sa.table('instances', *map(sa.column, row))
        with self.nova.begin() as connection:
            connection.execute(table.insert().values(row))
        return row['uuid']

    def audit(self, **options: Any) -> list[Problem]:
        run = audit.Audit(self.context, CellMappingList.get_all(self.context), **options)
        problems = list(run.problems())
        self.assertEqual({}, run.errors)
        return problems

    def assert_set_aside(self, count: int, good: set[str]) -> list[Problem]:
        """Everywhere so many rows are invalid and the others are dealt with."""
        for batch_size in (1, 3, 1000):
            self.execute(_mappings.delete())
            run = mapping.map_instances(self.context, self.cell, batch_size=batch_size)
            self.assertEqual((len(good), count, True), (run.created, run.invalid, run.done))
            self.assertEqual(good, self.mapped().keys())
            problems = self.audit(batch_size=batch_size)
            self.assertEqual([Kind.INVALID_ROW] * count, [each.kind for each in problems])
            for problem in problems:
                shown = problem.instance_uuid + problem.detail
                self.assertTrue(shown.isprintable() and len(shown) < 500, repr(shown))
                self.assertIn('row ', problem.detail)
        self.execute(_mappings.delete())
        repaired = self.audit(repair=True, purge=True, batch_size=2)
        left = [problem.kind for problem in repaired if not problem.repaired]
        self.assertEqual([Kind.INVALID_ROW] * count, left)
        self.assertEqual(good, self.mapped().keys())
        return problems


@base.on_each_database
class Loose(_Case):
    """Values that no column of Nova's would take."""

    def test_every_odd_value(self) -> None:
        self.loose_table()
        good = {self.insert() for _ in range(3)}
        odd: list[dict[str, Any]] = [
            {'uuid': None},
            {'uuid': ''},
            {'uuid': base.new_uuid() + '0'},
            {'uuid': 'x' * 5000},
            {'uuid': 'not a uuid \x1b[31m\n=cmd'},
            {'uuid': base.new_uuid()[:-2] + '_1'},
            {'project_id': None},
            {'project_id': ''},
            {'project_id': 'p' * 256},
            {'project_id': 'p\x1b[31m'},
            {'user_id': 'u' * 300},
            {'user_id': 'u\r\n'},
            {'id': -5},
            {'id': 0},
        ]
        for values in odd:
            self.insert(**values)
        good |= {self.insert() for _ in range(3)}
        good.add(self.insert(user_id=None, deleted=None, hidden=None, vm_state=None))
        self.assert_set_aside(len(odd), good)

    def test_ids_that_are_there_twice(self) -> None:
        self.loose_table()
        good = {self.insert() for _ in range(2)}
        for _ in range(2):
            self.insert(id=50)
        good.add(self.insert(id=60))
        run = mapping.map_instances(self.context, self.cell, batch_size=2)
        self.assertEqual((3, True), (run.created, run.done))
        self.assertGreater(run.invalid, 0)
        self.assertEqual(good, self.mapped().keys())

    def test_an_instance_that_is_there_twice(self) -> None:
        self.loose_table()
        uuid = self.insert(project_id='ours')
        self.insert(uuid=uuid, project_id='theirs')
        mapping.map_instances(self.context, self.cell)
        for batch_size in (1, 2, 1000):
            problems = self.audit(batch_size=batch_size)
            self.assertEqual(
                {(uuid, Kind.INVALID_ROW)}, {(each.instance_uuid, each.kind) for each in problems}
            )

    def test_bytes_are_text_where_they_can_be(self) -> None:
        if self.kind != 'mariadb':
            # Elsewhere bytes are not compared with text.
            return
        kinds = dict.fromkeys(('uuid', 'project_id', 'user_id'), sa.LargeBinary(255))
        self.loose_table(**kinds)
        uuid = base.new_uuid()
        self.insert(uuid=uuid.encode(), project_id='prójéct'.encode(), user_id=b'u')
        run = mapping.map_instances(self.context, self.cell)
        self.assertEqual((1, 0), (run.created, run.invalid))
        self.assertEqual([], self.audit())

    def test_a_look_at_a_single_instance_says_so(self) -> None:
        self.loose_table()
        uuid = self.insert(project_id='p' * 300)
        found = self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        error = self.assertRaises(
            exception.InvalidCellRow, lookup.find_instance, self.context, found
        )
        self.assertIn(uuid, str(error))

    def test_a_look_at_one_without_a_project_finds_it(self) -> None:
        self.loose_table()
        found = self.make_mapping(
            instance_uuid=self.insert(project_id=None), cell_uuid=self.cell.uuid
        )
        instance = lookup.find_instance(self.context, found).instance
        self.assertEqual(found.instance_uuid, instance.uuid if instance else None)

    def test_an_orphan_is_none_while_its_row_is_invalid(self) -> None:
        self.loose_table()
        uuid = self.insert(user_id='u\x07')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        [problem] = self.audit(purge=True)
        self.assertEqual(Kind.INVALID_ROW, problem.kind)
        self.assertIn(uuid, self.mapped())

    def test_a_list_sets_rows_aside_and_is_as_long_as_asked_for(self) -> None:
        self.loose_table()
        good = []
        for number in range(12):
            if number % 3 == 1:
                self.insert(uuid=f'odd {number:02}', display_name=f'{number:02}')
            else:
                good.append(self.insert(display_name=f'{number:02}'))
        order: dict[str, Any] = {'sort_key': 'display_name', 'descending': False}
        found = listing.list_instances(self.context, **order)
        self.assertEqual(good, [each.uuid for each in found.instances])
        self.assertEqual(4, len(found.invalid[self.cell.uuid]))
        for limit in (1, 2, 3, 5):
            paged: list[listing.Listed] = []
            while page := listing.list_instances(
                self.context, limit=limit, marker=paged[-1] if paged else None, **order
            ).instances:
                paged += page
            self.assertEqual(good, [each.uuid for each in paged])


class Encodings(_Case):
    """Text that is not in the encoding that its database says."""

    kind = 'postgresql'

    def setUp(self) -> None:
        super().setUp()
        self.database_of('SQL_ASCII')
        self.good = {nova_cell.add(self.nova, project_id='中国') for _ in range(3)}
        self.odd = nova_cell.add(self.nova, display_name='odd')
        self.good |= {nova_cell.add(self.nova, project_id='p') for _ in range(3)}

    def database_of(self, encoding: str) -> None:
        database = self.useFixture(fixtures.Database(self.kind))
        url = sa.make_url(database.url)
        name = f'{url.database}_e'
        engine = sa.create_engine(url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
        create = (
            f"CREATE DATABASE {name} ENCODING '{encoding}'"
            " LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(create)
        self.addCleanup(self.drop, engine, name)
        self.nova = sa.create_engine(
            url.set(database=name), poolclass=sa.NullPool, client_encoding='utf8'
        )
        nova_cell.create(self.nova)
        self.cell.database_connection = cells_base.url_of(self.nova)
        self.cell.save()

    def drop(self, engine: sa.Engine, name: str) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE {name} WITH (FORCE)')

    def spoil(self, column: str) -> None:
        with self.nova.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE instances SET {column} = convert_from('\\xe9e8', 'SQL_ASCII') "
                "WHERE display_name = 'odd'"
            )

    def test_an_owner(self) -> None:
        for column in ('project_id', 'user_id'):
            self.spoil(column)
        [problem] = self.assert_set_aside(1, self.good)
        self.assertEqual(self.odd, problem.instance_uuid)
        self.assertIn('encoding', problem.detail)
        for key in ('created_at', 'project_id', 'user_id'):
            found = listing.list_instances(self.context, sort_key=key)
            self.assertEqual(self.good, {each.uuid for each in found.instances})
            self.assertEqual([self.odd], [row.uuid for row in found.invalid[self.cell.uuid]])

    def test_a_uuid(self) -> None:
        self.spoil('uuid')
        self.assert_set_aside(1, self.good)

    def test_a_name_in_a_list(self) -> None:
        self.spoil('display_name')
        for key in ('created_at', 'display_name', 'uuid'):
            found = listing.list_instances(self.context, sort_key=key)
            self.assertEqual(self.good, {each.uuid for each in found.instances})
            [odd] = found.invalid[self.cell.uuid]
            self.assertEqual(self.odd, odd.uuid)
        self.assertEqual([], [each for each in self.audit() if each.kind != Kind.MISSING])

    def test_a_name_of_an_instance_that_is_shown(self) -> None:
        self.spoil('display_name')
        found = self.make_mapping(instance_uuid=self.odd, cell_uuid=self.cell.uuid)
        details = lookup.find_instance(self.context, found).details
        self.assertEqual('active', details['vm_state'])

    def test_a_time_that_no_driver_knows(self) -> None:
        with self.nova.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE instances SET created_at = '0044-03-15 BC' WHERE display_name = 'odd'"
            )
        found = listing.list_instances(self.context)
        self.assertEqual(self.good, {each.uuid for each in found.instances})
        self.assertIn('created_at', found.invalid[self.cell.uuid][0].reason)
        shown = self.make_mapping(instance_uuid=self.odd, cell_uuid=self.cell.uuid)
        self.assertIn('BC', str(lookup.find_instance(self.context, shown).details['created_at']))


class Latin1(Encodings):
    """A database in another encoding, whose text is in it."""

    def setUp(self) -> None:
        cells_base.TestCase.setUp(self)
        self.addCleanup(target.forget_all)
        self.database_of('LATIN1')

    def test_text_is_as_it_was_written(self) -> None:
        for name in ('prójéct', 'plain'):
            nova_cell.add(self.nova, project_id=name)
        mapping.map_instances(self.context, self.cell)
        self.assertEqual([], self.audit())
        self.assertEqual(
            {'prójéct', 'plain'},
            {row.project_id for row in self.execute(sa.select(_mappings.c.project_id))},
        )


for _name in [name for name in vars(Encodings) if name.startswith('test_')]:
    setattr(Latin1, _name, None)


class UndecodableSqlite(_Case):
    """SQLite keeps any bytes as text."""

    def test_it_is_that_rows_trouble(self) -> None:
        for column in ('project_id', 'user_id', 'display_name', 'host'):
            good = {nova_cell.add(self.nova) for _ in range(2)}
            odd = nova_cell.add(self.nova, display_name='odd')
            with self.nova.begin() as connection:
                connection.exec_driver_sql(
                    f"UPDATE instances SET {column} = CAST(x'e4f6fc' AS TEXT) "
                    "WHERE display_name = 'odd'"
                )
            for key in ('created_at', 'uuid', column):
                found = listing.list_instances(self.context, sort_key=key)
                self.assertEqual({}, found.failures)
                self.assertEqual(good, {each.uuid for each in found.instances})
                [row] = found.invalid[self.cell.uuid]
                self.assertEqual(odd, row.uuid)
                self.assertIn(column, row.reason)
            with self.nova.begin() as connection:
                connection.exec_driver_sql('DELETE FROM instances')

    def test_an_owner_is_set_aside_everywhere(self) -> None:
        good = {nova_cell.add(self.nova) for _ in range(3)}
        odd = nova_cell.add(self.nova, display_name='odd')
        with self.nova.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE instances SET project_id = CAST(x'fffe' AS TEXT) "
                "WHERE display_name = 'odd'"
            )
        [problem] = self.assert_set_aside(1, good)
        self.assertEqual(odd, problem.instance_uuid)


class MappingsSqlite(_Case):
    """The same of the mapping's own rows."""

    def setUp(self) -> None:
        super().setUp()
        self.good = nova_cell.add(self.nova)
        self.odd = nova_cell.add(self.nova)
        mapping.map_instances(self.context, self.cell)
        self.missing = nova_cell.add(self.nova)
        self.gone = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid

    def spoil(self, column: str, value: str, uuid: str) -> None:
        self.execute(
            sa.text(
                f'UPDATE instance_mapping SET {column} = {value} WHERE instance_uuid = :uuid'
            ).bindparams(uuid=uuid)
        )

    def test_one_that_is_no_text_is_told_of_and_the_others_compared(self) -> None:
        for column in ('project_id', 'user_id'):
            for value in ("x'fffe'", "CAST(x'fffe' AS TEXT)"):
                for uuid in (self.odd, self.gone):
                    self.spoil(column, value, uuid)
                for batch_size in (1, 2, 1000):
                    for options in ({}, {'repair': True, 'purge': True}):
                        problems = self.audit(batch_size=batch_size, **options)
                        kinds = {each.instance_uuid: each.kind for each in problems}
                        expected = dict.fromkeys((self.odd, self.gone), Kind.INVALID_ROW)
                        expected[self.missing] = Kind.MISSING
                        self.assertEqual(expected, kinds)
                        repaired = {each.instance_uuid for each in problems if each.repaired}
                        self.assertEqual({self.missing} if options else set(), repaired)
                        for each in problems:
                            if each.kind is Kind.INVALID_ROW:
                                self.assertIn(f'{column}, ', each.detail)
                                self.assertIn('encoding', each.detail)
                    self.execute(
                        _mappings.delete().where(_mappings.c.instance_uuid == self.missing)
                    )

    def test_a_time_that_is_none_keeps_nobody_from_being_repaired(self) -> None:
        self.spoil('created_at', "'yesterday'", self.odd)
        self.spoil('project_id', "'another'", self.odd)
        kinds = {each.instance_uuid: each.kind for each in self.audit(repair=True)}
        self.assertEqual(
            {
                self.odd: Kind.WRONG_OWNER,
                self.missing: Kind.MISSING,
                self.gone: Kind.ORPHANED,
            },
            kinds,
        )

    def test_they_are_counted(self) -> None:
        self.spoil('project_id', "x'fffe'", self.odd)
        self.execute(_mappings.delete().where(_mappings.c.instance_uuid == self.gone))
        projects = counts.count(self.context).projects
        self.assertEqual([1, 1], sorted(each.mappings for each in projects))
        self.assertIn(b'\xff\xfe', [each.project_id for each in projects])

    def test_a_uuid_that_is_no_text_is_named(self) -> None:
        for value in ("x'fffe'", "CAST(x'fffe' AS TEXT)"):
            self.spoil('instance_uuid', value, self.odd)
            error = self.assertRaises(exception.DatabaseError, self.audit)
            self.assertIn('cannot be read: it has instance_uuid', str(error))
            self.assertIn('Correct it by hand', str(error))
            self.execute(
                sa.text('DELETE FROM instance_mapping WHERE instance_uuid NOT LIKE "%-%"')
            )
            self.make_mapping(instance_uuid=self.odd, cell_uuid=self.cell.uuid)

    def test_a_lookup_names_a_time_that_is_none(self) -> None:
        self.spoil('created_at', "'yesterday'", self.odd)
        for _ in range(2):
            error = self.assertRaises(
                exception.DatabaseError,
                InstanceMapping.get_by_instance_uuid,
                self.context,
                self.odd,
            )
            self.assertIn('yesterday', str(error))
            runtime.default().part(KnownCells).forget()


class ZeroDates(_Case):
    kind = 'mariadb'

    def test_a_zero_date_is_that_rows_trouble(self) -> None:
        good, odd = nova_cell.add(self.nova), nova_cell.add(self.nova, display_name='odd')
        with self.nova.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
            connection.exec_driver_sql(
                "UPDATE instances SET created_at = '0000-00-00' WHERE display_name = 'odd'"
            )
        found = listing.list_instances(self.context)
        self.assertEqual([good], [each.uuid for each in found.instances])
        self.assertEqual([odd], [each.uuid for each in found.invalid[self.cell.uuid]])
        self.assertEqual(2, mapping.map_instances(self.context, self.cell).created)
        self.assertEqual([], self.audit())


@base.on_each_database
class Import(_Case):
    """The same of Nova's own API database."""

    def setUp(self) -> None:
        super().setUp()
        self.api = self.new_nova_api()

    def run_import(self, **options: Any) -> nova_import.ImportRun:
        return nova_import.import_nova(self.context, cells_base.url_of(self.api), **options)

    def test_spellings_markers_and_odd_rows(self) -> None:
        number = nova_api.add_cell(self.api, uuid=base.new_uuid().upper())
        good = nova_api.add(self.api, cell_id=number)
        upper = nova_api.add(self.api, cell_id=number, instance_uuid=base.new_uuid().upper())
        plain = nova_api.add(self.api, instance_uuid=base.new_uuid().replace('-', ''))
        zeros = '00000000-0000-0000-0000-000000000000'
        nova_api.add(self.api, project_id=nova_api.MARKER)
        nova_api.add(self.api, instance_uuid=zeros, project_id='p')
        nova_api.add(self.api, project_id=zeros)
        nova_api.add(self.api, instance_uuid='0' * 32)
        for values in (
            {'instance_uuid': 'nonsense'},
            {'project_id': ''},
            {'project_id': 'a\x1b[31m'},
            {'user_id': 'a\nb'},
        ):
            nova_api.add(self.api, cell_id=number, **values)
        for batch_size in (1, 3, 1000):
            self.execute(_mappings.delete())
            run = self.run_import(batch_size=batch_size)
            self.assertEqual((3, 4, 4), (run.created, run.invalid, run.conflicts))
            expected = {good, upper.lower(), str(uuids.UUID(plain))}
            self.assertEqual(expected, self.mapped().keys())

    def test_an_odd_cell_is_not_taken_over_and_the_others_are(self) -> None:
        numbers = [
            nova_api.add_cell(self.api, uuid='nonsense'),
            nova_api.add_cell(self.api, name='a\x1b[31m'),
            nova_api.add_cell(self.api, name='fine'),
        ]
        uuids = [nova_api.add(self.api, cell_id=number) for number in numbers]
        run = self.run_import()
        self.assertGreaterEqual(run.cell_conflicts, 1)
        self.assertEqual(1, self.mapped().keys() >= {uuids[2]})
        self.assertNotIn(uuids[0], self.mapped())
