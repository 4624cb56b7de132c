# SPDX-License-Identifier: Apache-2.0
"""No call waits for the mapping database for ever."""

from collections.abc import Callable
import contextlib
import socket
import threading
import time
from typing import Any

from oslo_config import cfg

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api
from nova_cellmap.db import deadline
from nova_cellmap.db import migration
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

# Seconds: in which each call has to come back, when the options are as below. They say 1 s for
# each wait and 3 s for all tries; the rest is for a machine with much to do.
_LIMIT = 30
_SECONDS = {'connect_timeout': 1, 'read_timeout': 1, 'call_timeout': 3, 'db_max_retries': 2}


class _Case(base.TestCase):
    """A server that says nothing, from some point on."""

    def setUp(self) -> None:
        super().setUp()
        self.mapping = self.make_mapping(cell_mapping=self.make_cell())
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        self.through: cfg.ConfigOpts = self.database.conf(
            connection=self.proxy.url(self.database.url), **_SECONDS
        )
        nova_cellmap.configure(self.through)

    def look_up(self) -> InstanceMapping:
        uuid = self.mapping.instance_uuid
        return InstanceMapping.get_by_instance_uuid(self.context, uuid)

    def assert_ends(self, name: str, call: Callable[[], Any]) -> None:
        outcomes: list[Any] = []

        def run() -> None:
            try:
                outcomes.append(call())
            except Exception as error:
                outcomes.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(_LIMIT)
        self.assertFalse(thread.is_alive(), f'{name} hangs')
        [outcome] = outcomes
        self.assertIsInstance(outcome, exception.DatabaseUnreachable, f'{name}: {outcome!r}')


class _Silent(_Case):
    def in_blocks(self) -> None:
        with api.writer(self.context):
            self.look_up()

    def calls(self) -> dict[str, Callable[[], Any]]:
        return {
            'lookup': self.look_up,
            'list': lambda: InstanceMappingList.get_by_project_id(self.context, 'project'),
            'counts': lambda: InstanceMappingList.get_counts(self.context, 'project'),
            'create': lambda: self.make_mapping(),
            'bulk': lambda: InstanceMappingList.create_bulk(self.context, [self.new_mapping()]),
            'block': self.in_blocks,
            'db version': migration.db_version,
            'db sync': migration.db_sync,
        }

    def assert_all_end(self, prepare: Callable[[], None]) -> None:
        for name, call in self.calls().items():
            prepare()
            self.assert_ends(name, call)

    def test_before_it_is_connected_to(self) -> None:
        self.proxy.mode = Mode.HOLE
        self.assert_all_end(runtime.default().close)

    def test_once_it_is_connected_to(self) -> None:
        def fall_silent() -> None:
            self.proxy.mode = Mode.PASS
            runtime.default().close()
            self.look_up()
            with api.writer(self.context):
                self.look_up()
            self.proxy.mode = Mode.HOLE

        self.assert_all_end(fall_silent)


class SilentMariadb(_Silent):
    kind = 'mariadb'


class SilentPostgresql(_Silent):
    kind = 'postgresql'


del _Silent


class _Connecting(_Case):
    # Bytes: its greeting, and the beginning of what is said next.
    answers: tuple[int, ...] = (1, 60, 130, 400)

    def test_while_a_connection_is_made(self) -> None:
        for answered in self.answers:
            runtime.default().close()
            self.proxy.hole_after = answered
            self.assert_ends(f'{answered} bytes', self.look_up)

    def test_it_is_well_again(self) -> None:
        self.proxy.mode = Mode.HOLE
        with contextlib.suppress(exception.DatabaseUnreachable):
            self.look_up()
        self.proxy.mode = Mode.PASS
        self.assertEqual(self.mapping.id, self.look_up().id)


class ConnectingMariadb(_Connecting):
    kind = 'mariadb'


class ConnectingPostgresql(_Connecting):
    kind = 'postgresql'


class _ConnectingNova(_Connecting):
    """Of Nova's tables more is asked: which they are, and which columns they have."""

    schema = 'nova'
    answers = (700, 1500)


class ConnectingNovaMariadb(_ConnectingNova):
    kind = 'mariadb'


class ConnectingNovaPostgresql(_ConnectingNova):
    kind = 'postgresql'


del _Connecting, _ConnectingNova


class NobodyThere(tests_base.TestCase):
    """The first connection, which the library tries to make by options of its own."""

    def test_no_call_waits_without_end_as_the_options_of_nova_may_say(self) -> None:
        made = conf.new(args=[], config_files=[])
        options = {'max_retries': -1, 'retry_interval': 1, 'call_timeout': 2, 'db_max_retries': 0}
        url = 'mysql+pymysql://nova@127.0.0.1:1/nova_api'
        for name, value in {**options, 'connection': url}.items():
            made.set_override(name, value, group='api_database')
        context = get_admin_context(runtime=runtime.Runtime(made))
        began = time.monotonic()
        for _ in range(2):
            self.assertRaises(exception.DatabaseUnreachable, api.cell_mapping_get_all, context)
        self.assertLess(time.monotonic() - began, _LIMIT)


class Watching(tests_base.TestCase):
    """One call, of whatever driver."""

    def setUp(self) -> None:
        super().setUp()
        with socket.create_server(('127.0.0.1', 0)) as listening:
            self.here = socket.create_connection(listening.getsockname())
            self.there, _ = listening.accept()
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)

    def receive(self, sent: bytes = b'', **limits: Any) -> None:
        """Take what comes, and fail as a driver does where the connection is closed."""
        with deadline.watching(connection=self.here, **limits):
            self.there.sendall(sent)
            while self.here.recv(1000):
                pass
            raise ConnectionResetError('closed')

    def test_what_takes_too_long_is_ended(self) -> None:
        error = self.assertRaises(deadline.Overdue, self.receive, seconds=0.1)
        self.assertEqual('no answer within 0.1 s', str(error))
        self.assertIsInstance(error.__cause__, ConnectionResetError)

    def test_what_sends_too_much_is_ended(self) -> None:
        limits = {'seconds': 60, 'most_bytes': 40_000}
        error = self.assertRaises(deadline.Overdue, self.receive, b'x' * 50_000, **limits)
        self.assertIn('it sent more than it was asked for', str(error))

    def test_what_keeps_to_its_limits_is_left_as_it_is(self) -> None:
        # What came before is not counted.
        self.there.sendall(b'x' * 50_000)
        while len(self.here.recv(50_000, socket.MSG_PEEK)) < 50_000:
            pass
        with deadline.watching(60, 40_000, self.here) as watched:
            self.there.sendall(b'x')
        self.there.close()
        received = 0
        while some := self.here.recv(100_000):
            received += len(some)
        self.assertEqual(50_001, received)
        self.assertEqual('', watched.reason)
