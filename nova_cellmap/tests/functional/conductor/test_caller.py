# SPDX-License-Identifier: Apache-2.0
"""A message queue that refuses, is silent, or is none."""

import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any
import uuid

import fixtures
from oslo_config import cfg
import oslo_messaging
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import rpcapi
from nova_cellmap.conductor import service
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests import proxy as tcp_proxy
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import base as conductor_base
from nova_cellmap.tests.functional.conductor.test_service import until

_TIMEOUT = 3
_SECRET = 'sekret'


def control(*arguments: str) -> None:
    """Tell the broker of all tests something."""
    command = shlex.split(os.environ['NOVA_CELLMAP_TEST_RABBITMQCTL'])
    subprocess.run([*command, *arguments], check=True, capture_output=True)


class User(fixtures.Fixture):
    """A user of the broker who may do so much; None: who may not even come in.

    :ivar url: the broker, for them
    """

    def __init__(self, *permissions: str) -> None:
        self.permissions = permissions

    def _setUp(self) -> None:
        name = f'user-{uuid.uuid4().hex}'
        control('add_user', name, _SECRET)
        self.addCleanup(control, 'delete_user', name)
        self.name = name
        if self.permissions:
            control('set_permissions', '-p', '/', name, *self.permissions)
        self.url = _broker(username=name, password=_SECRET)


def _broker(**changed: Any) -> str:
    url = sa.make_url(our_fixtures._server_url('rabbitmq')).set(**changed)
    return url.render_as_string(hide_password=False)


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(conductor_base.Logged())
        # A thread that ends in an exception is a fault.
        died: list[Any] = []
        self.addCleanup(setattr, threading, 'excepthook', threading.excepthook)
        threading.excepthook = died.append
        self.addCleanup(lambda: self.assertEqual([], died))

    def caller(self, url: str, timeout: int = _TIMEOUT, **rabbit: Any) -> Any:
        conf = self.conf_of(url, timeout, **rabbit)
        caller = conductor_caller.Caller(conf)
        self.addCleanup(caller.close)
        return caller

    def conf_of(self, url: str, timeout: int = _TIMEOUT, **rabbit: Any) -> cfg.ConfigOpts:
        conf = conductor_base.client_conf()
        # It registers the options.
        conductor_caller.Caller(conf).close()
        conf.set_override('transport_url', url)
        conf.set_override('rpc_response_timeout', timeout)
        for name, value in rabbit.items():
            conf.set_override(name, value, group='oslo_messaging_rabbit')
        return conf

    def raised_in_time(self, cls: type[Exception], call: Any, *args: Any) -> str:
        before = time.monotonic()
        error = self.assertRaises(cls, call, *args)
        self.assertLess(time.monotonic() - before, 2 * _TIMEOUT)
        self.assertIs(cls, type(error))
        self.assertNotIn(_SECRET, str(error))
        return str(error)


class RefusalSqlite(_Case):
    def refused(self, url: str) -> str:
        caller = self.caller(url)
        told = [
            self.raised_in_time(exception.BrokerRefused, caller, self.context, 'ping')
            for _ in range(2)
        ]
        told.append(self.raised_in_time(exception.BrokerRefused, caller.wait, 60))
        conf = self.conf_of(url)
        self.addCleanup(rpcapi.use_database)
        told.append(self.raised_in_time(exception.BrokerRefused, rpcapi.use_conductor, conf, 60))
        for one in told:
            self.assertIn('[DEFAULT] transport_url', one)
            self.assertIn(':***@127.0.0.1', one)
        return told[-1]

    def test_a_wrong_password(self) -> None:
        self.assertIn('ACCESS_REFUSED', self.refused(_broker(password='wrong')))

    def test_no_such_virtual_host(self) -> None:
        self.assertIn('vhost nowhere not found', self.refused(_broker(database='nowhere')))

    def test_a_user_who_may_not_come_in(self) -> None:
        user = self.useFixture(User())
        self.assertIn(f"refused for user '{user.name}'", self.refused(user.url))

    def test_a_user_who_may_do_nothing(self) -> None:
        user = self.useFixture(User('^$', '^$', '^$'))
        self.assertIn(f"refused for user '{user.name}'", self.refused(user.url))

    def test_a_user_who_may_not_write(self) -> None:
        user = self.useFixture(User('.*', '^$', '.*'))
        self.assertIn(f"refused for user '{user.name}'", self.refused(user.url))

    def test_a_user_who_may_not_have_a_queue_for_answers(self) -> None:
        user = self.useFixture(User('^nova_cellmap$', '.*', '.*'))
        self.assertIn(f"refused for user '{user.name}'", self.refused(user.url))

    def test_who_is_let_in_later_need_not_begin_again(self) -> None:
        user = self.useFixture(User())
        caller = self.caller(user.url)
        self.raised_in_time(exception.BrokerRefused, caller, self.context, 'ping')
        control('set_permissions', '-p', '/', user.name, '.*', '.*', '.*')
        told = self.raised_in_time(oslo_messaging.MessagingTimeout, caller, self.context, 'ping')
        self.assertIn('does nova-cellmap-conductor run', told)


class NoneSqlite(_Case):
    """Where the URL leads to nothing that would answer."""

    def lost(self, url: str, **rabbit: Any) -> str:
        caller = self.caller(url, **rabbit)
        told = [
            self.raised_in_time(oslo_messaging.MessagingTimeout, caller, self.context, 'ping')
            for _ in range(2)
        ]
        for one in told:
            self.assertIn(f'No answer to conductor.ping within {_TIMEOUT} s', one)
            self.assertIn('the message queue cannot be reached', one)
        return told[-1]

    def listening(self, answer: bytes, *, ends: bool = True) -> str:
        """The URL of a server that is none of AMQP."""
        server = socket.create_server(('127.0.0.1', 0), backlog=100)
        self.addCleanup(server.close)
        self.addCleanup(server.shutdown, socket.SHUT_RDWR)
        kept = []

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.sendall(answer)
                if ends:
                    client.close()
                else:
                    kept.append(client)

        threading.Thread(target=serve, daemon=True).start()
        return f'rabbit://u:{_SECRET}@127.0.0.1:{server.getsockname()[1]}/'

    def test_a_closed_port(self) -> None:
        self.assertIn('Connection refused', self.lost(f'rabbit://u:{_SECRET}@127.0.0.1:1/'))

    def test_no_such_host(self) -> None:
        self.lost(f'rabbit://u:{_SECRET}@no.such.host.invalid/')

    def test_servers_that_are_no_message_queue(self) -> None:
        for answer in (b'', b'HTTP/1.1 400 Bad Request\r\n\r\n', b'SSH-2.0-OpenSSH_9.2p1\r\n'):
            self.lost(self.listening(answer))

    def test_a_server_that_says_nothing(self) -> None:
        self.lost(self.listening(b'', ends=False))

    def test_tls_where_there_is_none(self) -> None:
        self.assertIn('SSL', self.lost(our_fixtures._server_url('rabbitmq'), ssl=True))


class SilenceSqlite(_Case):
    """A message queue that falls silent, or is cut off, at any time."""

    def setUp(self) -> None:
        super().setUp()
        url = our_fixtures._server_url('rabbitmq')
        self.proxy = self.useFixture(tcp_proxy.Proxy.to(url))
        conductor = self.useFixture(our_fixtures.Conductor(self.database))
        conf = self.conf_of(self.proxy.url(url))
        conf.set_override('topic', conductor.conf.conductor.topic, group='conductor')
        self.mapping = self.make_mapping()
        rpcapi.use_conductor(conf)
        self.addCleanup(rpcapi.use_database)

    def get(self) -> objects.InstanceMapping:
        return objects.InstanceMapping.get_by_instance_uuid(
            self.context, self.mapping.instance_uuid
        )

    def timed_out(self, call: Any) -> str:
        return self.raised_in_time(oslo_messaging.MessagingTimeout, call)

    def until_it_answers(self) -> None:
        def answers() -> bool:
            try:
                return bool(self.get().instance_uuid == self.mapping.instance_uuid)
            except oslo_messaging.MessagingTimeout:
                return False

        until('it answers again', answers, 90)

    def test_from_the_beginning(self) -> None:
        self.proxy.mode = tcp_proxy.Mode.HOLE
        for _ in range(3):
            self.timed_out(self.get)
        self.proxy.act(tcp_proxy.Mode.CUT)
        self.proxy.mode = tcp_proxy.Mode.PASS
        self.until_it_answers()

    def test_after_calls(self) -> None:
        self.get()
        self.proxy.mode = tcp_proxy.Mode.HOLE
        for _ in range(3):
            self.timed_out(self.get)
        new = self.new_mapping()
        self.timed_out(new.create)
        self.proxy.act(tcp_proxy.Mode.CUT)
        self.proxy.mode = tcp_proxy.Mode.PASS
        self.until_it_answers()
        # What its caller gave up is not done later.
        CellMapObject.indirection_api = None
        self.assertEqual(1, len(objects.InstanceMappingList.get_all(self.context)))

    def test_cut_off_and_back(self) -> None:
        for _ in range(3):
            self.assertEqual(self.mapping.instance_uuid, self.get().instance_uuid)
            self.proxy.cut()
            new = self.new_mapping()
            new.create()
            self.proxy.cut()
            self.assertEqual('project', self.get().project_id)
            new.destroy()

    def test_cut_off_for_good(self) -> None:
        self.get()
        self.proxy.act(tcp_proxy.Mode.CUT)
        for call in (self.get, self.new_mapping().create, self.mapping.destroy):
            self.timed_out(call)
        self.proxy.mode = tcp_proxy.Mode.PASS
        self.until_it_answers()

    def test_many_at_once(self) -> None:
        self.get()
        self.proxy.mode = tcp_proxy.Mode.HOLE
        raised: list[Any] = []

        def call() -> None:
            try:
                self.get()
            except Exception as error:
                raised.append(type(error))

        threads = [threading.Thread(target=call) for _ in range(40)]
        before = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - before, 2 * _TIMEOUT)
        self.assertEqual([oslo_messaging.MessagingTimeout] * 40, raised)


class OptionsSqlite(_Case):
    """Options of oslo.messaging that cannot be followed are one clear error, at once."""

    def invalid(self, **rabbit: Any) -> str:
        conf = self.conf_of(our_fixtures._server_url('rabbitmq'), **rabbit)
        told = {
            str(self.assertRaises(exception.InvalidOption, build, conf))
            for build in (conductor_caller.Caller, service.server, service.serve)
        }
        [one] = told
        self.assertIn(next(iter(rabbit)), one)
        return one

    def test_the_queue_manager_needs_a_folder_for_locks(self) -> None:
        self.assertIn('[oslo_concurrency] lock_path', self.invalid(use_queue_manager=True))

    def test_the_queue_manager_works_with_one(self) -> None:
        conf = self.conf_of(
            our_fixtures._server_url('rabbitmq'),
            use_queue_manager=True,
            hostname='h',
            processname=uuid.uuid4().hex,
        )
        folder = self.useFixture(fixtures.TempDir()).path
        conf.set_override('lock_path', folder, group='oslo_concurrency')
        conductor = service.server(conf)
        conductor.start()
        self.addCleanup(conductor.wait)
        self.addCleanup(conductor.stop)
        caller = conductor_caller.Caller(conf)
        self.addCleanup(caller.close)
        caller.wait(60)

    def test_streams_need_more(self) -> None:
        self.assertIn(
            'rabbit_transient_quorum_queue',
            self.invalid(rabbit_stream_fanout=True, rabbit_qos_prefetch_count=5),
        )

    def test_files_have_to_be_there(self) -> None:
        self.assertIn('/no/such.pem', self.invalid(ssl_ca_file='/no/such.pem', ssl=True))


class NamesSqlite(_Case):
    def test_any_name_of_a_machine_can_be_configured(self) -> None:
        for host in ('nova_conductor', '1234', 'a.b-c'):
            conf = conductor_base.client_conf()
            conf.set_override('host', host, group='conductor')
            conductor = service.server(conf)
            conductor.start()
            self.addCleanup(conductor.wait)
            self.addCleanup(conductor.stop)

    def test_the_configuration_can_be_imported_on_any_machine(self) -> None:
        program = (
            'import socket\n'
            'for name in ("nova_conductor", "1234", "", "x" * 300):\n'
            '    socket.gethostname = lambda: name\n'
            '    import importlib, nova_cellmap.conf.conductor as module\n'
            '    importlib.reload(module)\n'
        )
        subprocess.run([sys.executable, '-W', 'ignore', '-c', program], check=True)

    def test_what_is_no_name_is_an_error(self) -> None:
        for option in ('host', 'topic'):
            for name in ('', '*', 'a#', 'a b', 'x' * 300):
                conf = conductor_base.client_conf()
                conf.set_override(option, name, group='conductor')
                error = self.assertRaises(exception.InvalidOption, service.server, conf)
                self.assertIn(f'[conductor] {option}', str(error))


class ConductorSqlite(_Case):
    def test_a_conductor_that_is_refused_waits_and_goes_on(self) -> None:
        user = self.useFixture(User())
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        config_file, log_file = folder / 'conductor.conf', folder / 'conductor.log'
        topic = f'conductor-{uuid.uuid4().hex}'
        config_file.write_text(
            f'[DEFAULT]\ntransport_url = {user.url}\n[conductor]\ntopic = {topic}\nworkers = 1\n'
            f'[api_database]\nconnection = {self.database.url}\n'
        )
        command = [sys.executable, '-W', 'ignore', '-m', 'nova_cellmap.cli.conductor']
        files = ['--config-file', str(config_file), '--log-file', str(log_file)]
        process = subprocess.Popen([*command, *files], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        refused = 'Trying again in'
        until('it tries again', lambda: _log(log_file).count(refused) >= 3)
        log = _log(log_file)
        self.assertIn(f"refused for user '{user.name}'", log)
        self.assertNotIn('Traceback', log)
        self.assertNotIn(_SECRET, log)
        # The same worker, which waits longer each time.
        self.assertIn('Trying again in 4 seconds', log)
        control('set_permissions', '-p', '/', user.name, '.*', '.*', '.*')
        conf = conductor_base.client_conf(topic)
        caller = conductor_caller.Caller(conf)
        self.addCleanup(caller.close)
        caller.wait(60)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(0, process.wait(20))

    def test_a_conductor_that_is_refused_can_be_ended(self) -> None:
        conductor = our_fixtures.Conductor(
            self.database, {'DEFAULT': {'transport_url': _broker(password='wrong')}}
        )
        self.useFixture(_Started(conductor))
        until('it is refused', lambda: 'Trying again in' in _log(conductor.log_file))
        before = time.monotonic()
        self.assertEqual(0, conductor.stop())
        self.assertLess(time.monotonic() - before, 20)


class _Started(fixtures.Fixture):
    """A conductor that nobody waits for."""

    def __init__(self, conductor: our_fixtures.Conductor) -> None:
        self._conductor = conductor

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        conductor = self._conductor
        conductor.config_file = folder / 'conductor.conf'
        conductor.log_file = folder / 'conductor.log'
        conductor.config_file.write_text(conductor._config())
        conductor.start()
        self.addCleanup(conductor.process.kill)


def _log(path: pathlib.Path) -> str:
    return path.read_text() if path.exists() else ''
