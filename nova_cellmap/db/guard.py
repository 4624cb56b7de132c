# SPDX-License-Identifier: Apache-2.0
"""What a database's server cannot have of those that connect to it.

A server can ask a driver for more than its answer: for a file of the client, for the password
in clear text. Who can store a cell's URL, or sits between a cell and us, is such a server.
"""

import importlib
import ssl
from typing import Any

import sqlalchemy as sa
from sqlalchemy import dialects
from sqlalchemy.engine import url as sa_url

_PLUGIN = 'nova_cellmap_guard'
# The first libpq that can be told how not to log in.
_LIBPQ_WITH_REQUIRE_AUTH = 160000


def guarded(url: sa_url.URL) -> sa_url.URL:
    """Return a URL whose engine is guarded, wherever it is made."""
    return url.update_query_pairs([('plugin', _PLUGIN)], append=True)


def arguments(url: sa_url.URL) -> dict[str, Any]:
    """Return the arguments of the driver that keep from the server what it cannot have."""
    match url.get_driver_name():
        case 'pymysql':
            plugins = dict.fromkeys(('mysql_clear_password', 'dialog'), _refuse_clear_text)
            return {'local_infile': False, 'auth_plugin_map': plugins}
        case 'mysqldb':
            # Its library sends no clear text unless it is told to.
            return {'local_infile': False}
        case 'psycopg2' | 'psycopg':
            return _postgresql(url)
    return {}


class EnginePlugin(sa.CreateEnginePlugin):
    """Guard an engine from its first connection on, which oslo.db makes by itself."""

    def __init__(self, url: sa_url.URL, kwargs: dict[str, Any]) -> None:
        self.url = url
        kwargs.setdefault('connect_args', {}).update(arguments(url))

    def update_url(self, url: sa_url.URL) -> sa_url.URL:
        return url


dialects.plugins.register(_PLUGIN, __name__, EnginePlugin.__name__)


def _refuse_clear_text(connection: Any) -> None:
    """Have PyMySQL send a password in clear text to none but a server that is known.

    It asks here for what logs in by such a method, and goes its own way where it gets nothing.
    """
    import pymysql

    is_local = connection.unix_socket is not None
    is_known = (
        getattr(connection, '_secure', False) and connection.ctx.verify_mode != ssl.CERT_NONE
    )
    if not (is_local or is_known):
        raise pymysql.err.OperationalError(
            pymysql.constants.CR.CR_AUTH_PLUGIN_ERR,
            'the server asks for the password in clear text, and its certificate is not checked: '
            'the URL needs ssl_ca',
        )


def _postgresql(url: sa_url.URL) -> dict[str, Any]:
    hosts = [url.host or '', *_as_list(url.query.get('host', ()))]
    is_local = all(host.startswith(('/', '@', '%2F', '%2f')) for host in hosts if host)
    is_known = url.query.get('sslmode') in ('verify-ca', 'verify-full')
    if is_local or is_known or 'require_auth' in url.query or not _has_require_auth(url):
        return {}
    return {'require_auth': '!password'}


def _has_require_auth(url: sa_url.URL) -> bool:
    # Neither has to be installed.
    if url.get_driver_name() == 'psycopg2':
        version = importlib.import_module('psycopg2.extensions').libpq_version()
    else:
        version = importlib.import_module('psycopg.pq').version()
    return bool(version >= _LIBPQ_WITH_REQUIRE_AUTH)


def _as_list(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
