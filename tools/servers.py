#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command beside servers of its own, which end when the command does.

    python3 tools/servers.py run [--only mariadb] -- COMMAND [ARGUMENT ...]

The servers listen on free ports of 127.0.0.1, keep their data in a temporary folder and tell the
command their addresses in its environment. Nothing of them is left behind, however it ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
import contextlib
import ctypes
import os
from pathlib import Path
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import FrameType
from typing import ClassVar, NoReturn

HOST = '127.0.0.1'
# Below the range the kernel takes ports from for outgoing connections.
PORTS = range(20000, 32768)
# In seconds: for a server to answer, and for a process to end once told to.
STARTUP = 60
GRACE = 15
AS_ROOT = os.geteuid() == 0
LIBC = ctypes.CDLL(None)
# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A server cannot be had."""


class Interrupted(SystemExit):
    """Somebody wants this program to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class Server:
    """A server with its own folder and ports."""

    name: ClassVar[str]
    # What to install, and whom the server runs as when root starts it: servers refuse to be root.
    package: ClassVar[str]
    user: ClassVar[str]
    # Where its programs are if PATH has none, and the variable that tells the command the URL.
    program_folders: ClassVar[tuple[str, ...]]
    variable: ClassVar[str]
    # The data is thrown away: stop in the fastest way that leaves nothing outside of the folder.
    stop_signal: ClassVar[signal.Signals]
    # The server that it is nothing without.
    needs: ClassVar[type[Server] | None] = None

    def __init__(self, folder: Path, ports: Iterator[int]) -> None:
        self.folder = folder
        self.port = next(ports)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def beside(self, servers: list[Server]) -> None:
        """Get to know the others, before any is started."""

    @property
    def variables(self) -> dict[str, str]:
        """What the command's environment has of the server."""
        return {self.variable: self.url}

    def serve_command(self) -> list[str]:
        """The command that is the server, in the foreground."""
        raise NotImplementedError

    def start(self) -> None:
        self.started = time.monotonic()
        self.folder.mkdir()
        if AS_ROOT:
            shutil.chown(self.folder, self.user, self.user)
        self._prepare()
        self.process = self._spawn(self.serve_command())

    def wait(self) -> None:
        while not self._answers():
            if self.process is None or self.process.poll() is not None:
                raise self._failure('ended before it answered')
            if time.monotonic() - self.started > STARTUP:
                raise self._failure(f'did not answer within {STARTUP} s')
            time.sleep(0.1)
        say(f'{self.name}: {HOST}:{self.port}, up in {time.monotonic() - self.started:.1f} s')

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, self.stop_signal)

    def program(self, name: str) -> str:
        found = shutil.which(name, path=os.pathsep.join(self._program_path()))
        if found is None:
            raise ServerError(f'{self.name}: no program {name} here: install {self.package}')
        return found

    def _prepare(self) -> None:
        """Do what the server needs done before it starts."""
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return os.environ | {'TMPDIR': str(self.folder)}

    def _program_path(self) -> list[str]:
        return [os.environ.get('PATH', os.defpath), *self._program_folders()]

    def _program_folders(self) -> list[str]:
        """Existing folders, those of the newest version first."""
        root = Path('/')
        found = [path for glob in self.program_folders for path in root.glob(glob)]
        return [str(path) for path in sorted(found, key=version_in, reverse=True)]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = self.user if AS_ROOT else None
        with self.log.open('ab') as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                # Out of reach of the terminal's Ctrl-C: the command ends before its servers do.
                start_new_session=True,
                preexec_fn=die_with_parent(self.stop_signal),
            )

    @property
    def log(self) -> Path:
        return self.folder / 'log'

    def _failure(self, what: str) -> ServerError:
        tail = self.log.read_text(errors='replace').splitlines()[-60:]
        return ServerError('\n    '.join((f'{self.name} {what}. The end of its log:', *tail)))


class Database(Server):
    def create_command(self) -> list[str]:
        """The command that makes the data folder."""
        raise NotImplementedError

    def ask_command(self) -> list[str]:
        """The command that succeeds once the server answers queries."""
        raise NotImplementedError

    def _prepare(self) -> None:
        self.process = self._spawn(self.create_command())
        if self.process.wait():
            raise self._failure('could not create its data')

    def _answers(self) -> bool:
        asked = subprocess.run(
            self.ask_command(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return asked.returncode == 0


class MariaDB(Database):
    name = 'mariadb'
    package = 'mariadb-server'
    user = 'mysql'
    program_folders = ('usr/sbin', 'usr/libexec')
    variable = 'NOVA_CELLMAP_TEST_MARIADB_URL'
    stop_signal = signal.SIGKILL
    # What nobody should rely on is as few expect it: a test is not to pass by luck.
    ODD_DEFAULTS: ClassVar = {
        'character-set-server': 'latin1',
        'collation-server': 'latin1_german1_ci',
        'default-time-zone': '+05:30',
        'sql-mode': 'ANSI_QUOTES,IGNORE_SPACE,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT',
        'transaction-isolation': 'READ-UNCOMMITTED',
        'innodb-default-row-format': 'compact',
        'innodb-strict-mode': 'OFF',
        'default-storage-engine': 'MyISAM',
        'max-allowed-packet': '1M',
        'autocommit': 'OFF',
    }
    # Those that no option sets.
    ODD_VARIABLES: ClassVar = {
        'foreign_key_checks': '0',
        'lc_messages': "'de_DE'",
        'max_join_size': '1000',
        'sql_safe_updates': '1',
        'sql_select_limit': '1',
    }

    @property
    def url(self) -> str:
        # PyMySQL spends 70 ms of each connection on certificates otherwise.
        return f'mysql+pymysql://root@{HOST}:{self.port}/?ssl_disabled=1'

    def create_command(self) -> list[str]:
        return [
            self.program('mariadb-install-db'),
            '--no-defaults',
            '--auth-root-authentication-method=normal',
            '--skip-test-db',
            f'--datadir={self.folder}/data',
        ]

    def _prepare(self) -> None:
        super()._prepare()
        statements = [f'SET GLOBAL {name} = {it};\n' for name, it in self.ODD_VARIABLES.items()]
        (self.folder / 'init.sql').write_text(''.join(statements))

    def serve_command(self) -> list[str]:
        return [
            self.program('mariadbd'),
            '--no-defaults',
            f'--datadir={self.folder}/data',
            f'--tmpdir={self.folder}',
            # Within the data folder: a socket's full path may be too long.
            '--socket=socket',
            f'--pid-file={self.folder}/pid',
            f'--bind-address={HOST}',
            f'--port={self.port}',
            '--skip-name-resolve',
            '--max-connections=500',
            *(f'--{name}={value}' for name, value in self.ODD_DEFAULTS.items()),
            f'--init-file={self.folder}/init.sql',
            '--innodb-flush-log-at-trx-commit=0',
            '--skip-innodb-doublewrite',
        ]

    def ask_command(self) -> list[str]:
        program = self.program('mariadb')
        address = [f'--host={HOST}', f'--port={self.port}', '--user=root']
        return [program, '--no-defaults', *address, '--execute=SELECT 1']


class PostgreSQL(Database):
    name = 'postgresql'
    package = 'postgresql'
    user = 'postgres'
    program_folders = ('usr/lib/postgresql/*/bin', 'usr/pgsql-*/bin')
    variable = 'NOVA_CELLMAP_TEST_POSTGRESQL_URL'
    # As MariaDB's.
    ODD_DEFAULTS: ClassVar = {
        'timezone': 'Asia/Kolkata',
        'datestyle': 'SQL, DMY',
        'intervalstyle': 'sql_standard',
        'default_transaction_isolation': 'serializable',
        'default_transaction_deferrable': 'on',
        'standard_conforming_strings': 'off',
        'backslash_quote': 'on',
        'escape_string_warning': 'off',
        'bytea_output': 'escape',
        'client_encoding': 'LATIN1',
    }
    # Words in the order of people: 'a' before 'B', and hyphens count last.
    ODD_ORDER: ClassVar = ['--locale-provider=icu', '--icu-locale=en-US-u-ka-shifted']
    # Killed outright, it would leave its shared memory behind.
    stop_signal = signal.SIGQUIT

    @property
    def url(self) -> str:
        return f'postgresql+psycopg2://postgres@{HOST}:{self.port}/postgres'

    def create_command(self) -> list[str]:
        login = ['--auth=trust', '--username=postgres']
        text = ['--encoding=UTF8', '--locale=C', *self.ODD_ORDER]
        return [self.program('initdb'), *login, *text, '--no-sync', f'{self.folder}/data']

    def serve_command(self) -> list[str]:
        settings = {
            'listen_addresses': HOST,
            'port': self.port,
            'unix_socket_directories': '',
            'max_connections': 500,
            'fsync': 'off',
            'synchronous_commit': 'off',
            'full_page_writes': 'off',
            **self.ODD_DEFAULTS,
        }
        options = [f'--{name}={value}' for name, value in settings.items()]
        return [self.program('postgres'), '-D', f'{self.folder}/data', *options]

    def ask_command(self) -> list[str]:
        address = [f'--host={HOST}', f'--port={self.port}', '--username=postgres']
        return [self.program('psql'), '--no-psqlrc', *address, '--command=SELECT 1']


class PgBouncer(Server):
    """Before PostgreSQL: each transaction of a client may get another connection."""

    name = 'pgbouncer'
    package = 'pgbouncer'
    user = 'postgres'
    program_folders = ('usr/sbin', 'usr/bin')
    variable = 'NOVA_CELLMAP_TEST_PGBOUNCER_URL'
    stop_signal = signal.SIGQUIT
    needs = PostgreSQL
    SETTINGS: ClassVar = {
        'pool_mode': 'transaction',
        # What clients lose behind it shows with few connections that change hands often.
        'default_pool_size': 10,
        'max_client_conn': 500,
        'auth_type': 'any',
        # Its own default, which fits most clients.
        'ignore_startup_parameters': '',
    }

    def __init__(self, folder: Path, ports: Iterator[int]) -> None:
        super().__init__(folder, ports)
        self.before: Server | None = None

    @property
    def url(self) -> str:
        return f'postgresql+psycopg2://postgres@{HOST}:{self.port}/postgres'

    def beside(self, servers: list[Server]) -> None:
        [self.before] = [server for server in servers if isinstance(server, self.needs)]

    def serve_command(self) -> list[str]:
        return [self.program('pgbouncer'), f'{self.folder}/pgbouncer.ini']

    def _prepare(self) -> None:
        assert self.before is not None
        settings = self.SETTINGS | {
            'listen_addr': HOST,
            'listen_port': self.port,
            'unix_socket_dir': '',
        }
        lines = [
            '[databases]',
            f'* = host={HOST} port={self.before.port} user=postgres',
            '[pgbouncer]',
            *(f'{name} = {value}' for name, value in settings.items()),
        ]
        (self.folder / 'pgbouncer.ini').write_text('\n'.join(lines) + '\n')

    def _answers(self) -> bool:
        # It asks for a password or lets in: either is an answer to a client that wants no TLS.
        return talks(self.port, b'\0\0\0\x08\x04\xd2\x16\x2f')


class RabbitMQ(Server):
    """A broker that the command can also stop and start, by rabbitmqctl's stop_app and start_app.

    It needs a process beside it, epmd, where rabbitmqctl asks for its distribution port.
    """

    name = 'rabbitmq'
    package = 'rabbitmq-server'
    user = 'rabbitmq'
    program_folders = ('usr/lib/rabbitmq/bin',)
    variable = 'NOVA_CELLMAP_TEST_RABBITMQ_URL'
    control_variable = 'NOVA_CELLMAP_TEST_RABBITMQCTL'
    stop_signal = signal.SIGKILL

    def __init__(self, folder: Path, ports: Iterator[int]) -> None:
        super().__init__(folder, ports)
        self.distribution_port = next(ports)
        self.epmd_port = next(ports)
        self.epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f'rabbit://guest:guest@{HOST}:{self.port}/'

    @property
    def variables(self) -> dict[str, str]:
        return super().variables | {self.control_variable: shlex.quote(str(self.control))}

    @property
    def control(self) -> Path:
        """A program of our own: rabbitmqctl for this very broker."""
        return self.folder / 'rabbitmqctl'

    def serve_command(self) -> list[str]:
        return [self.program('rabbitmq-server')]

    def stop(self) -> None:
        super().stop()
        if self.epmd is not None:
            end(self.epmd, signal.SIGKILL)

    def _prepare(self) -> None:
        settings = [f'{name}={value}' for name, value in self._environment().items()]
        command = shlex.join(['env', '-i', *settings, self.program('rabbitmqctl')])
        self.control.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        self.control.chmod(0o755)
        (self.folder / 'rabbitmq.conf').write_text('disk_free_limit.absolute = 1MB\n')
        address = ['-address', HOST, '-port', str(self.epmd_port)]
        self.epmd = self._spawn([self.program('epmd'), *address])
        while not talks(self.epmd_port):
            if self.epmd.poll() is not None:
                raise self._failure('could not start epmd')
            time.sleep(0.01)

    def _answers(self) -> bool:
        return talks(self.port, b'AMQP\0\0\x09\x01')

    def _environment(self) -> dict[str, str]:
        """All of it: the broker of the system may have left variables, and settings in /etc."""
        return {
            'PATH': os.environ.get('PATH', os.defpath),
            'LC_ALL': 'C.UTF-8',
            # The cookie by which rabbitmqctl and the broker know each other is there.
            'HOME': str(self.folder),
            'TMPDIR': str(self.folder),
            'ERL_EPMD_ADDRESS': HOST,
            'ERL_EPMD_PORT': str(self.epmd_port),
            # An epmd of their own would outlive them.
            'ERL_FLAGS': '-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}',
            'RABBITMQ_NODENAME': 'rabbit@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': HOST,
            'RABBITMQ_NODE_PORT': str(self.port),
            'RABBITMQ_DIST_PORT': str(self.distribution_port),
            'RABBITMQ_CTL_DIST_PORT_MIN': str(PORTS[0]),
            'RABBITMQ_CTL_DIST_PORT_MAX': str(PORTS[-1]),
            'RABBITMQ_CONF_ENV_FILE': '/dev/null',
            'RABBITMQ_CONFIG_FILE': f'{self.folder}/rabbitmq.conf',
            'RABBITMQ_ADVANCED_CONFIG_FILE': f'{self.folder}/advanced.config',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{self.folder}/plugins',
            'RABBITMQ_MNESIA_BASE': f'{self.folder}/data',
            'RABBITMQ_LOG_BASE': str(self.folder),
            'RABBITMQ_LOGS': '-',
            # Has the script become the broker instead of waiting for it.
            'RUNNING_UNDER_SYSTEMD': 'true',
        }

    def _program_path(self) -> list[str]:
        """Not PATH first: Debian's programs there are for the broker of the system."""
        return [*self._program_folders(), os.environ.get('PATH', os.defpath)]


class Memcached(Server):
    name = 'memcached'
    package = 'memcached'
    user = 'memcache'
    program_folders = ('usr/bin', 'usr/sbin')
    variable = 'NOVA_CELLMAP_TEST_MEMCACHED_URL'
    stop_signal = signal.SIGKILL

    @property
    def url(self) -> str:
        """An address, as [cache] memcache_servers takes it."""
        return f'{HOST}:{self.port}'

    def serve_command(self) -> list[str]:
        return [self.program('memcached'), f'--listen={HOST}', f'--port={self.port}']

    def _prepare(self) -> None:
        pass

    def _answers(self) -> bool:
        return talks(self.port, b'version\r\n')


# The one that takes longest is first: it starts meanwhile.
SERVERS: dict[str, type[Server]] = {
    server.name: server for server in (RabbitMQ, MariaDB, PostgreSQL, PgBouncer, Memcached)
}


def main(arguments: list[str]) -> int:
    names, command = parse(arguments)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup a SIGHUP stays ignored. A shell's background job ignores SIGINT, but then
        # a signal to this very process is meant.
        if signum == signal.SIGINT or signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, interrupt)
    try:
        with running([SERVERS[name] for name in names]) as servers:
            variables: dict[str, str] = {}
            for server in servers:
                variables |= server.variables
            return run(command, variables)
    except ServerError as error:
        say(str(error))
        return 1


def parse(arguments: list[str]) -> tuple[list[str], list[str]]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').split('\n', maxsplit=1)[0],
        usage='%(prog)s run [--only SERVER] ... [--usual-defaults] -- COMMAND [ARGUMENT ...]',
    )
    parser.add_argument('action', choices=['run'])
    parser.add_argument('--only', action='append', choices=SERVERS, help='start this, not all')
    parser.add_argument(
        '--usual-defaults',
        action='store_true',
        help='have databases as people set them up, not with the defaults that tests need',
    )
    # argparse's own treatment of '--' differs between versions, and COMMAND may have one itself.
    end = arguments.index('--') if '--' in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    if options.usual_defaults:
        use_usual_defaults()
    command = arguments[end + 1 :]
    if not command:
        parser.error("no COMMAND after '--'")
    wanted = set(options.only or SERVERS)
    wanted |= {needed.name for name in wanted for needed in [SERVERS[name].needs] if needed}
    return [name for name in SERVERS if name in wanted], command


def use_usual_defaults() -> None:
    MariaDB.ODD_DEFAULTS = {'character-set-server': 'utf8mb4'}
    MariaDB.ODD_VARIABLES = {}
    PostgreSQL.ODD_DEFAULTS = {}
    PostgreSQL.ODD_ORDER = []


@contextlib.contextmanager
def running(kinds: list[type[Server]]) -> Iterator[list[Server]]:
    """The servers, answering; gone with their data afterwards."""
    ports = free_ports()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(data_folder())
        servers = [kind(folder / kind.name, ports) for kind in kinds]
        for server in servers:
            server.beside(servers)
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait()
        yield servers


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A temporary folder that the servers' users may enter."""
    with tempfile.TemporaryDirectory(
        prefix='nova-cellmap-', dir=temporary_root(), ignore_cleanup_errors=True
    ) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def temporary_root() -> Path:
    """TMPDIR; but root's own may be closed to the users that the servers run as."""
    root = Path(tempfile.gettempdir()).resolve()
    open_to_all = all(folder.stat().st_mode & 0o001 for folder in (root, *root.parents))
    return root if open_to_all or not AS_ROOT else Path('/tmp')


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on, each once."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            probe.close()
            yield port


def talks(port: int, greeting: bytes = b'') -> bool:
    """Whether somebody listens on this port, and replies to the greeting if there is one."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1) as connection:
        connection.sendall(greeting)
        return not greeting or bool(connection.recv(1))
    return False


def run(command: list[str], variables: dict[str, str]) -> int:
    """The command's exit status; what it left running in its process group is gone with it."""
    try:
        process = subprocess.Popen(
            command,
            env=os.environ | variables,
            # Its own, so that Ctrl-C reaches it once, through us.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    except OSError as error:
        say(f'cannot run {command[0]}: {error.strerror}')
        return 127
    try:
        returncode = process.wait()
    except Interrupted as stop:
        end(process, stop.signum)
        raise
    end(process, signal.SIGKILL)
    return returncode if returncode >= 0 else 128 - returncode


def end(leader: subprocess.Popen[bytes], signum: int) -> None:
    """End a process and all of its group, by this signal if that does."""
    signal_group(leader, signum)
    with contextlib.suppress(subprocess.TimeoutExpired):
        leader.wait(GRACE)
    signal_group(leader, signal.SIGKILL)
    leader.wait()


def signal_group(leader: subprocess.Popen[bytes], signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signum)


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Unwind, undisturbed by further signals."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signum)


def die_with_parent(signum: int) -> Callable[[], None]:
    """Have the kernel send a new process this signal should this one be killed outright."""
    return lambda: LIBC.prctl(PR_SET_PDEATHSIG, signum)


def version_in(path: Path) -> list[int]:
    """The numbers in a path, to sort versions by."""
    return [int(number) for number in re.findall(r'\d+', str(path))]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
