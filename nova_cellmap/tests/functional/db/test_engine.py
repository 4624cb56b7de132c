# SPDX-License-Identifier: Apache-2.0
"""How the mapping database is connected to."""

import logging
import pathlib
import sqlite3
import time
from typing import Any
from unittest import mock

import fixtures
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import migration
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests.functional import base


@base.on_each_database
class Replicas(base.TestCase):
    def test_without_one_all_is_of_one_server(self) -> None:
        engines = engine.of()
        self.assertFalse(engines.has_replica)
        self.assertIs(engines.reader, engines.reading)
        self.assertIs(engines.reader, engines.own)
        self.assertTrue(engines.only_reads(engines.reader))
        self.assertFalse(engines.only_reads(engines.writer))

    def test_one_is_left_alone_for_a_while(self) -> None:
        url = {'slave_connection': self.database.url}
        nova_cellmap.configure(self.database.conf(**url, synchronous_reader=False))
        engines = engine.of()
        self.assertTrue(engines.has_replica)
        self.assertIs(engines.reader, engines.reading)
        # It may lack what was written a moment ago.
        self.assertIs(engines.writer, engines.own)
        engines.leave_replica('it does not answer')
        self.assertIs(engines.writer, engines.reading)
        with mock.patch.object(time, 'monotonic', return_value=time.monotonic() + 31):
            self.assertIs(engines.reader, engines.reading)

    def test_one_that_is_not_to_lag_is_not_read(self) -> None:
        url = {'slave_connection': self.database.url}
        nova_cellmap.configure(self.database.conf(**url, synchronous_reader=True))
        self.assertFalse(engine.of().has_replica)


class Options(base.TestCase):
    """What ``[api_database]`` says."""

    def use(self, **options: Any) -> engine.Engines:
        nova_cellmap.configure(self.database.conf(**options))
        return engine.of()

    def test_what_is_shown_has_no_password(self) -> None:
        shown = self.use(connection='mysql+pymysql://nova:sekret@db/nova_cellmap').shown_url
        self.assertIn('db/nova_cellmap', shown)
        self.assertNotIn('sekret', shown)

    def test_a_url_that_is_none_is_refused_and_the_option_named(self) -> None:
        for option in ('connection', 'slave_connection'):
            for url in ('none:///', 'nonsense', 'nosuch://h/d'):
                options = {option: url, 'synchronous_reader': False}
                error = self.assertRaises(exception.InvalidURL, self.use, **options)
                self.assertIn(f'[api_database] {option}', str(error))

    def test_retries(self) -> None:
        retries = self.use(db_max_retries=3, db_max_retry_interval=7).retries
        self.assertEqual((3, 7), (retries.most, retries.longest_pause))
        retries = self.use(db_max_retries=-1, db_inc_retry_interval=False).retries
        self.assertEqual((-1, None), (retries.most, retries.longest_pause))

    def test_seconds(self) -> None:
        engines = self.use(read_timeout=7, call_timeout=9)
        self.assertEqual((7, 9), (engines.read_timeout, engines.call_timeout))


class FilesSqlite(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.empty = self.useFixture(our_fixtures.Database('sqlite'))
        self.path = pathlib.Path(str(sa.make_url(self.empty.url).database))
        nova_cellmap.configure(self.empty.conf())

    def test_to_read_makes_no_file(self) -> None:
        self.assertTrue(engine.of().is_missing_file)
        for _ in range(2):
            error = self.assertRaises(
                exception.DatabaseUnreachable, api.instance_mapping_get_all, self.context
            )
            self.assertIn(f'there is no file {self.path}', str(error))
            self.assertFalse(self.path.exists())
        migration.db_sync()
        self.assertFalse(engine.of().is_missing_file)
        self.assertEqual([], api.instance_mapping_get_all(self.context))

    def test_one_in_memory_is_not_missing(self) -> None:
        nova_cellmap.configure(self.empty.conf(connection='sqlite://'))
        engines = engine.of()
        self.assertFalse(engines.is_missing_file)
        # It belongs to its one connection.
        self.assertIs(engines.writer, engines.reader)

    def test_who_writes_has_the_lock_from_the_beginning(self) -> None:
        beside = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        self.addCleanup(beside.close)
        with engine.of().writer.begin():
            self.assertRaises(sqlite3.OperationalError, beside.execute, 'BEGIN IMMEDIATE')
        with engine.of().reader.begin() as connection:
            connection.exec_driver_sql('SELECT 1')
            beside.execute('BEGIN IMMEDIATE')
            beside.execute('ROLLBACK')


class WatchedSqlite(base.TestCase):
    """What is read through the driver is read by SQLAlchemy where somebody wants to be told."""

    def setUp(self) -> None:
        super().setUp()
        self.mapping = self.new_mapping(cell_mapping=self.make_cell())
        self.mapping.create()

    def look_up(self) -> None:
        found = InstanceMapping.get_by_instance_uuid(self.context, self.mapping.instance_uuid)
        self.assertEqual(self.mapping.id, found.id)

    def test_not_watched(self) -> None:
        self.look_up()
        self.assertFalse(engine.is_watched(engine.of().reader))

    def test_who_listens_is_told(self) -> None:
        self.look_up()
        for event in ('before_cursor_execute', 'after_cursor_execute'):
            told: list[Any] = []

            def listen(*args: Any, told: list[Any] = told) -> None:
                told.append(args)

            sa.event.listen(engine.of().reader, event, listen)
            self.look_up()
            with api.reader(self.context):
                self.look_up()
            sa.event.remove(engine.of().reader, event, listen)
            self.look_up()
            self.assertEqual(2, len([each for each in told if each[2].startswith('SELECT')]))

    def test_the_log_has_statements(self) -> None:
        logger = self.useFixture(fixtures.FakeLogger('sqlalchemy.engine', level=logging.INFO))
        self.conf.set_override('connection_debug', 50, group='api_database')
        nova_cellmap.configure(self.conf)
        self.look_up()
        self.assertIn('FROM instance_mapping', logger.output)

    def test_what_oslo_db_is_told_to_write_it_writes(self) -> None:
        self.conf.set_override('connection_trace', True, group='api_database')
        nova_cellmap.configure(self.conf)
        self.look_up()
        self.assertTrue(engine.is_watched(engine.of().reader))
