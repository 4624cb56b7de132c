# SPDX-License-Identifier: Apache-2.0
"""Check what may be stored as the URLs of a cell.

Many processes connect to where they lead, with the rights and the files of the machines that
those run on. So they are of the drivers and with the parameters that are listed, and no others.
"""

from collections.abc import Callable, Collection
import functools
from importlib import metadata
from typing import TYPE_CHECKING
from urllib import parse

from nova_cellmap import text
from nova_cellmap.url import check
from nova_cellmap.url import parameters
from nova_cellmap.url import syntax
from nova_cellmap.url import template

if TYPE_CHECKING:
    from oslo_config import cfg
    from sqlalchemy.engine import url as sa_url

_Problem = str | None

# What a template's scheme may become.
_DATABASES = ('mysql+pymysql', 'mysql+mysqldb', 'mysql', 'postgresql', 'sqlite')
_QUEUES = ('rabbit', 'kafka', 'fake')
# Options of oslo.messaging that a client of the conductor may set; the operator: all of the group.
_OF_CLIENTS = frozenset({'ssl', 'rabbit_quorum_queue', 'rabbit_ha_queues', 'heartbeat_rate'})
# The groups of a driver's options; the others have none.
_GROUPS = {
    'rabbit': 'oslo_messaging_rabbit',
    'kombu': 'oslo_messaging_rabbit',
    'kafka': 'oslo_messaging_kafka',
    'amqp': 'oslo_messaging_amqp',
}
_FOR_OPERATORS = 'is for the operator to set, with nova-cellmap-manage'


def check_cell_database(
    url: str, *, from_client: bool = False, also: Collection[str] = ()
) -> None:
    """Check that ``url`` may be stored as that of a cell's database, or as a template of it.

    Whether the driver is installed is not asked: it is needed where the cell is connected to.

    :param from_client: it comes from a client of the conductor, and not from an operator: then
        without templates, files, and what else is found on the machine that connects
    :param also: further parameters that are let through
    :raises InvalidURL: when it cannot be parsed, or asks for what is not listed in
        :mod:`nova_cellmap.url.parameters`
    """

    def problem_of(url: str) -> _Problem:
        return _database_problem(url, from_client, also)

    check.refuse('database', url, _problem(url, from_client, _DATABASES, problem_of))


def check_cell_transport(url: str, *, from_client: bool = False) -> None:
    """Check that ``url`` may be stored as that of a cell's message queue, or as a template of it.

    :param from_client: as for :func:`check_cell_database`
    :raises InvalidURL: when it cannot be parsed, or sets what is no option of its driver
    """

    def problem_of(url: str) -> _Problem:
        return _queue_problem(url, from_client)

    check.refuse('transport', url, _problem(url, from_client, _QUEUES, problem_of))


def _problem(
    url: str, from_client: bool, schemes: tuple[str, ...], problem_of: Callable[[str], _Problem]
) -> _Problem:
    if len(url) > syntax.MAX_LENGTH:
        return check.TOO_LONG
    odd = text.odd_character(url)
    if odd is not None:
        return f'it holds a character that has to be quoted, {odd}'
    if syntax.is_none(url):
        return None
    if not syntax.is_template(url):
        return problem_of(url)
    if from_client:
        return f'a template {_FOR_OPERATORS}'
    # Right for one scheme is right; else what is wrong is said of the first.
    problems = [problem_of(template.fill_like(url, scheme)) for scheme in schemes]
    return problems[0] if all(problems) else None


def _database_problem(url: str, from_client: bool, also: Collection[str]) -> _Problem:
    from sqlalchemy import engine
    from sqlalchemy import exc

    try:
        parsed = engine.make_url(url)
    except (exc.SQLAlchemyError, ValueError):
        return f'it cannot be parsed ({check.QUOTING})'
    dialect, plus, driver = parsed.drivername.partition('+')
    drivers = parameters.DRIVERS.get(dialect, ())
    if not drivers or (plus and driver not in drivers):
        return (
            f'SQLAlchemy knows no dialect or driver {parsed.drivername:.60} that the database of '
            f'a cell may have: those are {", ".join(parameters.DRIVER_NAMES)}'
        )
    if dialect == 'sqlite':
        problem = _sqlite_problem(parsed, from_client)
    else:
        problem = _server_problem(parsed, dialect, driver or drivers[0], from_client)
    return problem or _parameter_problem(parsed, driver or drivers[0], from_client, also)


def _sqlite_problem(parsed: 'sa_url.URL', from_client: bool) -> _Problem:
    if from_client:
        return f'a file {_FOR_OPERATORS}'
    path = parsed.database or ''
    if path.startswith('file:'):
        # SQLite parses that once more, and releases of SQLAlchemy quote and unquote differently.
        path = parse.unquote(parse.unquote(path.removeprefix('file:')))
        if '?' in path or '#' in path:
            return 'its path holds a ? or #, which SQLite would take for parameters'
    if path in ('', ':memory:'):
        return 'it is a database in memory, which is empty for each process; name a file'
    return None


def _parameter_problem(
    parsed: 'sa_url.URL', driver: str, from_client: bool, also: Collection[str]
) -> _Problem:
    problems = (
        parameters.problem_of(driver, name, value, from_client)
        for name, value in parsed.query.items()
        if from_client or name not in also
    )
    return next(filter(None, problems), None)


def _server_problem(
    parsed: 'sa_url.URL', dialect: str, driver: str, from_client: bool
) -> _Problem:
    host = parsed.host or ''
    if '@' in host:
        # SQLAlchemy takes it, but it would be looked up as the name of a host.
        return 'an @ in its username or password has to be quoted as %40'
    if not _is_port(parsed.port):
        return 'its port is out of range'
    if not check.names_database(parsed):
        return check.NAMES_NONE
    if dialect == 'postgresql':
        is_socket = host.startswith(('/', '%2F', '%2f'))
        names = host.split(',')
    else:
        is_socket = False
        names = [host]
        if driver == 'pymysql' and not _is_latin1(parsed.password or ''):
            return 'PyMySQL cannot send the characters of its password'
    if from_client and (is_socket or not host):
        return f'a socket of the machine {_FOR_OPERATORS}; name a host'
    if not is_socket and not all(map(_is_host, names)):
        return f'{text.shown(host)} is no name of a host'
    return None


def _is_port(port: int | None) -> bool:
    return port is None or 0 < port < 2**16


def _is_host(name: str) -> bool:
    # Longer ones are none, and take IDNA's time.
    if len(name) > 253:
        return False
    try:
        name.encode('idna')
    except (UnicodeError, LookupError):
        return False
    return True


def _is_latin1(password: object) -> bool:
    try:
        str(password).encode('latin-1')
    except UnicodeEncodeError:
        return False
    return True


def _queue_problem(url: str, from_client: bool) -> _Problem:
    from oslo_config import cfg
    import oslo_messaging

    problem = check.transport_problem(url)
    if problem:
        return problem
    parsed = oslo_messaging.TransportURL.parse(cfg.ConfigOpts(), url)
    drivers = _queue_drivers()
    if parsed.transport not in drivers:
        return f'oslo.messaging has no driver {parsed.transport:.60}: it has {", ".join(drivers)}'
    if not all(_is_port(host.port) for host in parsed.hosts):
        return 'a port is out of range'
    options = _options(_GROUPS.get(parsed.transport, ''))
    for name, value in parsed.query.items():
        if name not in options:
            return f'{name!r:.60} is no option of the driver {parsed.transport}'
        if from_client and name not in _OF_CLIENTS:
            return f'the option {name} {_FOR_OPERATORS}'
        try:
            options[name].type(value)
        except ValueError:
            return f'the option {name} cannot have that value'
    return None


@functools.cache
def _queue_drivers() -> tuple[str, ...]:
    return tuple(sorted(metadata.entry_points(group='oslo.messaging.drivers').names))


@functools.cache
def _options(group: str) -> dict[str, 'cfg.Opt']:
    from oslo_messaging import opts

    return {opt.dest: opt for name, some in opts.list_opts() if name == group for opt in some}
