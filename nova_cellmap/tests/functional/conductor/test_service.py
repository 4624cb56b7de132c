# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-conductor as a process: its start, its end, and what it outlives."""

from collections.abc import Callable
from concurrent import futures
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import fixtures
import oslo_messaging
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.db import api
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas import own
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import base as conductor_base

_WORKERS = 2
_SERVERS = pathlib.Path(__file__).parents[4] / 'tools' / 'servers.py'

# How many connections of this database wait for a lock.
_WAITING = {
    'mariadb': """
        SELECT COUNT(*) FROM information_schema.innodb_trx trx
        JOIN information_schema.processlist process ON process.id = trx.trx_mysql_thread_id
        WHERE trx.trx_state = 'LOCK WAIT' AND process.db = DATABASE()
    """,
    'postgresql': """
        SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """,
}
# The connections to this database, but for the one that asks, and how to end one.
_CONNECTIONS = {
    'mariadb': """
        SELECT id FROM information_schema.processlist
        WHERE db = DATABASE() AND id <> CONNECTION_ID()
    """,
    'postgresql': """
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """,
}
_END = {'mariadb': 'KILL {}', 'postgresql': 'SELECT pg_terminate_backend({})'}


def until(what: str, happened: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until that is true; answer it."""
    end = time.monotonic() + seconds
    while not (answer := happened()):
        if time.monotonic() > end:
            raise AssertionError(f'not within {seconds} s: {what}')
        # MariaDB's tables of locks stay as they are where they are read more often.
        time.sleep(0.2)
    return answer


def _runs(pid: int) -> bool:
    """Whether a process has not come to its end; nobody need have waited for it."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


class Broker(fixtures.Fixture):
    """A RabbitMQ of the test's own, which is only starting: others use that of all tests.

    :ivar url: where it will be
    """

    def _setUp(self) -> None:
        spec = importlib.util.spec_from_file_location('servers', _SERVERS)
        assert spec is not None and spec.loader is not None
        servers = importlib.util.module_from_spec(spec)
        # Its dataclasses and annotations look it up there.
        sys.modules['servers'] = servers
        self.addCleanup(sys.modules.pop, 'servers')
        spec.loader.exec_module(servers)
        folder = servers.data_folder()
        self.addCleanup(folder.__exit__, None, None, None)
        self.server = servers.RabbitMQ(folder.__enter__() / 'rabbitmq', servers.free_ports())
        self.addCleanup(self.server.stop)
        self.server.start()
        self.url = self.server.url

    def control(self, command: str) -> None:
        subprocess.run([str(self.server.control), command], check=True, capture_output=True)


class _Case(base.TestCase):
    def start(self, **options: dict[str, Any]) -> our_fixtures.Conductor:
        """A conductor of several workers, and this process its client."""
        conductor = {'workers': _WORKERS, **options.pop('conductor', {})}
        fixture = our_fixtures.Conductor(
            self.database, {'conductor': conductor, 'DEFAULT': options.pop('DEFAULT', {})}
        )
        self.useFixture(fixture)
        until('the workers have started', lambda: len(self.workers(fixture)) == _WORKERS)
        CellMapObject.indirection_api = fixture.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)
        return fixture

    def workers(self, conductor: our_fixtures.Conductor) -> list[int]:
        """The processes that have ever come to answer calls, by what they log."""
        log = conductor.log_file.read_text()
        return [int(pid) for pid in re.findall(r' (\d+) INFO .*Worker \d answers calls', log)]

    def get(self, mapping: Any) -> objects.InstanceMapping:
        return objects.InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)

    def be_refused_by_each(self, conductor: our_fixtures.Conductor, workers: list[int]) -> None:
        """Have each of the workers answer, and log so."""

        def all_log() -> bool:
            self.be_refused(conductor)
            log = conductor.log_file.read_text()
            return all(f' {pid} WARNING nova_cellmap' in log for pid in workers)

        until('every worker answers', all_log)

    def be_refused(self, conductor: our_fixtures.Conductor) -> None:
        """Have one of the workers log something."""
        self.assertRaises(
            exception.RemoteCallRefused,
            conductor.api.caller,
            self.context,
            'object_action',
            objinst=None,
            objmethod='save',
            args=[],
            kwargs={},
        )


class ProcessSqlite(_Case):
    def test_sighup_reopens_the_log_of_every_process(self) -> None:
        conductor = self.start()
        mapping = self.make_mapping()
        workers = self.workers(conductor)
        rotated = conductor.log_file.with_suffix('.1')
        conductor.log_file.rename(rotated)
        conductor.process.send_signal(signal.SIGHUP)
        self.be_refused_by_each(conductor, workers)
        self.assertEqual(mapping.instance_uuid, self.get(mapping).instance_uuid)
        # They are the same processes still; the main one logs there too.
        self.assertEqual([], self.workers(conductor))
        self.assertEqual(0, conductor.stop())
        log = conductor.log_file.read_text()
        self.assertIn(f' {conductor.process.pid} INFO', log)
        self.assertEqual(_WORKERS, log.count('has finished its calls'))
        self.assertNotIn('SIGTERM', rotated.read_text())

    def test_a_worker_that_dies_is_replaced(self) -> None:
        conductor = self.start()
        mapping = self.make_mapping()
        for pid in self.workers(conductor):
            os.kill(pid, signal.SIGKILL)
        until('there are new ones', lambda: len(self.workers(conductor)) == 2 * _WORKERS)
        conductor.api.caller.wait(60)
        self.assertEqual(mapping.instance_uuid, self.get(mapping).instance_uuid)

    def test_workers_end_with_the_main_process_wherever_the_log_is(self) -> None:
        conductor = self.start()
        workers = self.workers(conductor)
        shutil.rmtree(conductor.log_file.parent)
        conductor.process.kill()
        conductor.process.wait()
        until('the workers have ended', lambda: not any(map(_runs, workers)))

    def test_what_is_wrong_with_the_configuration_is_said_at_once(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        queue = our_fixtures._server_url('rabbitmq')
        started: list[tuple[subprocess.Popen[str], str]] = []
        taken = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(taken.close)
        address = f'127.0.0.1:{taken.getsockname()[1]}'
        for transport_url, connection, health, told in (
            ('', self.database.url, '', 'transport_url'),
            ('bogus://u:sekret@x/', self.database.url, '', '[DEFAULT] transport_url'),
            ('rabbit://u:sek/ret@x:1/', self.database.url, '', '[DEFAULT] transport_url'),
            (queue, 'no url', '', '[api_database] connection'),
            (queue, self.database.url, 'health = nowhere', '[conductor] health'),
            (queue, self.database.url, f'health = {address}', 'Address already in use'),
        ):
            config_file = folder / f'{len(started)}.conf'
            config_file.write_text(
                f'[DEFAULT]\ntransport_url = {transport_url}\n'
                f'[api_database]\nconnection = {connection}\n'
                f'[conductor]\n{health}\n'
            )
            command = [sys.executable, '-W', 'ignore', '-m', 'nova_cellmap.cli.conductor']
            process = subprocess.Popen(
                [*command, '--config-file', str(config_file)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
            started.append((process, told))
        for process, told in started:
            _, err = process.communicate(timeout=60)
            self.assertEqual(64, process.returncode, err)
            self.assertIn('nova-cellmap-conductor: ', err)
            self.assertIn(told, err)
            for hidden in ('Traceback', 'sekret', "'sek'"):
                self.assertNotIn(hidden, err)

    def test_without_a_message_queue_it_waits_and_can_be_ended(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        config_file, log_file = folder / 'conductor.conf', folder / 'conductor.log'
        # Nobody listens there.
        config_file.write_text('[DEFAULT]\ntransport_url = rabbit://127.0.0.1:1/\n')
        command = [sys.executable, '-W', 'ignore', '-m', 'nova_cellmap.cli.conductor']
        files = ['--config-file', str(config_file), '--log-file', str(log_file)]
        process = subprocess.Popen([*command, *files], stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(
            'it looks for the message queue',
            lambda: log_file.exists() and 'Connection refused' in log_file.read_text(),
        )
        process.terminate()
        self.assertEqual(0, process.wait(20))


class BrokerSqlite(_Case):
    def test_the_message_queue_may_come_later_and_go_meanwhile(self) -> None:
        self.useFixture(conductor_base.Logged())
        broker = self.useFixture(Broker())
        conductor = self.start(DEFAULT={'transport_url': broker.url})
        self.assertIn('Connection refused', conductor.log_file.read_text())
        mapping = self.make_mapping()
        workers = self.workers(conductor)

        broker.control('stop_app')
        broker.control('start_app')
        conductor.api.caller.wait(60)
        self.assertEqual(mapping.instance_uuid, self.get(mapping).instance_uuid)
        mapping.project_id = 'other'
        mapping.save()
        # By each of those that were there before.
        self.assertEqual(workers, self.workers(conductor))
        self.be_refused_by_each(conductor, workers)

        # While there is none, calls end in time, and so do the conductor and its clients.
        broker.control('stop_app')
        self.be_lost_in_time(conductor)
        self.assertEqual(0, conductor.stop())
        log = conductor.log_file.read_text()
        self.assertEqual(_WORKERS, log.count('has finished its calls'))

    def be_lost_in_time(self, conductor: our_fixtures.Conductor) -> None:
        caller = conductor.api.caller
        caller._timeout = 6
        for _ in range(2):
            before = time.monotonic()
            error = self.assertRaises(
                oslo_messaging.MessagingTimeout, caller, self.context, 'ping'
            )
            self.assertLess(time.monotonic() - before, 12)
            self.assertIn('No answer to conductor.ping within 6 s', str(error))
        before = time.monotonic()
        caller.close()
        self.assertLess(time.monotonic() - before, 5)


class _Locking(_Case):
    """On a database that others can lock a row of."""

    def setUp(self) -> None:
        super().setUp()
        self.pool = futures.ThreadPoolExecutor()
        self.addCleanup(self.pool.shutdown)
        self.mapping = self.make_mapping()

    def lock(self) -> sa.Connection:
        """Hold the row of the mapping until the connection is closed."""
        connection = db_engine.of().writer.connect()
        self.addCleanup(connection.close)
        connection.execute(own.instance_mapping.update().values(queued_for_delete=True))
        return connection

    def until_a_call_waits(self) -> None:
        """Wait until a call waits for the row."""
        until('it waits', lambda: self.execute(sa.text(_WAITING[self.kind]))[0][0])


def on_each_server(suite: type[_Case]) -> None:
    """Have the tests of a class run on each kind of database server."""
    for kind in _WAITING:
        name = f'{suite.__name__}{kind.capitalize()}'
        members = {'kind': kind, '__module__': suite.__module__, '__doc__': suite.__doc__}
        globals()[name] = type(name, (suite,), members)


@on_each_server
class Process(_Locking):
    def test_sigterm_lets_calls_in_flight_finish_and_loses_none(self) -> None:
        conductor = self.start()
        held = self.lock()
        self.mapping.project_id = 'other'
        called = self.pool.submit(self.mapping.save)
        self.until_a_call_waits()
        old = conductor.process
        old.send_signal(signal.SIGTERM)
        until(
            'it takes no more calls',
            lambda: 'has finished its calls' in conductor.log_file.read_text(),
        )
        # One worker has ended, the other has a call in flight. Calls that come now are for
        # the conductor that takes over.
        next_calls = [self.pool.submit(self.get, self.mapping) for _ in range(4)]
        conductor.start()
        for next_call in next_calls:
            self.assertEqual(self.mapping.instance_uuid, next_call.result(60).instance_uuid)
        self.assertIsNone(old.poll())
        self.assertFalse(called.done())
        held.rollback()
        called.result(60)
        self.assertEqual(0, old.wait(60))
        self.assertEqual('other', self.get(self.mapping).project_id)
        self.assertEqual(set(), self.mapping.obj_what_changed())
        log = conductor.log_file.read_text()
        self.assertEqual(_WORKERS, log.count('has finished its calls'))
        self.assertNotIn('Traceback', log)

    def test_the_database_may_go_meanwhile(self) -> None:
        conductor = self.start()
        workers = self.workers(conductor)

        def read() -> None:
            self.assertEqual('project', self.get(self.mapping).project_id)

        # Several at once, so that each worker has connections.
        for called in [self.pool.submit(read) for _ in range(20)]:
            called.result(60)
        ended = self.execute(sa.text(_CONNECTIONS[self.kind]))
        self.assertLess(1, len(ended))
        for [number] in ended:
            self.execute(sa.text(_END[self.kind].format(number)))
        for called in [self.pool.submit(read) for _ in range(20)]:
            called.result(60)
        for number in range(3):
            self.mapping.user_id = f'user {number}'
            self.mapping.save()
        self.assertEqual(workers, self.workers(conductor))


class LimitPostgresql(_Locking):
    kind = 'postgresql'

    def test_sigterm_waits_for_calls_no_longer_than_it_may(self) -> None:
        conductor = self.start(conductor={'graceful_shutdown_timeout': 2})
        held = self.lock()
        self.mapping.project_id = 'other'
        # Nobody waits for the answer, which does not come.
        conductor.api.caller._client.cast(
            self.context,
            'object_action',
            objinst=self.mapping,
            objmethod='save',
            args=[],
            kwargs={},
        )
        self.until_a_call_waits()
        before = time.monotonic()
        conductor.stop()
        self.assertLess(time.monotonic() - before, 20)
        held.rollback()
        # What was cut off left all as it was.
        row = api.instance_mapping_get_by_instance_uuid(self.context, self.mapping.instance_uuid)
        self.assertEqual('project', row['project_id'])
