# SPDX-License-Identifier: Apache-2.0
"""Nothing depends on what a server or a database takes for granted."""

from typing import Any
import uuid

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import migration
from nova_cellmap.db import schema_check
from nova_cellmap.db import session
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base


class _InDatabase(tests_base.TestCase):
    """A mapping in a database that was created in a way of its own."""

    kind = ''
    created_with = ''
    schema = 'own'

    def setUp(self) -> None:
        super().setUp()
        made = fixtures.Database(self.kind, created_with=self.created_with, schema=self.schema)
        self.database = self.useFixture(made)
        self.database.make_schema()
        nova_cellmap.configure(self.database.conf())
        self.context = nova_cellmap.context.RequestContext()
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        self.cell = CellMapping(self.context, name='zelle', **urls)
        self.cell.create()

    def test_nothing_of_the_schema_is_missing(self) -> None:
        if self.schema == 'own':
            self.assertEqual([], schema_check.missing())

    def mapping(self, name: str) -> InstanceMapping:
        return InstanceMapping(
            self.context,
            instance_uuid=str(uuid.uuid4()),
            project_id=name,
            user_id=name,
            cell_mapping=self.cell,
        )

    def assert_kept(self, names: tuple[str, ...] = samples.NAMES) -> None:
        bulk = [self.mapping(name) for name in names]
        InstanceMappingList.create_bulk(self.context, bulk)
        singles = [self.mapping(name) for name in names]
        for single in singles:
            single.create()
        for name in names:
            found = InstanceMappingList.get_by_project_id(self.context, name)
            expected = {each.instance_uuid for each in bulk + singles if each.project_id == name}
            self.assertEqual(expected, {each.instance_uuid for each in found}, name)
            self.assertEqual({name}, {each.user_id for each in found})

    def assert_refused(self, name: str, said: str) -> None:
        """Alone, and with one that can be kept."""
        for names in ((name,), ('beside', name)):
            mappings = [self.mapping(each) for each in names]
            self.assertRaises(
                exception.InvalidInput, InstanceMappingList.create_bulk, self.context, mappings
            )
        error: Exception = self.assertRaises(exception.InvalidInput, self.mapping(name).create)
        self.assertIn(said, str(error))
        self.assertEqual([], list(InstanceMappingList.get_by_project_id(self.context, 'beside')))


class Latin1Mariadb(_InDatabase):
    kind = 'mariadb'
    created_with = 'CHARACTER SET latin1'

    def test_any_text_is_kept(self) -> None:
        self.assert_kept()

    def test_every_table_says_its_own(self) -> None:
        query = sa.text(
            'SELECT table_name, engine, row_format, table_collation'
            ' FROM information_schema.tables WHERE table_schema = DATABASE()'
        )
        with db_engine.of().writer.connect() as connection:
            rows = connection.execute(query).all()
        self.assertEqual({'InnoDB'}, {row.engine for row in rows})
        self.assertEqual({'Dynamic'}, {row.row_format for row in rows})
        self.assertTrue(all(row.table_collation.startswith('utf8mb4') for row in rows), rows)


class Utf8Mb3Mariadb(_InDatabase):
    kind = 'mariadb'
    created_with = 'CHARACTER SET utf8mb3'

    def test_any_text_is_kept(self) -> None:
        self.assert_kept()


# What Nova's tables on MariaDB have: those of three bytes.
_OF_THREE_BYTES = tuple(name for name in samples.NAMES if max(name) <= '\uffff')


class NovaMariadb(_InDatabase):
    kind = 'mariadb'
    schema = 'nova'

    def test_what_the_encoding_has_is_kept_and_the_rest_refused(self) -> None:
        self.assert_kept(_OF_THREE_BYTES)
        for name in set(samples.NAMES) - set(_OF_THREE_BYTES):
            self.assert_refused(name, 'project_id')


class NovaConvertedMariadb(_InDatabase):
    """Tables that an operator has converted."""

    kind = 'mariadb'
    schema = 'nova'

    def test_any_text_is_kept(self) -> None:
        for collation in ('utf8mb4_general_ci', 'utf8mb4_bin', 'utf8mb4_unicode_520_nopad_ci'):
            with db_engine.of().writer.begin() as connection:
                connection.exec_driver_sql('DELETE FROM instance_mappings')
                for table in ('instance_mappings', 'cell_mappings'):
                    connection.exec_driver_sql(
                        f'ALTER TABLE {table} ROW_FORMAT = DYNAMIC,'
                        f' CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}'
                    )
            self.assert_kept()


class UrlMariadb(_InDatabase):
    """URLs that name another character set, as Nova's own do."""

    kind = 'mariadb'

    def test_any_text_is_kept(self) -> None:
        url = sa.make_url(self.database.url)
        for charset in ('utf8', 'utf8mb3', 'latin1'):
            other = url.update_query_dict({'charset': charset})
            conf = self.database.conf(connection=other.render_as_string(hide_password=False))
            nova_cellmap.configure(conf)
            self.assert_kept(self.names)
            mappings = InstanceMappingList.get_by_cell_uuid(self.context, self.cell.uuid)
            uuids = [mapping.instance_uuid for mapping in mappings]
            InstanceMappingList.destroy_bulk(self.context, uuids)

    names: tuple[str, ...] = ('日本', '😀')


class UrlNovaMariadb(UrlMariadb):
    schema = 'nova'
    names = ('日本', 'é')


class CommandMariadb(_InDatabase):
    """A server that ends sessions with their transactions, and copies no table."""

    kind = 'mariadb'
    # As a server's own defaults: before we say anything.
    odd = "SET completion_type = 'RELEASE', alter_algorithm = 'INSTANT'"

    def test_the_schema_is_made_and_used(self) -> None:
        empty = self.useFixture(fixtures.Database(self.kind))
        url = sa.make_url(empty.url).update_query_dict({'init_command': self.odd})
        nova_cellmap.configure(empty.conf(connection=url.render_as_string(hide_password=False)))
        migration.db_sync()
        self.cell = CellMapping(
            self.context, transport_url='none:///', database_connection='none:///'
        )
        self.cell.create()
        self.assert_kept(('a',))


class TranslatedPostgresql(_InDatabase):
    """A server that says in another language what is wrong."""

    kind = 'postgresql'
    trigger = """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION USING MESSAGE = 'das geht nicht', ERRCODE = TG_ARGV[0],
            CONSTRAINT = TG_ARGV[1], TABLE = TG_TABLE_NAME, DETAIL = 'Der Schlüssel (x)=(y)';
        END $$;
        CREATE TRIGGER refuse_cell BEFORE INSERT ON {cells}
            EXECUTE FUNCTION refuse('23505', 'uniq_{cells}0{unique}');
        CREATE TRIGGER refuse_instance BEFORE INSERT ON {mappings}
            EXECUTE FUNCTION refuse('23505', 'uniq_{mappings}0instance_uuid');
        CREATE TRIGGER refuse_cell BEFORE UPDATE ON {mappings}
            EXECUTE FUNCTION refuse('23503', '{mappings}_{reference}_fkey');
    """
    names = {
        'cells': 'cell_mapping',
        'mappings': 'instance_mapping',
        'unique': 'name',
        'reference': 'cell_uuid',
    }

    def test_what_exists_and_what_does_not(self) -> None:
        mapping = self.mapping('a')
        mapping.create()
        with db_engine.of().writer.begin() as connection:
            connection.exec_driver_sql(self.trigger.format(**self.names))
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        other = CellMapping(self.context, uuid=str(uuid.uuid4()), name='andere', **urls)
        error: Exception = self.assertRaises(exception.CellMappingExists, other.create)
        taken = self.names['unique']
        self.assertIn(f'{taken} {getattr(other, taken)}', str(error))
        self.assertRaises(exception.InstanceMappingExists, self.mapping('a').create)
        mapping.project_id = 'b'
        self.assertRaises(exception.CellMappingNotFound, mapping.save)


class TranslatedNovaPostgresql(TranslatedPostgresql):
    schema = 'nova'
    names = {
        'cells': 'cell_mappings',
        'mappings': 'instance_mappings',
        'unique': 'uuid',
        'reference': 'cell_id',
    }


class OtherPostgresql(_InDatabase):
    """A database in an encoding, an order and a time zone of its own."""

    kind = 'postgresql'
    created_with = "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"

    def setUp(self) -> None:
        super().setUp()
        with db_engine.of().writer.begin() as connection:
            name = connection.exec_driver_sql('SELECT current_database()').scalar_one()
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'")
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET client_encoding = 'SQL_ASCII'")
        nova_cellmap.configure(self.database.conf())

    def test_any_text_is_kept(self) -> None:
        self.assert_kept()


class OtherNovaPostgresql(OtherPostgresql):
    schema = 'nova'


class Latin1Postgresql(_InDatabase):
    kind = 'postgresql'
    created_with = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"

    def test_what_the_encoding_has_is_kept_and_the_rest_refused(self) -> None:
        self.assert_kept(('é', 'À', 'a', 'a ', 'A'))
        self.assert_refused('日本', 'LATIN1')


class Latin1NovaPostgresql(Latin1Postgresql):
    schema = 'nova'


del _InDatabase


@base.on_each_database
class Sessions(base.TestCase):
    """What a session says, on servers whose defaults are odd."""

    def one(self, query: str) -> Any:
        engines = (db_engine.of().reader, db_engine.of().writer)
        found = set()
        for engine in engines:
            with engine.connect() as connection:
                found.add(tuple(connection.exec_driver_sql(query).one()))
        [row] = found
        return row

    def test_what_is_said(self) -> None:
        if self.kind == 'mariadb':
            row = self.one(
                'SELECT @@tx_isolation, @@time_zone, @@character_set_client,'
                ' @@character_set_results, @@character_set_connection, @@foreign_key_checks,'
                ' @@sql_safe_updates, @@lc_messages'
            )
            text = ('utf8mb4',) * 3
            self.assertEqual(('READ-COMMITTED', '+00:00', *text, 1, 0, 'en_US'), row)
            [mode] = self.one('SELECT @@sql_mode')
            self.assertIn('STRICT_ALL_TABLES', mode)
            self.assertNotIn('ANSI', mode)
        elif self.kind == 'postgresql':
            names = (
                'client_encoding',
                'timezone',
                'transaction_isolation',
                'transaction_deferrable',
            )
            query = ', '.join(f"current_setting('{name}')" for name in names)
            row = self.one(f'SELECT {query}')
            self.assertEqual(('UTF8', 'UTC', 'read committed', 'off'), row)


class Urls(tests_base.TestCase):
    """What a driver is told, and which has precedence."""

    def test_what_the_url_says(self) -> None:
        url = session.with_limits(
            sa.make_url('mysql+pymysql://n@db/x?read_timeout=7&connect_timeout=3'), 10, 30
        )
        self.assertEqual('7', url.query['read_timeout'])
        self.assertEqual('3', url.query['connect_timeout'])
        self.assertEqual('30', url.query['write_timeout'])
        self.assertEqual(7, session.read_timeout_of(url, 30))

    def test_what_is_no_number(self) -> None:
        url = sa.make_url('mysql+pymysql://n@db/x?read_timeout=soon')
        self.assertEqual(30, session.read_timeout_of(url, 30))
