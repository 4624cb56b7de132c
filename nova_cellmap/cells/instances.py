# SPDX-License-Identifier: Apache-2.0
"""What a cell knows of its instances."""

from collections.abc import Callable, Collection, Iterator, Sequence
import itertools
import re
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.cells.database import Reader
from nova_cellmap.cells.nova_table import InstancesTable
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping

# The columns that mapping needs.
_NEEDED = ('id', 'uuid', 'project_id', 'user_id', 'deleted', 'vm_state')
_MAPPED = (*_NEEDED, 'hidden')
# And what says that Nova is at work on an instance, or was until now.
_LOOKED_AT = (*_MAPPED, 'task_state', 'updated_at', 'created_at')
# What a person wants to see of an instance, as far as the release has it.
_SHOWN = (
    'uuid',
    'display_name',
    'vm_state',
    'task_state',
    'host',
    'node',
    'availability_zone',
    'created_at',
    'launched_at',
    'deleted_at',
)
# How many values a statement is given at a time.
_CHUNK = 2000
# What can be wrong with one instance in one cell is told of so many rows.
_MOST_OF_ONE = 10


class Page(NamedTuple):
    """The next rows by ``id``: up to which, and how many, were read."""

    last_id: int
    rows: int
    instances: list[Instance]
    invalid: list[InvalidRow]


class Said(NamedTuple):
    """What the mapping should say of the next rows by ``uuid``.

    There are none at the end. ``suspects`` are instances whose rows have to be looked at one by
    one.
    """

    facts: list[db_api.Fact]
    suspects: list[str]


class OddSpellings(NamedTuple):
    """How a cell spells uuids otherwise than the mapping does, if there ``are_any``.

    ``strange`` are those that are not spelled in one of the usual other ways, by what they are.
    """

    are_any: bool
    strange: dict[str, list[str]]

    def note(self, spelled: Any) -> None:
        uuid = uuids.canonical(spelled)
        if uuid is not None and spelled not in uuids.spellings(uuid):
            self.strange.setdefault(uuid, []).append(spelled)

    def of(self, uuid: str) -> list[str]:
        return uuids.spellings(uuid) + self.strange.get(uuid, [])


class Instances:
    """The ``instances`` table of a cell, in the shape that its Nova release gave it.

    The rows of Nova's own that are no instances are never told of.

    :raises: CellUnreachable, NotACellDatabase
    """

    def __init__(self, reader: Reader, cell: CellMapping) -> None:
        self._reader = reader
        self._cell = cell
        self._table = InstancesTable(
            reader.column_names('instances'),
            _NEEDED,
            dialect=reader.dialect,
            identity=cell.identity,
        )
        self._facts = self._facts_query()
        self._are_odd_left_out = False

    def after(self, last_id: int, limit: int) -> Page | None:
        """The next rows by ``id``, deleted and hidden ones too; None at the end."""
        table = self._table
        is_next = table['id'] > last_id
        # One more, to see that it is another one.
        query = self._needed().where(is_next).order_by(table['id']).limit(limit + 1)
        found = self._rows(query, limit + 1)
        ids = [row[0] for row in found]
        self._check_ids([last_id, *ids])
        read = found[:limit]
        if not read:
            return None
        twice = {one for one, other in itertools.pairwise(ids) if one == other}
        instances, invalid = _sorted_out([row for row in read if row[0] not in twice])
        invalid += [_is_not_alone(row) for row in read if row[0] in twice]
        return Page(read[-1][0], len(read), instances, invalid)

    def without_an_id(self) -> list[InvalidRow]:
        """Rows that are not among those by ``id``, since theirs is none or no positive number.

        Not more than a few; they are in no table that Nova has made.
        """
        number = self._table['id']
        query = self._needed().where(sa.or_(number.is_(None), number <= 0)).limit(_CHUNK)
        _, invalid = _sorted_out(self._rows(query, _CHUNK))
        return invalid

    def facts_after(self, last_uuid: str, limit: int, project_id: str | None = None) -> Said:
        """What the mapping should say of the next rows by ``uuid``, hidden ones left out; of a
        project, or of all.

        Of uuids that are spelled as the mapping spells them: their order is the same in every
        collation. For the others see :meth:`odd_after`.
        """
        column = self._table['uuid']
        query = self._facts.where(column > last_uuid).limit(limit + 1)
        if self._are_odd_left_out:
            query = query.where(self._table.is_canonical())
        if project_id is not None:
            query = query.where(self._table['project_id'] == project_id)
        found = _as_text(self._rows(query, limit + 1))
        if not _are_canonical(found):
            if self._are_odd_left_out:
                raise self._misread('the uuids of its instances are not what it was asked for')
            self._are_odd_left_out = True
            return self.facts_after(last_uuid, limit, project_id)
        spelled = [row[0] for row in found]
        if spelled != sorted(spelled) or (spelled and spelled[0] <= last_uuid):
            raise self._misread(
                f'the uuids of its instances are not in order, behind {last_uuid!r}'
            )
        # A table without Nova's constraint may have one twice.
        twice = [uuid for uuid, other in itertools.pairwise(spelled) if uuid == other]
        facts = [(uuid, said) for uuid, said in found[:limit]]
        return Said(facts, twice)

    def odd_after(self, last_id: int, limit: int) -> Page | None:
        """The next rows by ``id`` whose uuid is spelled otherwise, or is none; None at the end.

        A cell of Nova's has none of them.
        """
        table = self._table
        query = self._needed().where(self._table.is_odd(), table['id'] > last_id)
        found = self._rows(query.order_by(table['id']).limit(limit), limit)
        if not found:
            return None
        self._check_ids([last_id, *(row[0] for row in found)])
        instances, invalid = _sorted_out(found)
        return Page(found[-1][0], len(found), instances, invalid)

    def odd_spellings(self) -> OddSpellings:
        """How the uuids of all those rows are spelled; the whole table is looked through."""
        found = OddSpellings(False, {})
        uuid = self._table['uuid']
        last_id = 0
        while True:
            query = sa.select(self._table['id'], uuid).where(self._table.is_odd())
            query = query.where(self._table['id'] > last_id).order_by(self._table['id'])
            some = self._rows(query.limit(_CHUNK), _CHUNK)
            if not some:
                return found
            self._check_ids([last_id, *(row[0] for row in some)])
            last_id = some[-1][0]
            found = OddSpellings(True, found.strange)
            for _, spelled in some:
                found.note(rows.text_of(spelled))

    def of(
        self, wanted: Collection[str], odd: OddSpellings | None = None
    ) -> list[Instance | InvalidRow]:
        """The rows of up to a thousand instances; deleted and hidden ones too.

        :param odd: how else uuids are spelled in this table
        """
        column = self._table['uuid']
        found = self._of(wanted, lambda some: column.in_(some))
        if odd is not None and odd.are_any:
            forms = [form for uuid in wanted for form in odd.of(uuid)]
            found += self._of(forms, lambda some: column.in_(some))
        asked = {*wanted, None}
        if not {each.uuid for each in found} <= asked | {*map(uuids.canonical, wanted)}:
            raise self._misread('it sent rows of other instances than it was asked for')
        # Where the mapping spells one otherwise, a collation may take it for the cell's.
        return _each_once([each for each in found if each.uuid in asked])

    def get(self, uuid: str) -> Instance | InvalidRow | None:
        """The row of an instance, also where it is deleted or hidden."""
        found = self.of([uuid])
        if not found:
            # Without an index: only what is not there in the form that it should have.
            digits = self._table.digits()
            found = _each_once(self._of([uuid.replace('-', '')], lambda some: digits.in_(some)))
        return found[0] if found else None

    def describe(self, instance: Instance) -> dict[str, Any]:
        """What a person wants to see of an instance; empty where it is not there any more."""
        names = [name for name in _SHOWN if name in self._table]
        is_it = self._table['id'] == instance.id
        query = self._table.select(names).where(is_it)
        plain = self._table.select(names, is_plain=True).where(is_it)
        found = self._reader.rows(query, 1, plain=plain)
        if not found:
            return {}
        values = dict(zip(names, map(rows.text_of, found[0]), strict=True))
        return values | {'uuid': instance.uuid}

    def has_live(self) -> bool:
        """Whether any instance is not deleted, soft-deleted and hidden ones included."""
        deleted = sa.func.coalesce(self._table['deleted'], 0)
        query = sa.select(self._table['id']).where(deleted == 0).limit(1)
        return bool(self._rows(query, 1))

    def is_empty(self) -> bool:
        """Whether the table has no row at all, not even of a deleted instance."""
        return not self._rows(sa.select(self._table['id']).limit(1), 1)

    def last_id(self) -> int:
        """The greatest ``id``; 0 in an empty table."""
        [[last]] = self._rows(sa.select(sa.func.max(self._table['id'])), 1) or [[0]]
        if last is not None and type(last) is not int:
            raise self._misread(f'the greatest id of its instances is {rows.shown(last)}')
        return max(last or 0, 0)

    def _rows(self, query: sa.Select[Any], most: int) -> list[Sequence[Any]]:
        return self._reader.rows(query, most, plain=query)

    def _of(
        self, values: Collection[str], where: Callable[[Sequence[str]], sa.ColumnElement[bool]]
    ) -> list[Instance | InvalidRow]:
        found: list[Instance | InvalidRow] = []
        for chunk in _chunks(values):
            is_one = where(chunk)
            query = self._table.select(_LOOKED_AT).where(is_one)
            plain = self._table.select(_LOOKED_AT, is_plain=True).where(is_one)
            found_rows = self._reader.rows(query, _MOST_OF_ONE * len(chunk), plain=plain)
            instances, invalid = _sorted_out(found_rows)
            found += instances
            found += invalid
        return found

    def _check_ids(self, ids: list[Any]) -> None:
        are_numbers = all(type(number) is int for number in ids)
        if not are_numbers or ids != sorted(ids) or ids[1:2] == ids[:1]:
            raise self._misread(f'the ids of its instances are not in order, behind {ids[0]}')

    def _misread(self, reason: str) -> exception.CellUnreachable:
        return exception.CellUnreachable(cell=self._cell.identity, reason=reason)

    def _facts_query(self) -> sa.Select[Any]:
        table = self._table
        said = db_api.fact(
            sa.literal(self._cell.uuid),
            table['project_id'],
            table['user_id'],
            queued_for_delete=table.is_deleted(),
        )
        query = sa.select(table['uuid'], said).where(table.is_no_marker(), table.is_shown())
        return query.order_by(table['uuid'])

    def _needed(self) -> sa.Select[Any]:
        return self._table.select(_MAPPED)


def _sorted_out(found: Sequence[Sequence[Any]]) -> tuple[list[Instance], list[InvalidRow]]:
    instances, invalid = [], []
    for row in found:
        parsed = rows.parse(row)
        if isinstance(parsed, Instance):
            instances.append(parsed)
        elif parsed is not None:
            invalid.append(parsed)
    return instances, invalid


def _is_not_alone(row: Sequence[Any]) -> InvalidRow:
    uuid = rows.text_of(row[1])
    reason = 'its id is that of another row as well'
    return InvalidRow(row[0], rows.shown(uuid), uuids.canonical(uuid), reason)


def _each_once(found: list[Instance | InvalidRow]) -> list[Instance | InvalidRow]:
    """Leave out what was found twice; where a cell has several rows of an instance, all are
    invalid: nobody knows which it is."""
    by_uuid: dict[str | None, dict[int | None, Instance | InvalidRow]] = {}
    for each in found:
        by_uuid.setdefault(each.uuid, {})[each.id] = each
    kept: list[Instance | InvalidRow] = []
    for uuid, some in by_uuid.items():
        if len(some) > 1 and uuid is not None:
            ids = ' and '.join(str(number) for number in sorted(some, key=str))
            reason = f'the instance is in the table several times, as rows {ids}'
            kept += [InvalidRow(number, uuid, uuid, reason) for number in some]
        else:
            kept += some.values()
    return kept


def _are_canonical(found: Sequence[db_api.Fact]) -> bool:
    """Whether all uuids are spelled as the mapping spells them."""
    text = '\n'.join([row[0] for row in found])
    return not found or _ALL_CANONICAL.fullmatch(text) is not None


_ALL_CANONICAL = re.compile(f'{uuids.FORM.pattern}(?:\n{uuids.FORM.pattern})*')


def _as_text(found: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The same rows; text that came as bytes, or as no text, as text."""
    try:
        ''.join(itertools.chain.from_iterable(found))
    except TypeError:
        return [tuple(str(rows.text_of(value)) for value in row) for row in found]
    return found


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk
