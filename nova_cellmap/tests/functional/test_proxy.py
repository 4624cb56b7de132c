# SPDX-License-Identifier: Apache-2.0
"""The proxy through which tests have things go wrong."""

import time
from typing import Any
import uuid

import sqlalchemy as sa

from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

_TIMEOUT = 1


class _Proxied(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        self.engine = sa.create_engine(self.proxy.url(self.database.url), **self.limits)
        self.addCleanup(self.engine.dispose)
        self.name = f'proxied_{uuid.uuid4().hex}'
        # The servers' default engine knows of no transactions.
        kind = 'ENGINE=InnoDB' if self.kind == 'mariadb' else ''
        self.direct(f'CREATE TABLE {self.name} (id INTEGER) {kind}')
        self.addCleanup(self.direct, f'DROP TABLE {self.name}')
        # Before the table is dropped.
        self.addCleanup(self.proxy.cut)

    @property
    def limits(self) -> dict[str, Any]:
        raise NotImplementedError

    def direct(self, statement: str) -> Any:
        """Past the proxy."""
        return self.execute(sa.text(statement))

    def insert(self, number: int = 1) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f'INSERT INTO {self.name} VALUES ({number})')

    def numbers(self) -> list[int]:
        return [row[0] for row in self.direct(f'SELECT id FROM {self.name} ORDER BY id')]

    def assert_lost(self, call: Any, *args: Any) -> float:
        begun = time.monotonic()
        error = self.assertRaises(sa.exc.OperationalError, call, *args)
        self.assertTrue(error.connection_invalidated or not self.proxy.connections, error)
        return time.monotonic() - begun

    def test_it_passes_all_on(self) -> None:
        self.insert(1)
        self.insert(2)
        self.assertEqual([1, 2], self.numbers())
        self.assertEqual(2, self.proxy.commits)
        self.assertEqual(1, self.proxy.connections)

    def test_cut(self) -> None:
        self.insert()
        self.proxy.act(Mode.CUT)
        self.assertRaises(sa.exc.OperationalError, self.insert, 2)
        self.assertRaises(sa.exc.OperationalError, self.insert, 2)
        self.proxy.act(Mode.PASS)
        self.insert(3)
        self.assertEqual([1, 3], self.numbers())

    def test_connections_that_were_cut(self) -> None:
        self.insert()
        self.proxy.cut()
        self.assert_lost(self.insert, 2)
        self.insert(3)
        self.assertEqual([1, 3], self.numbers())

    def test_a_commit_that_does_not_arrive(self) -> None:
        self.insert(0)
        self.proxy.act(Mode.CUT_COMMIT, times=1)
        self.assert_lost(self.insert, 1)
        self.insert(2)
        self.assertEqual([0, 2], self.numbers())

    def test_a_commit_whose_answer_does_not_arrive(self) -> None:
        self.insert(0)
        self.proxy.act(Mode.CUT_COMMITTED, times=1)
        self.assert_lost(self.insert, 1)
        self.insert(2)
        self.assertEqual([0, 1, 2], self.numbers())

    def test_delay(self) -> None:
        self.insert()
        self.proxy.delay = 0.2
        begun = time.monotonic()
        self.insert(2)
        self.assertGreater(time.monotonic() - begun, 0.3)

    def test_drip(self) -> None:
        self.proxy.drip = True
        self.insert()
        self.assertEqual([1], self.numbers())


class ProxiedMariadb(_Proxied):
    kind = 'mariadb'
    limits = {'connect_args': {'read_timeout': _TIMEOUT, 'connect_timeout': _TIMEOUT}}

    def test_hole(self) -> None:
        self.insert()
        self.proxy.act(Mode.HOLE)
        self.assertGreater(self.assert_lost(self.insert, 2), 0.9 * _TIMEOUT)
        self.engine.dispose()
        begun = time.monotonic()
        self.assertRaises(sa.exc.OperationalError, self.insert, 2)
        self.assertGreater(time.monotonic() - begun, 0.9 * _TIMEOUT)

    def test_hole_at_commit(self) -> None:
        self.insert(0)
        self.proxy.act(Mode.HOLE_AT_COMMIT, times=1)
        self.assert_lost(self.insert, 1)
        self.insert(2)
        self.assertEqual([0, 2], self.numbers())

    def test_hole_after_a_commit(self) -> None:
        self.insert(0)
        self.proxy.act(Mode.HOLE_COMMITTED, times=1)
        self.assert_lost(self.insert, 1)
        self.assertEqual([0, 1], self.numbers())

    def test_hole_in_an_answer(self) -> None:
        self.insert()
        self.proxy.hole_after = 1000
        with self.engine.connect() as connection:
            query = f"SELECT REPEAT('x', 5000) FROM {self.name}"
            self.assertRaises(sa.exc.OperationalError, connection.exec_driver_sql, query)


class ProxiedPostgresql(_Proxied):
    kind = 'postgresql'
    limits = {'connect_args': {'connect_timeout': 2}}

    def test_hole(self) -> None:
        self.proxy.act(Mode.HOLE)
        begun = time.monotonic()
        self.assertRaises(sa.exc.OperationalError, self.insert)
        self.assertGreater(time.monotonic() - begun, 1.8)


del _Proxied
