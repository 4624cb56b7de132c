# SPDX-License-Identifier: Apache-2.0
"""Looking at instances one by one, in the mapping and in every cell."""

from collections.abc import Mapping, Sequence
import datetime

from nova_cellmap import exception
from nova_cellmap.cells import rows as cell_rows
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import age
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.readers import Readers

# By instance and cell.
_Rows = dict[str, dict[str, Instance]]
_InvalidRows = dict[str, dict[str, list[InvalidRow]]]
_Ages = dict[str, list[datetime.timedelta | None]]

# How often a mapping that others change meanwhile is looked at; then it is in good hands.
_ATTEMPTS = 3


class Judge:
    """Tells what is wrong with instances.

    :param patience: how long is waited for Nova
    """

    def __init__(
        self, context: RequestContext, readers: Readers, patience: Patience | None = None
    ) -> None:
        self._context = context
        self._readers = readers
        self._patience = patience or Patience()

    def unknown(self, uuids: Sequence[str]) -> list[str]:
        """Those of these instances of which neither the mapping nor a cell knows anything."""
        mapped = self._mapped(uuids)
        _, invalid, ages = self._rows(uuids)
        known = mapped.keys() | invalid.keys() | ages.keys()
        return [] if self._readers.errors else [uuid for uuid in uuids if uuid not in known]

    def cases(self, uuids: Sequence[str]) -> list[Case]:
        """What differs of each of these instances; nothing where all is well."""
        cases = self._judge(uuids)
        orphaned = [case.uuid for case in cases if case.has(Kind.ORPHANED)]
        if not orphaned:
            return cases
        # Another cell may have come meanwhile. And a move may hide an instance in one cell
        # before it shows it in the other: both were read, but not at one moment.
        self._readers.look_again()
        cases = [case for case in cases if not case.has(Kind.ORPHANED)]
        return cases + self._judge(orphaned)

    def _judge(self, uuids: Sequence[str]) -> list[Case]:
        cases: list[Case] = []
        for _ in range(_ATTEMPTS):
            if not uuids:
                break
            # The cells are read between two looks at the mapping. Where it did not change, what
            # it says held while each of the cells was read.
            now = db_api.utc_time_get(self._context)
            before = self._mapped(uuids)
            rows, invalid, ages = self._rows(uuids)
            building = self._building(uuids, before, now)
            after = self._mapped(uuids)
            steady = [uuid for uuid in uuids if before.get(uuid) == after.get(uuid)]
            _take_ownerless(rows, invalid, [uuid for uuid in steady if uuid in after])
            moves = self._moves(rows)
            cases += [
                Case(
                    uuid,
                    mapping=after.get(uuid),
                    rows=rows.get(uuid, {}),
                    unread=self._readers.errors.keys(),
                    identity=self._readers.identity,
                    place=self._readers.place,
                    invalid=invalid.get(uuid, {}),
                    is_building=uuid in building,
                    move=moves.get(uuid),
                    age=age.least(
                        [
                            *ages.get(uuid, ()),
                            _age_of(after.get(uuid), now),
                            building.get(uuid),
                        ]
                    ),
                    patience=self._patience,
                )
                for uuid in steady
            ]
            uuids = [uuid for uuid in uuids if before.get(uuid) != after.get(uuid)]
        return [case for case in cases if case.differences]

    def _mapped(self, uuids: Sequence[str]) -> dict[str, db_api.Row]:
        rows: Sequence[db_api.Row]
        try:
            rows = db_api.instance_mapping_get_by_instance_uuids(self._context, uuids)
        except exception.DatabaseError as error:
            # Not its kinds, of a database that cannot be asked.
            if type(error) is not exception.DatabaseError:
                raise
            rows = db_api.instance_mapping_get_as_stored(self._context, uuids)
        return {row['instance_uuid']: row for row in rows}

    def _building(
        self, uuids: Sequence[str], mapped: Mapping[str, db_api.Row], now: datetime.datetime
    ) -> dict[str, datetime.timedelta]:
        """Those that Nova is building, of the instances that are mapped to no cell: for how long.

        Nova maps one before it removes its build request. One that does not say when it was made
        may be of this moment.
        """
        nowhere = [uuid for uuid in uuids if uuid not in mapped or not mapped[uuid]['cell_uuid']]
        if not nowhere:
            return {}
        found = db_api.build_request_get_by_instance_uuids(self._context, nowhere)
        return {uuid: now - (made or now) for uuid, made in found.items()}

    def _moves(self, rows: _Rows) -> dict[str, str]:
        """In which state the moves between cells are of those that are live in several."""
        live = {
            uuid: [row for row in some.values() if not row.deleted] for uuid, some in rows.items()
        }
        several = [uuid for uuid, some in live.items() if len(some) > 1]
        return self._readers.moves_of(several) if several else {}

    def _rows(self, uuids: Sequence[str]) -> tuple[_Rows, _InvalidRows, _Ages]:
        """By instance, the rows that are not hidden, by cell; those that are invalid; and how
        long ago each was written, also those that are hidden."""
        rows: _Rows = {}
        invalid: _InvalidRows = {}
        ages: _Ages = {}
        for cell_uuid, (found, now) in self._readers.rows_of(uuids):
            for row in found:
                if isinstance(row, InvalidRow):
                    invalid.setdefault(str(row.uuid), {}).setdefault(cell_uuid, []).append(row)
                    continue
                ages.setdefault(row.uuid, []).append(age.since(now, row.changed_at))
                if not row.hidden:
                    rows.setdefault(row.uuid, {})[cell_uuid] = row
        return rows, invalid, ages


def _age_of(mapping: db_api.Row | None, now: datetime.datetime) -> datetime.timedelta | None:
    if mapping is None:
        return None
    changed_at = cell_rows.last_time(mapping['updated_at'], mapping['created_at'])
    return age.since(now, changed_at)


def _take_ownerless(rows: _Rows, invalid: _InvalidRows, mapped: Sequence[str]) -> None:
    """Take rows that only lack a project for what else they say: the mapping has a project."""
    for uuid in mapped:
        each = [
            (cell, row.instance) for cell, some in invalid.get(uuid, {}).items() for row in some
        ]
        found = {cell: instance for cell, instance in each if instance is not None}
        if found and len(found) == len(each):
            rows.setdefault(uuid, {}).update(found)
            del invalid[uuid]
