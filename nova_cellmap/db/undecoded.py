# SPDX-License-Identifier: Apache-2.0
"""Reading rows whose text is not in the encoding that its database says it is in.

A driver, or the server itself, refuses all rows of a statement for one such text. Where text is
had as it is stored, the row can be told from the others.
"""

from collections.abc import Iterator, Sequence
import contextlib
from typing import Any

import sqlalchemy as sa


def rows(connection: sa.Connection, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    """What a query without types finds; what is not in the encoding becomes surrogates."""
    with _text_undecoded(connection) as encoding:
        return [_decoded(row, encoding) for row in connection.execute(query).all()]


@contextlib.contextmanager
def _text_undecoded(connection: sa.Connection) -> Iterator[str]:
    """A block in which text comes as bytes, where the driver can do that.

    :returns: Python's name of the encoding that the text should be in
    """
    raw: Any = connection.connection.dbapi_connection
    match connection.dialect.driver:
        case 'pymysql':
            with _changed(raw, 'use_unicode', False):
                yield 'utf-8'
        case 'pysqlite':
            with _changed(raw, 'text_factory', bytes):
                yield 'utf-8'
        case 'psycopg2':
            with _bytes_from_psycopg2(raw) as encoding:
                yield encoding
        case _:
            yield 'utf-8'


def _decoded(row: Sequence[Any], encoding: str) -> tuple[Any, ...]:
    return tuple(
        value.decode(encoding, 'surrogateescape') if isinstance(value, bytes) else value
        for value in row
    )


@contextlib.contextmanager
def _bytes_from_psycopg2(raw: Any) -> Iterator[str]:
    from psycopg2 import extensions

    # The server leaves text as it is stored. The driver's own way is not for a transaction.
    _execute(raw, "SET client_encoding TO 'SQL_ASCII'")
    extensions.register_type(extensions.BYTES, raw)
    stored_as = raw.get_parameter_status('server_encoding')
    try:
        yield 'utf-8' if stored_as == 'SQL_ASCII' else extensions.encodings.get(stored_as, 'utf-8')
    finally:
        extensions.register_type(extensions.UNICODE, raw)
        # Where the block failed, the end of its transaction does the same.
        with contextlib.suppress(Exception):
            _execute(raw, "SET client_encoding TO 'UTF8'")


def _execute(raw: Any, statement: str) -> None:
    with raw.cursor() as cursor:
        cursor.execute(statement)


@contextlib.contextmanager
def _changed(raw: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(raw, name)
    setattr(raw, name, value)
    try:
        yield
    finally:
        setattr(raw, name, before)
