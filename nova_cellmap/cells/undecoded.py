# SPDX-License-Identifier: Apache-2.0
"""Reading rows whose text is not in the encoding that its database says it is in.

A driver, or the server itself, refuses all rows of a statement for one such text. Where text is
had as it is stored, the row can be told from the others.
"""

from collections.abc import Iterator, Sequence
import contextlib
from typing import Any

import sqlalchemy as sa


@contextlib.contextmanager
def text_undecoded(connection: sa.Connection) -> Iterator[str]:
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
            yield _have_bytes_from_psycopg2(raw)
        case _:
            yield 'utf-8'


def decoded(row: Sequence[Any], encoding: str) -> tuple[Any, ...]:
    """A row with its bytes as text; what is not in the encoding becomes surrogates."""
    return tuple(
        value.decode(encoding, 'surrogateescape') if isinstance(value, bytes) else value
        for value in row
    )


def _have_bytes_from_psycopg2(raw: Any) -> str:
    """Change the connection for good: it is to be closed afterwards."""
    from psycopg2 import extensions

    stored_as = raw.get_parameter_status('server_encoding')
    # The server leaves text as it is stored.
    raw.set_client_encoding('SQL_ASCII')
    extensions.register_type(extensions.BYTES, raw)
    if stored_as == 'SQL_ASCII':
        return 'utf-8'
    return str(extensions.encodings.get(stored_as, 'utf-8'))


@contextlib.contextmanager
def _changed(raw: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(raw, name)
    setattr(raw, name, value)
    try:
        yield
    finally:
        setattr(raw, name, before)
