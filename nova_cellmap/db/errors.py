# SPDX-License-Identifier: Apache-2.0
"""What is meant by whatever comes out of a driver, SQLAlchemy or oslo.db.

This is the only translation of it, of the mapping database's errors as of those of cells and
of Nova's own database:

- :func:`watch` an engine, and :func:`connect` to it: what a driver raises that is no database
  error, such as an OSError or an AttributeError, becomes a :class:`DriverError` at the very call
  that raised it. So an ``except DRIVER`` around more than the call takes no mistake of a program
  for one of a server.
- :func:`kind_of` tells which of them call for the same, and :func:`reason` says in one line
  what was wrong.
- :func:`of_mapping`, :func:`of_cell` and :func:`of_nova` give the exception that callers catch.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import re
from typing import Any

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import event

from nova_cellmap import exception
from nova_cellmap.db import error_kinds
from nova_cellmap.db.error_kinds import Kind as Kind


class DriverError(db_exc.DBError):  # type: ignore[misc]
    """An error whose kind is known.

    :ivar kind: which; a copy is made without it, and then given it
    :ivar inner_exception: what SQLAlchemy or the driver raised
    :ivar hint: what it does not say itself
    """

    def __init__(self, error: Any, kind: Kind = Kind.REFUSED, hint: str = '') -> None:
        super().__init__(error)
        self.kind = kind
        self.hint = hint


def misread(why: str) -> DriverError:
    """What a row has that none of its columns can be."""
    return DriverError(ValueError(why), Kind.MISREAD)


class Lost(DriverError, db_exc.DBConnectionError):  # type: ignore[misc]
    """One that is a lost connection to oslo.db as well."""


class Locked(DriverError, db_exc.DBDeadlock):  # type: ignore[misc]
    """One that is a deadlock to oslo.db as well."""


# What comes out of calls of drivers; of SQLAlchemy's own errors not those of a program that
# uses it wrongly.
DRIVER = (
    db_exc.DBError,
    db_exc.DBInvalidUnicodeParameter,
    db_exc.RetryRequest,
    sa.exc.StatementError,
    sa.exc.DisconnectionError,
    sa.exc.PendingRollbackError,
    sa.exc.ResourceClosedError,
    sa.exc.TimeoutError,
)


def watch(engine: sa.Engine, *, is_ours: bool = False) -> None:
    """Have what a driver raises that is no database error be a :class:`DriverError`.

    :param is_ours: the others as well, but for duplicates and references, of which oslo.db
        tells the columns, and missing tables. oslo.db then has nothing to log at length.
    """

    @event.listens_for(engine, 'do_connect')
    def connect(dialect: Any, record: Any, args: list[Any], parameters: dict[str, Any]) -> Any:
        try:
            return dialect.connect(*args, **parameters)
        except (*DRIVER, dialect.loaded_dbapi.Error):
            raise
        except Exception as error:
            raise _unconnected(error, parameters) from error

    # Before oslo.db's.
    @event.listens_for(engine, 'handle_error', insert=True)
    def tell(context: sa.ExceptionContext) -> None:
        cause = context.original_exception
        is_told = isinstance(cause, (DriverError, exception.CellMapError))
        if context.is_pre_ping or is_told or not isinstance(cause, Exception):
            return
        error = context.sqlalchemy_exception or cause
        kind = kind_of(error)
        if context.is_disconnect and kind is Kind.REFUSED:
            kind = Kind.LOST
        if context.connection is None:
            kind = _while_connecting(kind)
        if isinstance(error, sa.exc.DBAPIError) and (not is_ours or kind in _OSLO_DBS):
            _raise_by_constraint(error, kind, cause)
            return
        is_of_protocol = kind is Kind.UNUSABLE and not isinstance(error, sa.exc.DBAPIError)
        if is_of_protocol or kind in LEAVING:
            # What may still come over it belongs to nobody. Of the others in the pool what was
            # read says nothing; but a server that takes no writes is not the one to have.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = not is_of_protocol
        raise as_driver_error(error, kind)


def _raise_by_constraint(error: Exception, kind: Kind, cause: Any) -> None:
    """Raise what oslo.db would, where the driver names the constraint.

    oslo.db reads the text, which PostgreSQL may have been told to say in another language.
    """
    constraint = getattr(getattr(cause, 'diag', None), 'constraint_name', None)
    if constraint and kind is Kind.DUPLICATE:
        # Named after the table and the columns: uniq_cell_mapping0name.
        columns = constraint.split('0')[1:]
        raise db_exc.DBDuplicateEntry(columns, error) from error
    if constraint and kind is Kind.REFERENCE:
        raise db_exc.DBReferenceError(None, constraint, None, None, error) from error


# SQLAlchemy itself wants those of missing tables: by them it finds out whether there is one.
_OSLO_DBS = (Kind.DUPLICATE, Kind.REFERENCE, Kind.SCHEMA)


# Of which a connection is not used again.
LEAVING = (Kind.LOST, Kind.READ_ONLY)


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection of an engine.

    :raises: one of ``DRIVER``, whatever goes wrong
    """
    with connecting():
        return engine.connect()


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """A block that makes an engine or a connection, and does nothing else.

    :raises: one of ``DRIVER``, whatever goes wrong
    """
    try:
        yield
    except exception.CellMapError:
        raise
    except Exception as error:
        raise unconnected(error) from error


def unconnected(error: Exception) -> Exception:
    """One of ``DRIVER`` for what came out of connecting."""
    if isinstance(error, DRIVER):
        return error
    if error_kinds.is_database_error(error):
        return as_driver_error(error, _while_connecting(kind_of(error)))
    return _unconnected(error, {})


def _while_connecting(kind: Kind) -> Kind:
    # It was not asked for anything yet.
    return Kind.UNUSABLE if kind in (Kind.REFUSED, Kind.DENIED, Kind.SCHEMA, Kind.VALUE) else kind


def of_driver(error: Exception, dialect: Any, statement: str) -> DriverError:
    """What a driver raised that was to send a statement, and SQLAlchemy knows nothing of."""
    kind = kind_of(error)
    is_lost = isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(
        error, None, None
    )
    kind = Kind.LOST if is_lost and kind is Kind.REFUSED else kind
    return as_driver_error(error, kind, error_kinds.right_of(error, statement))


def as_driver_error(error: BaseException, kind: Kind | None = None, hint: str = '') -> DriverError:
    """The same as a :class:`DriverError`."""
    if isinstance(error, DriverError):
        return error
    kind = kind or kind_of(error)
    return {Kind.LOST: Lost, Kind.LOCKED: Locked}.get(kind, DriverError)(error, kind, hint)


def _unconnected(error: Exception, parameters: dict[str, Any]) -> DriverError:
    passes = isinstance(error, (OSError, EOFError)) and not isinstance(error, _LASTING)
    if passes:
        return Lost(error, Kind.LOST)
    # Which of them it is a library seldom says.
    missing = sorted(_missing_files(parameters))
    if missing:
        return DriverError(error, Kind.UNUSABLE, f'there is no {", ".join(missing)}')
    names = [
        f'{name}={parameters[name]}' if name == 'charset' else name
        for name in sorted(parameters.keys() - _PLAIN)
    ]
    hint = f'its parameters: {", ".join(names)}' if names else ''
    return DriverError(error, Kind.UNUSABLE, hint)


_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_PLAIN = {
    *('host', 'port', 'user', 'password', 'passwd', 'database', 'dbname', 'db', 'client_flag'),
    # Of nova_cellmap.db.guard.
    *('auth_plugin_map', 'local_infile', 'require_auth'),
}


def _missing_files(parameters: dict[str, Any]) -> set[str]:
    missing: set[str] = set()
    for name, value in parameters.items():
        if isinstance(value, dict):
            missing |= _missing_files(value)
        elif name not in _PLAIN and _is_path(value) and not pathlib.Path(value).exists():
            missing.add(value)
    return missing


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(('/', './', '../'))


def kind_of(error: BaseException) -> Kind:
    """Which kind an error is that a driver, SQLAlchemy or oslo.db raised."""
    if isinstance(error, DriverError):
        return error.kind
    wrapped, cause = _unwrapped(error)
    for known, kind in _KINDS:
        if isinstance(error, known) or isinstance(wrapped, known):
            return kind
    if isinstance(wrapped, sa.exc.DBAPIError) or error_kinds.is_database_error(cause):
        kind = error_kinds.kind_of(cause)
        is_lost = isinstance(error, db_exc.DBConnectionError) or getattr(
            wrapped, 'connection_invalidated', False
        )
        return Kind.LOST if is_lost and kind is Kind.REFUSED else kind
    # SQLAlchemy's StatementError is of values that it did not bring to the driver.
    is_of_value = isinstance(wrapped, sa.exc.StatementError) or isinstance(cause, _OF_VALUES)
    return Kind.VALUE if is_of_value or _NUL in str(cause) else Kind.UNUSABLE


def is_of_primary_key(error: BaseException) -> bool:
    """Whether a duplicate is one of the primary key."""
    _, cause = _unwrapped(error)
    constraint = getattr(getattr(cause, 'diag', None), 'constraint_name', None)
    if constraint is not None:
        return str(constraint).endswith('_pkey')
    if hasattr(cause, 'sqlite_errorcode'):
        return cause.sqlite_errorcode in error_kinds.SQLITE_PRIMARY_KEY
    return str(cause).rstrip('\'")').endswith('PRIMARY')


# From the most to the least telling.
_KINDS: tuple[tuple[type[BaseException], Kind], ...] = (
    (db_exc.DBDuplicateEntry, Kind.DUPLICATE),
    (db_exc.DBReferenceError, Kind.REFERENCE),
    (db_exc.DBInvalidUnicodeParameter, Kind.VALUE),
    (db_exc.DBDeadlock, Kind.LOCKED),
    (db_exc.RetryRequest, Kind.LOCKED),
    (sa.exc.TimeoutError, Kind.CROWDED),
    (sa.exc.DisconnectionError, Kind.LOST),
    (sa.exc.PendingRollbackError, Kind.LOST),
)
# What drivers raise of a value that they cannot send.
_OF_VALUES = (UnicodeEncodeError, OverflowError)
_NUL = 'cannot contain NUL'


def _unwrapped(error: BaseException) -> tuple[BaseException, BaseException]:
    """The error without what oslo.db made of it, and that without what SQLAlchemy made of it."""
    while isinstance(error, db_exc.DBError) and error.inner_exception is not None:
        error = error.inner_exception
    return error, getattr(error, 'orig', None) or error


def reason(error: BaseException) -> str:
    """In one line what was wrong: no statement, no row and no password is in it."""
    wrapped, cause = _unwrapped(error)
    said = _said(cause, is_of_value=kind_of(error) in (Kind.VALUE, Kind.MISREAD))
    said = _LOGIN.sub('://***@', _UNPRINTABLE.sub(' ', said).strip())
    if len(said) > _LONGEST:
        said = f'{said[:_LONGEST]}...'
    hint = error.hint if isinstance(error, DriverError) else ''
    hint = hint or error_kinds.right_of(cause, getattr(wrapped, 'statement', None))
    return f'{said}; {hint}' if hint else said


_LOGIN = re.compile(r'://[^/@\s]{0,500}@')
_UNPRINTABLE = re.compile(r'[\x00-\x1f\x7f-\x9f]+')
_LONGEST = 400


def _said(cause: Any, is_of_value: bool) -> str:
    if error_kinds.is_database_error(cause):
        return _said_by_database(cause)
    if isinstance(cause, UnicodeEncodeError) and cause.encoding != 'idna':
        return f'a text has a character that {cause.encoding} lacks'
    if isinstance(cause, UnicodeDecodeError):
        return f'it sent text that is not {cause.encoding}'
    if is_of_value:
        return str(cause)
    if isinstance(cause, OSError) and cause.filename:
        return f'{cause.strerror}: {cause.filename}'
    said = str(cause)
    is_clear = said and isinstance(cause, _SPEAKING)
    return said if is_clear else f'{type(cause).__name__}: {said}'


# Whose text is a sentence.
_SPEAKING = (OSError, OverflowError, sa.exc.SQLAlchemyError)


def _said_by_database(cause: Any) -> str:
    # PostgreSQL's DETAIL has rows.
    primary = getattr(getattr(cause, 'diag', None), 'message_primary', None)
    if primary:
        return str(primary)
    if len(cause.args) > 1 and isinstance(cause.args[0], int):
        number, text = cause.args[0], str(cause.args[1])
        if number in _QUOTING:
            text = _QUOTED.sub('...', text)
        return f'{text} (error {number})'
    lines = [line.strip() for line in str(cause).splitlines()]
    shown = [line for line in lines if line and not line.startswith(_ROWS)]
    return '; '.join(shown) or type(cause).__name__


# MySQL quotes from the statement, and values, in whichever language.
_QUOTING = (1064, 1149, 1265, 1292, 1366, 1411, 1525)
_QUOTED = re.compile(r"'.*'", re.DOTALL)
_ROWS = ('DETAIL', 'CONTEXT', 'HINT', 'LINE', 'STATEMENT', '^')


class Said(Exception):
    """What a driver raised, in the words of :func:`reason`."""


def without_rows(error: BaseException) -> Said:
    """What to name as the cause of an error of ours.

    The text of the error itself may have rows, with passwords in them, and statements: a
    logged traceback would show those.
    """
    _, cause = _unwrapped(error)
    said = Said(f'{type(cause).__name__}: {reason(error)}')
    return said.with_traceback(error.__traceback__)


def of_mapping(error: BaseException, database: str = '') -> exception.CellMapError:
    """What callers may know of an error of the mapping database.

    :param database: where that is, with its password masked
    """
    kind, why = kind_of(error), reason(error)
    match kind:
        case Kind.LOST | Kind.UNUSABLE | Kind.READ_ONLY:
            return exception.DatabaseUnreachable(reason=why)
        case Kind.LOCKED:
            return exception.DatabaseBusy()
        case Kind.CROWDED | Kind.SLOW:
            text = f'The mapping database did not get to it ({why}). Try again.'
            return exception.DatabaseBusy(text, reason=why)
        case Kind.DENIED:
            return exception.DatabaseRightMissing(reason=why)
        case Kind.FULL:
            return exception.DatabaseFull(reason=why)
        case Kind.SCHEMA:
            return exception.SchemaMissing(database=database)
        case Kind.VALUE:
            return exception.InvalidInput(reason=why)
        case Kind.MISREAD:
            return exception.DatabaseError(
                f'The mapping database has a row that cannot be read: {why}. Correct it by hand: '
                'nova-cellmap-manage cell_v2 audit names those whose text is in no encoding.',
                reason=why,
            )
    return exception.DatabaseError(reason=why)


def of_cell(error: BaseException, cell: str) -> exception.CellError:
    """What callers may know of an error of a cell's database.

    :param cell: its identity
    """
    is_other = kind_of(error) is Kind.SCHEMA
    made = exception.NotACellDatabase if is_other else exception.CellUnreachable
    return made(cell=cell, reason=reason(error))


def of_nova(error: BaseException) -> exception.NovaDatabaseError:
    """What callers may know of an error of Nova's API database."""
    is_other = kind_of(error) is Kind.SCHEMA
    made = exception.NotANovaDatabase if is_other else exception.NovaDatabaseUnreachable
    return made(reason=reason(error))
