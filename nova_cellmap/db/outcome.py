# SPDX-License-Identifier: Apache-2.0
"""Finding out whether a transaction was made whose commit was not answered.

A function that writes leaves *proofs*: each looks, in a transaction of a later time, for what
the function did, and can tell it from what others do. Where they look for rows that were there
before they lock them, and so wait until the transaction in question has come to its end.

What has no proof can be done a second time with no harm.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import datetime
import enum
from typing import Any

import sqlalchemy as sa


class Outcome(enum.Enum):
    MADE = 'made'
    # Nor will it be.
    NOT_MADE = 'not made'
    # It may be on its way. A second try either waits for its end or meets what it made.
    NOT_SEEN = 'not seen'
    # Others have been there since.
    UNKNOWN = 'unknown'


Proof = Callable[[sa.Connection], Outcome]

# How many keys one statement asks for.
_CHUNK = 1000


def combined(proofs: Collection[Proof], connection: sa.Connection) -> Outcome:
    """The outcome of the transaction that left these: it was made as a whole, or not at all."""
    found = {proof(connection) for proof in proofs}
    for decisive in (Outcome.MADE, Outcome.NOT_MADE, Outcome.UNKNOWN):
        if decisive in found:
            return decisive
    return Outcome.NOT_SEEN


def inserted(key: sa.Column[str], value: str, number: int) -> Proof:
    """Of one row: it has the ``id`` that the database gave it."""

    def look(connection: sa.Connection) -> Outcome:
        found = connection.execute(sa.select(key.table.c.id).where(key == value)).scalar()
        if found is None:
            return Outcome.NOT_SEEN
        return Outcome.MADE if found == number else Outcome.NOT_MADE

    return look


def inserted_all(key: sa.Column[str], rows: Sequence[Mapping[str, Any]]) -> Proof:
    """Of many, whose ``id`` is not known: all are there as they were inserted."""

    def look(connection: sa.Connection) -> Outcome:
        columns = [key.table.c[name] for name in rows[0]]
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            wanted = {row[key.key]: tuple(row[name] for name in rows[0]) for row in some}
            query = sa.select(*columns).where(key.in_(wanted))
            found = {row._mapping[key]: tuple(row) for row in connection.execute(query)}
            if found != wanted:
                return Outcome.NOT_SEEN
        return Outcome.MADE

    return look


def updated(
    key: sa.Column[str],
    value: str,
    values: Mapping[str, Any],
    expected: Mapping[str, Any] | None = None,
) -> Proof:
    """Of one row: it has these values, ``updated_at`` among them.

    :param expected: what it had before, of a compare-and-swap
    """

    def look(connection: sa.Connection) -> Outcome:
        query = key.table.select().where(key == value).with_for_update()
        row = connection.execute(query).mappings().first()
        if row is None:
            return Outcome.NOT_MADE
        if _has(row, values):
            return Outcome.MADE
        if expected is not None:
            return Outcome.NOT_MADE if _has(row, expected) else Outcome.UNKNOWN
        before: datetime.datetime | None = row['updated_at']
        is_older = before is None or before < values['updated_at']
        return Outcome.NOT_MADE if is_older else Outcome.UNKNOWN

    return look


def updated_all(
    key: sa.Column[str], keys: Collection[str], values: Mapping[str, Any], number: int
) -> Proof:
    """Of many: so many of them have these values, ``updated_at`` among them."""

    def look(connection: sa.Connection) -> Outcome:
        query = key.table.select().where(key.in_(keys)).with_for_update()
        rows = connection.execute(query).mappings().all()
        changed = sum(_has(row, values) for row in rows)
        if changed == number:
            return Outcome.MADE
        return Outcome.UNKNOWN if changed else Outcome.NOT_MADE

    return look


def come_to(place: sa.ColumnElement[bool]) -> Proof:
    """Of what has no other proof: where it has come to is noted."""

    def look(connection: sa.Connection) -> Outcome:
        is_there = connection.execute(sa.select(sa.literal(1)).where(sa.exists().where(place)))
        return Outcome.MADE if is_there.first() else Outcome.NOT_SEEN

    return look


def deleted(column: sa.Column[Any], keys: Collection[Any]) -> Proof:
    """None of these is there. Where they are of a column other than ``id``, others may have
    inserted them since."""

    def look(connection: sa.Connection) -> Outcome:
        query = sa.select(column).where(column.in_(keys)).limit(1).with_for_update()
        if connection.execute(query).first() is None:
            return Outcome.MADE
        return Outcome.NOT_MADE if column.key == 'id' else Outcome.UNKNOWN

    return look


def _has(row: Any, values: Mapping[str, Any]) -> bool:
    return all(row[name] == value for name, value in values.items())
