# SPDX-License-Identifier: Apache-2.0
"""Check URLs, without connecting.

The libraries are imported when they are needed: hiding and filling do without them. Their
errors quote the URL with its password. So those end in the _problem functions, and InvalidURL
is raised outside of their handlers: it has no context for a traceback to show.
"""

from nova_cellmap.url import syntax
from nova_cellmap.url.masking import mask

_PACKAGES = {
    'MySQLdb': 'mysqlclient',
    'pymysql': 'PyMySQL',
    'mysql': 'mysql-connector-python',
    'psycopg2': 'psycopg2-binary',
    'cx_Oracle': 'cx-Oracle',
}
_QUOTING = (
    'a port has to be a number, an IPv6 address in brackets, and special characters in a '
    'username or password quoted, e.g. / as %2F'
)


class InvalidURL(ValueError):
    """A URL that SQLAlchemy or oslo.messaging could not use."""


def check_database(url: str) -> None:
    """Check that SQLAlchemy can use ``url``, without connecting.

    :raises InvalidURL: when it cannot be parsed, or its dialect or driver is not there
    """
    if syntax.is_none(url):
        return
    problem = _database_problem(url)
    if problem:
        raise InvalidURL(
            f'Not a usable database URL: {mask(url)}: {problem}. A URL looks like '
            'mysql+pymysql://user:password@db.example.org:3306/nova_cell1, or none:/// for no '
            'database.'
        )


def _database_problem(url: str) -> str | None:
    from sqlalchemy import engine
    from sqlalchemy import exc

    try:
        parsed = engine.make_url(url)
    except (exc.SQLAlchemyError, ValueError):
        return f'it cannot be parsed ({_QUOTING})'
    if '@' in (parsed.host or ''):
        # SQLAlchemy takes it, but it would be looked up as the name of a host.
        return 'an @ in its username or password has to be quoted as %40'
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


def check_transport(url: str) -> None:
    """Check that oslo.messaging can parse ``url``.

    :raises InvalidURL: when it cannot, or when there is no scheme
    """
    if syntax.is_none(url):
        return
    problem = _transport_problem(url)
    if problem:
        raise InvalidURL(
            f'Not a usable transport URL: {mask(url)}: {problem}. A URL looks like '
            'rabbit://user:password@mq.example.org:5672/vhost, or none:/// for no queue.'
        )


def _transport_problem(url: str) -> str | None:
    from oslo_config import cfg
    import oslo_messaging

    if not syntax.SCHEME.match(url):
        return 'it does not start with a scheme and ://'
    try:
        oslo_messaging.TransportURL.parse(cfg.ConfigOpts(), url)
    except (oslo_messaging.InvalidTransportURL, ValueError):
        return f'it cannot be parsed ({_QUOTING})'
    return None
