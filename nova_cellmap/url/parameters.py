# SPDX-License-Identifier: Apache-2.0
"""What the URL of a cell's database may ask of its driver.

A driver takes much more: files to read, plugins to load, files to send to the server. Who writes
a cell's URL chooses for every process that connects to the cell, and so only what is listed here
is let through.
"""

import re
from typing import NamedTuple


class _Kind(NamedTuple):
    """The values of a parameter."""

    pattern: re.Pattern[str]
    # What they are, for people.
    name: str
    # Whether a client of the conductor may set one, and not the operator alone.
    is_for_clients: bool = True


_NUMBER_PATTERN = re.compile('[0-9]{1,9}')
_SECONDS_PATTERN = re.compile('[1-9][0-9]{0,6}')
_FLAG_PATTERN = re.compile('true|false|yes|no|on|off|0|1', re.I)
_ON_PATTERN = re.compile('true|yes|on|1', re.I)
_OFF_PATTERN = re.compile('false|no|off|0', re.I)
_WORD_PATTERN = re.compile('[A-Za-z0-9_.:-]{1,255}')
_WORDS_PATTERN = re.compile('[A-Za-z0-9_.:!+@= ,-]{1,1024}')
_TEXT_PATTERN = re.compile('.{1,1024}')
# Those of which the connection makes utf8mb4.
_CHARSET_PATTERN = re.compile('utf-?8|utf8mb[34]|latin1|ascii|cp1252|binary', re.I)
_UTF8_PATTERN = re.compile('utf-?8', re.I)
_HOST_PATTERN = re.compile(r'[A-Za-z0-9_.:%/@,\[\]-]{1,1024}')
_MODE_PATTERN = re.compile('ro|rw')
_CACHE_PATTERN = re.compile('shared|private')

# Settings of the session that say how it reads, or how long it may take, and nothing else.
_SETTING = (
    '(?:wsrep_sync_wait|time_zone|sql_mode|lock_wait_timeout|innodb_lock_wait_timeout|wait_timeout'
    '|net_read_timeout|net_write_timeout|max_statement_time|max_execution_time'
    '|transaction_isolation|tx_isolation)'
)
_VALUE = r"(?:[A-Za-z0-9_.+:-]{1,64}|'[A-Za-z0-9_.+:/, -]{0,255}')"
_ASSIGNMENT = rf'(?:@@session\.|session +|local +)?{_SETTING} *= *{_VALUE}'
_INIT_PATTERN = re.compile(rf'set +{_ASSIGNMENT}(?: *, *{_ASSIGNMENT}){{0,16}} *;?', re.I)
# The same of PostgreSQL. Others choose whose tables and functions are found (search_path), load
# libraries, or change what a statement means.
_PG_SETTING = (
    '(?:statement_timeout|lock_timeout|transaction_timeout|idle_session_timeout'
    '|idle_in_transaction_session_timeout|client_connection_check_interval|tcp_user_timeout'
    '|tcp_keepalives_idle|tcp_keepalives_interval|tcp_keepalives_count|application_name|timezone'
    '|default_transaction_isolation|work_mem|jit|geqo|plan_cache_mode)'
)
_PG_OPTION = rf'-c *{_PG_SETTING}=[A-Za-z0-9_.:,/+-]{{1,255}}'
_OPTIONS_PATTERN = re.compile(rf'{_PG_OPTION}(?: +{_PG_OPTION}){{0,16}}', re.I)

_NUMBER = _Kind(_NUMBER_PATTERN, 'a whole number')
_SECONDS = _Kind(_SECONDS_PATTERN, 'a number of seconds from 1 to 9999999')
_FLAG = _Kind(_FLAG_PATTERN, 'true or false')
# PyMySQL takes any text for true.
_ON = _Kind(_ON_PATTERN, 'true, or not be there')
_OFF = _Kind(_OFF_PATTERN, 'false')
_WORD = _Kind(_WORD_PATTERN, 'one word')
_WORDS = _Kind(_WORDS_PATTERN, 'words')
_CHARSET = _Kind(_CHARSET_PATTERN, 'utf8mb4')
_UTF8 = _Kind(_UTF8_PATTERN, 'utf8')
_HOST = _Kind(_HOST_PATTERN, 'the name or address of a host', is_for_clients=False)
_FILE = _Kind(_TEXT_PATTERN, 'the path of a file', is_for_clients=False)
_SECRET = _Kind(_TEXT_PATTERN, 'text', is_for_clients=False)
_AUTH = _Kind(_WORDS_PATTERN, 'words', is_for_clients=False)
_INIT = _Kind(
    _INIT_PATTERN, 'SET SESSION of wsrep_sync_wait, time_zone, sql_mode or a time-out', False
)
_OPTIONS = _Kind(
    _OPTIONS_PATTERN,
    'settings of time-outs and the like, such as -c statement_timeout=5000',
    False,
)

_MYSQL = {
    'charset': _CHARSET,
    'use_unicode': _FLAG,
    'connect_timeout': _SECONDS,
    'read_timeout': _SECONDS,
    'write_timeout': _SECONDS,
    'max_allowed_packet': _NUMBER,
    'sql_mode': _WORDS,
    'init_command': _INIT,
    'unix_socket': _FILE,
    'local_infile': _OFF,
    'ssl_ca': _FILE,
    'ssl_capath': _FILE,
    'ssl_cert': _FILE,
    'ssl_key': _FILE,
    'ssl_cipher': _WORDS,
    'ssl_check_hostname': _FLAG,
}
_PYMYSQL = {
    'collation': _WORD,
    'program_name': _WORD,
    'bind_address': _WORD,
    'ssl_disabled': _ON,
    'ssl_key_password': _SECRET,
    'ssl_verify_cert': _FLAG,
    'ssl_verify_identity': _FLAG,
}
_MYSQLDB = {'compress': _FLAG, 'ssl_mode': _WORD}
_POSTGRESQL = {
    'host': _HOST,
    'hostaddr': _HOST,
    'port': _WORDS,
    'target_session_attrs': _WORD,
    'load_balance_hosts': _WORD,
    'connect_timeout': _NUMBER,
    'tcp_user_timeout': _NUMBER,
    'keepalives': _NUMBER,
    'keepalives_idle': _NUMBER,
    'keepalives_interval': _NUMBER,
    'keepalives_count': _NUMBER,
    'client_encoding': _UTF8,
    'application_name': _WORDS,
    'fallback_application_name': _WORDS,
    'options': _OPTIONS,
    'sslmode': _WORD,
    'sslnegotiation': _WORD,
    'sslcompression': _NUMBER,
    'sslsni': _NUMBER,
    'ssl_min_protocol_version': _WORD,
    'ssl_max_protocol_version': _WORD,
    'sslrootcert': _FILE,
    'sslcert': _FILE,
    'sslkey': _FILE,
    'sslcrl': _FILE,
    'sslcrldir': _FILE,
    'sslpassword': _SECRET,
    'gssencmode': _WORD,
    'channel_binding': _WORD,
    'require_auth': _AUTH,
}
_SQLITE = {
    'uri': _FLAG,
    'mode': _Kind(_MODE_PATTERN, 'ro or rw'),
    'cache': _Kind(_CACHE_PATTERN, 'shared or private'),
    'immutable': _FLAG,
    'nolock': _FLAG,
    'timeout': _NUMBER,
}
# By the driver's name as SQLAlchemy has it.
_LISTED = {
    'pymysql': _MYSQL | _PYMYSQL,
    'mysqldb': _MYSQL | _MYSQLDB,
    'psycopg2': _POSTGRESQL,
    'psycopg': _POSTGRESQL,
    'pysqlite': _SQLITE,
}
# What may be there more than once.
_LISTS = frozenset({'host', 'hostaddr', 'port'})

# The drivers that a cell's database may have, by their dialect; the first is that of a URL which
# names none.
DRIVERS = {
    'mysql': ('mysqldb', 'pymysql'),
    'mariadb': ('mysqldb', 'pymysql'),
    'postgresql': ('psycopg2', 'psycopg'),
    'sqlite': ('pysqlite',),
}
DRIVER_NAMES = tuple(
    f'{dialect}+{driver}' for dialect, drivers in DRIVERS.items() for driver in drivers
)


def problem_of(
    driver: str, name: str, value: str | tuple[str, ...], from_client: bool
) -> str | None:
    """Return what is wrong with a parameter for one of the drivers."""
    kind = _LISTED[driver].get(name)
    if kind is None:
        return (
            f'the parameter {name!r:.60} is not among those that a cell may have with {driver} '
            f'({", ".join(sorted(_LISTED[driver]))})'
        )
    if from_client and not kind.is_for_clients:
        return f'the parameter {name} is for the operator to set, with nova-cellmap-manage'
    if isinstance(value, tuple) and name not in _LISTS:
        return f'the parameter {name} is there twice'
    values = (value,) if isinstance(value, str) else value
    if not all(map(kind.pattern.fullmatch, values)):
        return f'the parameter {name} has to be {kind.name}'
    return None
