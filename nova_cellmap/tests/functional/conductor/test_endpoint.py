# SPDX-License-Identifier: Apache-2.0
"""What monitoring learns from a conductor on a message queue, and what systemd is told."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import time
from typing import Any

import fixtures
import oslo_messaging
from prometheus_client import parser

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import rpc
from nova_cellmap.context import get_admin_context
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests import promtool
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor.test_service import Broker
from nova_cellmap.tests.functional.conductor.test_service import until

_WORKERS = 2
_NAME = 'nova_cellmap_conductor_'


def _resume(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


class _Case(base.TestCase):
    kind = 'sqlite'

    def start(self, **options: dict[str, Any]) -> our_fixtures.Conductor:
        with socket.create_server(('127.0.0.1', 0)) as probe:
            self.port = probe.getsockname()[1]
        conductor = {
            'workers': _WORKERS,
            'health': f'127.0.0.1:{self.port}',
            **options.pop('conductor', {}),
        }
        fixture = our_fixtures.Conductor(self.database, {'conductor': conductor, **options})
        self.useFixture(fixture)
        CellMapObject.indirection_api = fixture.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)
        return fixture

    def ask(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        try:
            connection.request('GET', path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def health(self) -> dict[str, Any]:
        status, body = self.ask('/health')
        shown: dict[str, Any] = json.loads(body)
        self.assertEqual(503 if shown['status'] == 'fail' else 200, status)
        return shown

    def until_health(self, status: str) -> dict[str, Any]:
        """The checks, once they are so as a whole."""

        def checks() -> dict[str, Any] | None:
            try:
                shown = self.health()
            except OSError:
                return None
            if shown['status'] != status:
                return None
            return {name: check for name, [check] in shown['checks'].items()}

        found: dict[str, Any] = until(f'/health is {status}', checks)
        return found

    def metrics(self) -> dict[tuple[str, ...], float]:
        """The values, by name and labels without their names."""
        _, body = self.ask('/metrics')
        return {
            (sample.name.removeprefix(_NAME), *sample.labels.values()): sample.value
            for family in parser.text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def worker_pids(self, conductor: our_fixtures.Conductor) -> list[int]:
        """The first processes of all workers, once they answer calls."""

        def logged() -> list[int]:
            found = re.findall(
                r' (\d+) INFO .*Worker \d answers calls', conductor.log_file.read_text()
            )
            return [int(pid) for pid in found[:_WORKERS]] if len(found) >= _WORKERS else []

        pids: list[int] = until('the workers have started', logged)
        return pids


class EndpointSqlite(_Case):
    def test_all_is_well_and_what_was_called(self) -> None:
        self.start()
        mapping = self.make_mapping()
        uuid = mapping.instance_uuid
        for _ in range(5):
            objects.InstanceMapping.get_by_instance_uuid(self.context, uuid)
        for _ in range(3):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                objects.InstanceMapping.get_by_instance_uuid,
                self.context,
                base.new_uuid(),
            )
        checks = self.until_health('pass')
        self.assertEqual({'database', 'queue', 'workers'}, checks.keys())
        self.assertEqual(_WORKERS, checks['workers']['observedValue'])
        values = self.metrics()
        method = 'InstanceMapping.get_by_instance_uuid'
        self.assertEqual(8, values['call_duration_seconds_count', method])
        self.assertEqual(3, values['errors_total', 'InstanceMappingNotFound'])
        for worker in ('0', '1'):
            self.assertEqual(1, values['worker_up', worker])
            self.assertEqual(64, values['threads', worker])
        self.assertEqual('', promtool.check_metrics(self.ask('/metrics')[1]))

    def test_a_worker_that_dies_is_replaced_and_no_count_starts_over(self) -> None:
        conductor = self.start()
        self.until_health('pass')
        before = self.metrics()['call_duration_seconds_count', 'ping']
        self.assertLess(0, before)
        os.kill(self.worker_pids(conductor)[0], signal.SIGKILL)
        until(
            'there is another',
            lambda: sum(self.metrics()['worker_starts_total', each] for each in '01') == 3,
        )
        self.until_health('pass')
        self.assertLessEqual(before, self.metrics()['call_duration_seconds_count', 'ping'])

    def test_a_worker_that_does_not_answer_is_a_warning(self) -> None:
        conductor = self.start()
        self.until_health('pass')
        [pid, _] = self.worker_pids(conductor)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(_resume, pid)
        checks = self.until_health('warn')
        self.assertIn('do not answer', checks['queue'].get('output', 'do not answer'))
        _resume(pid)
        self.until_health('pass')

    def test_without_a_database_it_fails_and_says_why(self) -> None:
        url = 'mysql+pymysql://user:sekret@127.0.0.1:1/mapping'
        self.start(api_database={'connection': url})
        until(
            'calls come through', lambda: self.health()['checks']['queue'][0]['status'] == 'pass'
        )
        checks = self.until_health('fail')
        self.assertEqual(
            ('fail', 'pass'), (checks['database']['status'], checks['queue']['status'])
        )
        self.assertIn('127.0.0.1', checks['database']['output'])
        self.assertNotIn('sekret', str(checks))

    def test_idle_clients_hold_up_neither_it_nor_a_call(self) -> None:
        self.start()
        mapping = self.make_mapping()
        for _ in range(100):
            idle = socket.create_connection(('127.0.0.1', self.port))
            self.addCleanup(idle.close)
            idle.sendall(b'GET /metrics HTTP/1.1\r\n')
        before = time.monotonic()
        self.health()
        found = objects.InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
        self.assertEqual(mapping.instance_uuid, found.instance_uuid)
        self.assertLess(time.monotonic() - before, 5)

    def test_it_ends_with_the_conductor(self) -> None:
        conductor = self.start()
        self.until_health('pass')
        self.assertEqual(0, conductor.stop())
        self.assertRaises(ConnectionRefusedError, self.ask, '/health')


class NamesSqlite(_Case):
    def call(self, conductor: our_fixtures.Conductor, server: str | None, **target: Any) -> Any:
        transport = rpc.transport(conductor.conf)
        self.addCleanup(transport.cleanup)
        client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(
                exchange='nova_cellmap', topic=conductor.conf.conductor.topic, **target
            ),
        )
        called = client.prepare(server=server, timeout=20)
        return called.call(get_admin_context().to_dict(), 'oslo_rpc_server_ping')

    def test_each_worker_has_a_name_and_answers_pings(self) -> None:
        conductor = self.start(DEFAULT={'rpc_ping_enabled': True})
        self.until_health('pass')
        host = conductor.conf.conductor.host
        for worker in range(_WORKERS):
            for _ in range(worker + 1):
                name = rpc.worker_name(host, worker)
                self.assertEqual('pong', self.call(conductor, name))
        self.assertEqual('pong', self.call(conductor, None))
        values = self.metrics()
        self.assertEqual(4, values['call_duration_seconds_count', 'oslo_rpc_server_ping'])

    def test_where_it_is_not_enabled_pings_are_refused(self) -> None:
        conductor = self.start()
        self.assertRaises(oslo_messaging.RemoteError, self.call, conductor, None)


class BrokerSqlite(_Case):
    def test_a_message_queue_that_is_lost_and_comes_back(self) -> None:
        broker = self.useFixture(Broker())
        self.start(DEFAULT={'transport_url': broker.url, 'rpc_response_timeout': 60})
        self.until_health('pass')
        broker.control('stop_app')
        checks = self.until_health('fail')
        self.assertEqual('fail', checks['queue']['status'])
        self.assertEqual('pass', checks['database']['status'])
        self.assertLess(0, len(checks['queue']['output']))
        broker.control('start_app')
        self.until_health('pass')


class SystemdSqlite(_Case):
    def setUp(self) -> None:
        super().setUp()
        path = str(pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'notify')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.told: list[str] = []
        for name, value in (('NOTIFY_SOCKET', path), ('WATCHDOG_USEC', '3000000')):
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def until_told(self, state: str) -> None:
        def is_told() -> bool:
            self.hear()
            return state in self.told

        until(f'systemd is told {state}', is_told)

    def hear(self) -> None:
        while True:
            try:
                self.told += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return

    def test_start_watchdog_and_end(self) -> None:
        conductor = self.start()
        self.until_told('READY=1')
        self.until_told(f'STATUS={_WORKERS} of {_WORKERS} workers answer calls')
        self.until_told('WATCHDOG=1')
        # One that is stuck keeps the watchdog from being told, and does not for ever.
        pid = self.worker_pids(conductor)[0]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(_resume, pid)
        time.sleep(5)
        self.hear()
        self.told.clear()
        time.sleep(3)
        self.hear()
        self.assertNotIn('WATCHDOG=1', self.told)
        _resume(pid)
        self.until_told('WATCHDOG=1')
        self.assertEqual(0, conductor.stop())
        self.hear()
        self.assertIn('STOPPING=1', self.told)
        # It is told once, and by nobody else.
        self.assertNotIn('READY=1', self.told)
