# SPDX-License-Identifier: Apache-2.0
"""Which of the errors of databases call for the same, by the codes that each driver gives."""

import enum
import re
from typing import Any


class Kind(enum.Enum):
    """What there is to be done about an error."""

    # Nobody answers, or nobody any more: with another connection it may go well.
    LOST = 'lost'
    # Nobody can be connected to in this way, or what answers is no such database: it stays so.
    UNUSABLE = 'unusable'
    # Others have locked it: what was begun is gone, and may go well when begun again.
    LOCKED = 'locked'
    # No connection is left, here or there.
    CROWDED = 'crowded'
    # The server ended a statement that took too long: it would take as long again.
    SLOW = 'slow'
    # The server takes no writes at present: another one may.
    READ_ONLY = 'read only'
    # The user lacks a right.
    DENIED = 'denied'
    # There is no space.
    FULL = 'full'
    # A table or a column is missing.
    SCHEMA = 'schema'
    # A column or a driver does not take a value.
    VALUE = 'value'
    # A row has a value that none of its column can be.
    MISREAD = 'misread'
    DUPLICATE = 'duplicate'
    REFERENCE = 'reference'
    # Anything else.
    REFUSED = 'refused'


def kind_of(error: BaseException) -> Kind:
    """The kind of a database error, as a driver raised it."""
    kind = _by_code(error) or _by_text(str(error))
    if kind is not None:
        return kind
    if is_named(error, 'DataError'):
        return Kind.VALUE
    # Without a code it does not come from a server.
    is_of_client = _code(error) is None and is_named(error, 'OperationalError', 'InterfaceError')
    return Kind.LOST if is_of_client else Kind.REFUSED


def is_database_error(error: BaseException) -> bool:
    """Whether it is one in the terms of PEP 249."""
    return is_named(error, 'DatabaseError', 'InterfaceError')


def is_named(error: BaseException, *names: str) -> bool:
    """Whether it is of a class of PEP 249, of whichever driver."""
    return any(each.__name__ in names for each in type(error).__mro__)


def right_of(error: BaseException, statement: str | None) -> str:
    """Which right a statement takes that was denied; '' where the error says it, or is another."""
    if kind_of(error) is not Kind.DENIED:
        return ''
    if hasattr(error, 'sqlite_errorcode'):
        return 'neither the file nor its folder may be read only'
    if not isinstance(_code(error), str) or not statement:
        return ''
    verb = statement.split(maxsplit=1)[0].upper()
    if verb == 'SELECT' and 'FOR UPDATE' in statement:
        verb = 'UPDATE'
    takes = _POSTGRESQL_RIGHTS.get(verb)
    return f'this takes {takes}' if takes else ''


# A row is found before it is changed, and its id is read.
_POSTGRESQL_RIGHTS = {
    'SELECT': 'SELECT',
    'INSERT': 'INSERT and SELECT, and USAGE of the sequence of the ids',
    'UPDATE': 'UPDATE and SELECT',
    'DELETE': 'DELETE and SELECT',
}


def _code(error: Any) -> int | str | None:
    """SQLite's or MySQL's number, or the SQLSTATE that PostgreSQL gave."""
    number: int | None = getattr(error, 'sqlite_errorcode', None)
    if number is not None:
        return number
    if error.args and isinstance(error.args[0], int):
        return int(error.args[0])
    state: str | None = getattr(error, 'pgcode', None) or getattr(error, 'sqlstate', None)
    return state


def _by_code(error: BaseException) -> Kind | None:
    code = _code(error)
    if code is None:
        return None
    if isinstance(code, str):
        return _POSTGRESQL.get(code) or _POSTGRESQL.get(code[:2])
    if hasattr(error, 'sqlite_errorcode'):
        return _SQLITE.get(code) or _SQLITE.get(code & 0xFF)
    if code in _MYSQL_STORAGE and _NO_SPACE.search(str(error)):
        return Kind.FULL
    # From 2000 on they are the client's own.
    return _MYSQL.get(code) or (Kind.LOST if 2000 <= code < 2100 else None)


def _by_text(text: str) -> Kind | None:
    for pattern, kind in _TEXTS:
        if pattern.search(text):
            return kind
    return None


def _all(kind: Kind, *codes: int | str) -> dict[Any, Kind]:
    return dict.fromkeys(codes, kind)


# https://mariadb.com/kb/en/mariadb-error-code-reference/ and MySQL's.
_MYSQL: dict[int, Kind] = {
    # The first is PyMySQL's of a connection that it has closed; 1047 is Galera's of a node
    # without its cluster, 1180 of a commit that it could not finish; 1053 and 1927 of a server
    # or a session that is being ended; 1152 to 1161 of the network.
    **_all(Kind.LOST, 0, 1047, 1053, 1079, 1180, 1184, 1927, 3169, 4031, *range(1152, 1162)),
    # Logins, databases, character sets and plugins that there are not.
    **_all(
        Kind.UNUSABLE, 1044, 1045, 1046, 1049, 1115, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862
    ),
    **_all(Kind.UNUSABLE, 2019, 2026, 2054, 2059, 2061, 4151),
    **_all(Kind.LOCKED, 1020, 1205, 1213, 1412, 1614, 3572),
    **_all(Kind.CROWDED, 1040, 1203, 1226),
    **_all(Kind.SLOW, 1317, 1969, 3024),
    **_all(Kind.READ_ONLY, 1223, 1290, 1792, 1836, 3989),
    **_all(Kind.DENIED, 1142, 1143, 1227, 1370),
    **_all(Kind.FULL, 1021, 1114),
    **_all(Kind.SCHEMA, 1054, 1109, 1146),
    **_all(Kind.DUPLICATE, 1062, 1586),
    **_all(Kind.REFERENCE, 1216, 1217, 1451, 1452),
    # Not all of these are DataErrors to PyMySQL. 1267 is of a text beyond the column's characters.
    **_all(Kind.VALUE, 1264, 1265, 1267, 1292, 1366, 1406, 1411, 1525, 3140, 3988, 4078),
}
# Of files: what went wrong is in the text.
_MYSQL_STORAGE = (3, 1005, 1023, 1026, 1030, 1180, 1878, 1969, 2013)
_NO_SPACE = re.compile(r'\b(error|errno)[: ]+28\b|no space left', re.IGNORECASE)

# https://www.postgresql.org/docs/current/errcodes-appendix.html; two characters are a class.
_POSTGRESQL: dict[str, Kind] = {
    **_all(Kind.LOST, '08', '25P03', '25P04', '40003', '57P01', '57P02', '57P03', '57P05'),
    **_all(Kind.UNUSABLE, '28', '3D', '57P04'),
    **_all(Kind.LOCKED, '40', '55P03', '55006'),
    **_all(Kind.CROWDED, '53300'),
    **_all(Kind.SLOW, '57014'),
    **_all(Kind.READ_ONLY, '25006'),
    **_all(Kind.DENIED, '42501'),
    **_all(Kind.FULL, '53100'),
    **_all(Kind.SCHEMA, '42P01', '42703', '3F000'),
    **_all(Kind.VALUE, '22'),
    **_all(Kind.DUPLICATE, '23505'),
    **_all(Kind.REFERENCE, '23503'),
}

# https://www.sqlite.org/rescode.html
SQLITE_PRIMARY_KEY = (1555, 2579)
_SQLITE: dict[int, Kind] = {
    **_all(Kind.UNUSABLE, 11, 14, 26),
    **_all(Kind.LOCKED, 5, 6),
    **_all(Kind.DENIED, 3, 8, 23),
    **_all(Kind.FULL, 13),
    **_all(Kind.VALUE, 18, 20, 25),
    **_all(Kind.DUPLICATE, 2067, *SQLITE_PRIMARY_KEY),
    **_all(Kind.REFERENCE, 787),
}

# Of what has no code that tells: what libpq says while it connects, and SQLite of statements.
_TEXTS: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r'no such (table|column)|has no column|unknown column', Kind.SCHEMA),
        (r'too many (clients|connections)|connection slots are reserved', Kind.CROWDED),
        (r'no more connections allowed|query_wait_timeout', Kind.CROWDED),
        (r'could not decode to', Kind.MISREAD),
        (r'error binding parameter|type \S{1,80} is not supported|can.t adapt type', Kind.VALUE),
        (r'permission denied for (database|schema)', Kind.UNUSABLE),
        (r'there is no file|(database|role|user|file) "[^"]*" does not exist', Kind.UNUSABLE),
        (r'authentication failed|no pg_hba.conf entry|no password supplied', Kind.UNUSABLE),
        (r'invalid (dsn|connection option|integer value|port)|no such database', Kind.UNUSABLE),
        (r'invalid value for parameter|unrecognized conf|definition of service', Kind.UNUSABLE),
        (r'certificate|does not support SSL|sslmode|channel binding', Kind.UNUSABLE),
    )
)
