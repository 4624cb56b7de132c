# SPDX-License-Identifier: Apache-2.0
"""Whether the servers of the mapping database answer."""

import pathlib
import time
from typing import Any

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.conductor import checks
from nova_cellmap.conductor.health import Status
from nova_cellmap.db import engine
from nova_cellmap.db import ping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

_UNREACHABLE = exception.DatabaseUnreachable


def _engines() -> engine.Engines:
    return engine.of()


class PingSqlite(base.TestCase):
    kind = 'sqlite'

    def test_it_answers(self) -> None:
        ping.ping(_engines())
        ping.ping_replica(_engines())
        found = checks.database(_engines())
        self.assertEqual((Status.PASS, 's'), (found.status, found.unit))

    def test_a_file_that_is_not_there(self) -> None:
        path = pathlib.Path(self.database.url.removeprefix('sqlite:///'))
        conf = self.database.conf(connection=f'sqlite:///{path}.nosuch')
        nova_cellmap.configure(conf)
        self.addCleanup(nova_cellmap.configure, self.database.conf())
        error = self.assertRaises(_UNREACHABLE, ping.ping, _engines())
        self.assertIn('db sync', str(error))
        found = checks.database(_engines())
        self.assertEqual((Status.FAIL, str(error)), (found.status, found.output))


class _OnServer(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        self.addCleanup(nova_cellmap.configure, self.database.conf())

    def use(self, **options: Any) -> None:
        limits = {'connect_timeout': 1, 'read_timeout': 1}
        nova_cellmap.configure(self.database.conf(**limits, **options))

    def test_one_that_is_gone_and_comes_back(self) -> None:
        self.use(connection=self.proxy.url(self.database.url))
        ping.ping(_engines())
        self.proxy.act(Mode.CUT)
        self.assertRaises(_UNREACHABLE, ping.ping, _engines())
        self.proxy.act(Mode.PASS)
        ping.ping(_engines())

    def test_a_lost_connection_is_no_lost_server(self) -> None:
        self.use(connection=self.proxy.url(self.database.url))
        ping.ping(_engines())
        self.proxy.cut()
        ping.ping(_engines())

    def test_one_that_is_silent_is_waited_for_no_longer_than_it_may(self) -> None:
        self.use(connection=self.proxy.url(self.database.url))
        ping.ping(_engines())
        self.proxy.act(Mode.HOLE)
        before = time.monotonic()
        self.assertRaises(exception.DatabaseError, ping.ping, _engines())
        self.assertLess(time.monotonic() - before, 10)

    def test_a_replica_that_is_gone_is_a_warning(self) -> None:
        self.use(slave_connection=self.proxy.url(self.database.url), synchronous_reader=False)
        self.assertEqual(Status.PASS, checks.database(_engines()).status)
        self.proxy.act(Mode.CUT)
        ping.ping(_engines())
        self.assertRaises(_UNREACHABLE, ping.ping_replica, _engines())
        found = checks.database(_engines())
        self.assertEqual(Status.WARN, found.status)
        self.assertIn('Of the replica: ', found.output)


class PingMariadb(_OnServer):
    kind = 'mariadb'


class PingPostgresql(_OnServer):
    kind = 'postgresql'


del _OnServer
