# SPDX-License-Identifier: Apache-2.0
"""Check URLs, without connecting.

The libraries are imported when they are needed: hiding and filling do without them. Their
errors quote the URL with its password. So those end in the _problem functions, and InvalidURL
is raised outside of their handlers: it has no context for a traceback to show.
"""

import importlib.util
from typing import TYPE_CHECKING

from nova_cellmap.url import syntax
from nova_cellmap.url.masking import mask

if TYPE_CHECKING:
    from sqlalchemy.engine import url as sa_url

_PACKAGES = {
    'MySQLdb': 'mysqlclient',
    'pymysql': 'PyMySQL',
    'mysql': 'mysql-connector-python',
    'psycopg2': 'psycopg2-binary',
    'cx_Oracle': 'cx-Oracle',
}
TOO_LONG = f'it is longer than {syntax.MAX_LENGTH} characters'
NAMES_NONE = 'it names no database'
QUOTING = (
    'a port has to be a number, an IPv6 address in brackets, and special characters in a '
    'username or password quoted, e.g. / as %2F'
)


_EXAMPLES = {
    'database': 'mysql+pymysql://user:password@db.example.org:3306/nova_cell1, or none:/// for no '
    'database',
    'transport': 'rabbit://user:password@mq.example.org:5672/vhost, or none:/// for no queue',
}


class InvalidURL(ValueError):
    """A URL that SQLAlchemy or oslo.messaging could not use."""


def check_database(url: str) -> None:
    """Check that SQLAlchemy can use ``url``, without connecting.

    :raises InvalidURL: when it cannot be parsed, or its dialect or driver is not there
    """
    if not syntax.is_none(url):
        refuse('database', url, _database_problem(url))


def parse_database(url: str) -> 'sa_url.URL':
    """Return ``url`` for SQLAlchemy, with a driver that is installed where it names none.

    :raises InvalidURL: as :func:`check_database`
    """
    from sqlalchemy import engine

    check_database(url)
    return _with_driver(engine.make_url(url))


def check_transport(url: str) -> None:
    """Check that oslo.messaging can parse ``url``.

    :raises InvalidURL: when it cannot, or when there is no scheme
    """
    if not syntax.is_none(url):
        refuse('transport', url, transport_problem(url))


def refuse(kind: str, url: str, problem: str | None) -> None:
    """Say what is wrong with a URL.

    :param kind: ``database`` or ``transport``
    :raises InvalidURL: where there is a problem
    """
    if problem:
        raise InvalidURL(
            f'Not a usable {kind} URL: {mask(url)}: {problem}. A URL looks like {_EXAMPLES[kind]}.'
        )


def _database_problem(url: str) -> str | None:
    from sqlalchemy import engine
    from sqlalchemy import exc

    if len(url) > syntax.MAX_LENGTH:
        return TOO_LONG
    try:
        parsed = _with_driver(engine.make_url(url))
    except (exc.SQLAlchemyError, ValueError):
        return f'it cannot be parsed ({QUOTING})'
    if '@' in (parsed.host or ''):
        # SQLAlchemy takes it, but it would be looked up as the name of a host.
        return 'an @ in its username or password has to be quoted as %40'
    if not names_database(parsed):
        return NAMES_NONE
    try:
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        module = (error.name or parsed.drivername).partition('.')[0]
        package = _PACKAGES.get(module, module)
        return (
            f'the driver of {parsed.drivername} is not installed (install the Python package '
            f'{package}, or name another driver)'
        )
    except (exc.NoSuchModuleError, AttributeError, ValueError):
        # The latter two come from odd names: 'mysql+types', 'mysql+a+b'.
        return f'SQLAlchemy knows no dialect or driver {parsed.drivername}'
    return None


def names_database(parsed: 'sa_url.URL') -> bool:
    """Whether it says which of a server's databases is meant.

    Else it would be none of MySQL's, and of PostgreSQL's the one that is named as the user is.
    """
    if parsed.get_backend_name() not in ('mysql', 'mariadb', 'postgresql'):
        return True
    return bool(parsed.database) or not _NAMING.isdisjoint(parsed.query)


# The parameters that may name one as well.
_NAMING = frozenset({'database', 'db', 'dbname', 'read_default_file', 'service'})


def _with_driver(parsed: 'sa_url.URL') -> 'sa_url.URL':
    """The URL; where it says postgresql alone, with the driver that is there.

    Which one that means depends on SQLAlchemy: psycopg2 up to 2.0, psycopg since 2.1.
    """
    if parsed.drivername != 'postgresql':
        return parsed
    installed = (name for name in _POSTGRESQL_DRIVERS if importlib.util.find_spec(name))
    return parsed.set(drivername=f'postgresql+{next(installed, _POSTGRESQL_DRIVERS[0])}')


_POSTGRESQL_DRIVERS = ('psycopg2', 'psycopg')


def transport_problem(url: str) -> str | None:
    """What oslo.messaging has against a URL."""
    from oslo_config import cfg
    import oslo_messaging

    if len(url) > syntax.MAX_LENGTH:
        return TOO_LONG
    if not syntax.SCHEME.match(url):
        return 'it does not start with a scheme and ://'
    try:
        oslo_messaging.TransportURL.parse(cfg.ConfigOpts(), url)
    except (oslo_messaging.InvalidTransportURL, ValueError):
        return f'it cannot be parsed ({QUOTING})'
    return None
