# SPDX-License-Identifier: Apache-2.0
"""What a connection says itself, instead of relying on its server's or database's defaults.

A server may have been set up with any character set, ``sql_mode``, time zone and isolation, and
a statement may mean something else there, or lose text. So each new connection says what our
statements were written for, before anything else is sent over it.

Behind PgBouncer in transaction mode what a session says holds for a server's connection, not for
the client's. Of what is said here, PgBouncer carries along the client's encoding, time zone and
date style itself; the isolation is said with each transaction; the rest are limits.
"""

import math
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import url as sa_url

# Under this a connection knows how many bytes its server takes in one statement.
_LONGEST_STATEMENT = 'nova_cellmap_longest_statement'
# What every server takes that nobody has told anything else.
_USUAL_LONGEST_STATEMENT = 1 << 20
# The server itself ends what takes too long, before its client gives up: so nothing goes on
# there that nobody waits for, and the client knows that it was not done.
_SERVERS_SHARE: Final = 0.9
# A lock that somebody else holds is no reason to doubt the server.
_LOCKS_SHARE: Final = 0.6
# Those that URLs of deployments have.
_CHARSETS: Final = {'utf8', 'utf8mb3', 'utf8mb4', 'latin1', 'ascii', 'cp1252', 'binary'}


def with_limits(plain: sa_url.URL, connect_timeout: int, read_timeout: int) -> sa_url.URL:
    """The URL with what its driver has to know; what it says itself has precedence.

    :param connect_timeout: for how many seconds a host is waited for while connecting
    :param read_timeout: for how many seconds the host may keep silent later; MySQL and MariaDB
        also while connecting
    """
    parameters: dict[str, str] = {}
    backend, driver = plain.get_backend_name(), plain.get_driver_name()
    if backend in ('mysql', 'mariadb', 'postgresql'):
        parameters['connect_timeout'] = str(connect_timeout)
    if driver in ('pymysql', 'mysqldb'):
        parameters['read_timeout'] = parameters['write_timeout'] = str(read_timeout)
    elif driver in ('psycopg', 'psycopg2'):
        # A host that is gone. One that is there and says nothing is waited for no longer either.
        parameters['tcp_user_timeout'] = str(1000 * read_timeout)
        parameters['keepalives_idle'] = str(max(1, read_timeout // 2))
        parameters['keepalives_interval'] = str(max(1, read_timeout // 8))
    missing = {name: text for name, text in parameters.items() if name not in plain.query}
    if backend in ('mysql', 'mariadb') and _is_known(plain.query.get('charset')):
        # In any other, text is lost: oslo.db's default, utf8, has no place for a third of Unicode.
        missing['charset'] = 'utf8mb4'
    return plain.update_query_dict(missing)


def with_read_timeout(plain: sa_url.URL, read_timeout: float) -> sa_url.URL:
    """The URL with another time-out, where its driver takes one."""
    said = plain.query.keys() & {'read_timeout', 'write_timeout'}
    return plain.update_query_dict(dict.fromkeys(said, str(math.ceil(read_timeout))))


def read_timeout_of(url: sa_url.URL, default: float) -> float:
    """For how many seconds its server is waited for: what the URL says itself has precedence."""
    try:
        return float(str(url.query['read_timeout'])) or default
    except (KeyError, ValueError):
        return default


def _is_known(charset: str | tuple[str, ...] | None) -> bool:
    """Whether it is one at all: what is none is for the driver to refuse."""
    return charset is None or str(charset).lower() in _CHARSETS


def settle(engine: sa.Engine, read_timeout: float) -> None:
    """Have each new connection of an engine say what it relies on.

    :param read_timeout: after how many seconds a server should give a statement up, where the
        URL does not say ``read_timeout`` itself
    """
    read_timeout = read_timeout_of(engine.url, read_timeout)
    if engine.dialect.name in ('mysql', 'mariadb'):
        # Before SQLAlchemy and oslo.db look at a server for the first time: the one would quote
        # as the server's own sql_mode has it, and the other warn of that.
        for when in ('first_connect', 'connect'):
            event.listen(engine, when, _mysql(read_timeout), insert=True)
    elif engine.dialect.name == 'postgresql':
        event.listen(engine, 'connect', _postgresql(read_timeout), insert=True)


def settle_transactions(engine: sa.Engine, limit: float) -> None:
    """Have each transaction say its limits as well: behind PgBouncer a session's do not last."""
    if engine.dialect.name != 'postgresql':
        return
    milliseconds = int(limit * 1000)

    @event.listens_for(engine, 'begin')
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f'SET LOCAL statement_timeout = {milliseconds}')
        connection.exec_driver_sql(f'SET LOCAL lock_timeout = {milliseconds}')


def longest_statement(connection: sa.Connection) -> int:
    """How many bytes the server takes in one statement."""
    longest: int = connection.info.get(_LONGEST_STATEMENT, _USUAL_LONGEST_STATEMENT)
    return longest


def _mysql(read_timeout: float) -> Any:
    def settle(connection: Any, record: Any) -> None:
        if _LONGEST_STATEMENT in record.info:
            return
        cursor = connection.cursor()
        try:
            cursor.execute('SELECT VERSION(), @@max_allowed_packet, @@log_bin, @@binlog_format')
            version, longest, has_log, log_format = cursor.fetchone()
            is_mariadb = 'mariadb' in version.lower()
            is_by_statement = bool(has_log) and log_format == 'STATEMENT'
            record.info[_LONGEST_STATEMENT] = int(longest)
            cursor.execute(_mysql_settings(is_mariadb, is_by_statement, read_timeout))
        finally:
            cursor.close()

    return settle


def _mysql_settings(is_mariadb: bool, is_by_statement: bool, read_timeout: float) -> str:
    # As PostgreSQL has it: what is read is what was committed. A binary log that is kept by
    # statement allows no writing then.
    isolation = 'REPEATABLE-READ' if is_by_statement else 'READ-COMMITTED'
    locks = max(1, int(_LOCKS_SHARE * read_timeout))
    settings = {
        'sql_mode': "'TRADITIONAL'",
        'time_zone': "'+00:00'",
        # After a commit nothing else begins, and the connection stays.
        'completion_type': "'NO_CHAIN'",
        # What is more would fail, or be cut off.
        'sql_safe_updates': '0',
        'sql_select_limit': str((1 << 64) - 1),
        'sql_big_selects': '1',
        'sql_auto_is_null': '0',
        'foreign_key_checks': '1',
        'unique_checks': '1',
        # SQLAlchemy and oslo.db read the messages.
        'lc_messages': "'en_US'",
        'innodb_lock_wait_timeout': str(locks),
        'lock_wait_timeout': str(locks),
    }
    if is_mariadb:
        settings['tx_isolation'] = f"'{isolation}'"
        settings['max_statement_time'] = f'{_SERVERS_SHARE * read_timeout:.1f}'
    else:
        settings['transaction_isolation'] = f"'{isolation}'"
        # Of queries only.
        settings['max_execution_time'] = str(int(_SERVERS_SHARE * read_timeout * 1000))
    assignments = [f'SESSION {name} = {value}' for name, value in settings.items()]
    # A collation that each of these servers has. A column's own comes first.
    said = ', '.join(['SET NAMES utf8mb4 COLLATE utf8mb4_bin', *assignments])
    # A comment to all others. A server may be told to refuse each ALTER that copies.
    return f"{said} /*M!100307 , SESSION alter_algorithm = 'DEFAULT' */"


def _postgresql(read_timeout: float) -> Any:
    # Not standard_conforming_strings: psycopg2 asks once, while connecting, how to quote.
    settings = {
        'timezone': 'UTC',
        'datestyle': 'ISO, YMD',
        'default_transaction_isolation': 'read committed',
        'default_transaction_deferrable': 'off',
        'statement_timeout': f'{int(_SERVERS_SHARE * read_timeout * 1000)}ms',
        'lock_timeout': f'{int(_LOCKS_SHARE * read_timeout * 1000)}ms',
    }
    calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
    query = f'SELECT {", ".join(calls)}'

    def settle(connection: Any, record: Any) -> None:
        # In a transaction it would last until that is rolled back.
        before, connection.autocommit = connection.autocommit, True
        cursor = connection.cursor()
        try:
            # The driver has to know of it: it encodes.
            connection.set_client_encoding('UTF8')
            cursor.execute(query)
        finally:
            cursor.close()
            connection.autocommit = before

    return settle
