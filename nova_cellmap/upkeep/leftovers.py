# SPDX-License-Identifier: Apache-2.0
"""What Nova has left behind in its API database, beside the mapping of instances.

Nova removes the request spec of an instance, and its membership in a server group, when it
archives the instance: after the cell's rows are gone, and not at once. Where that was killed they
stay for good. Nova's own data migrations have to fill in what mappings of old releases lack.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
import dataclasses
import datetime
import enum
import time
from typing import Any, NamedTuple

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.db import nova_leftovers
from nova_cellmap.db.nova_leftovers import Page
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import age
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.readers import Readers

BATCH_SIZE = 1000
# How many instances are looked at again at a time, at most.
_MOST_SUSPECTS = 500


class LeftoverKind(enum.StrEnum):
    """What can be left."""

    # Of an instance that is mapped to a cell, that has no mapping, or that nobody goes on to
    # build: its user sees it being built for ever.
    BUILD_REQUEST_LEFT = 'build_request_left'
    # Of an instance that has no mapping and is in no cell.
    REQUEST_SPEC_LEFT = 'request_spec_left'
    GROUP_MEMBER_LEFT = 'group_member_left'
    # A mapping for which Nova counts usage in all cells.
    UNMIGRATED = 'unmigrated'


_ROWS = {
    LeftoverKind.BUILD_REQUEST_LEFT: 'build_request',
    LeftoverKind.REQUEST_SPEC_LEFT: 'request_spec',
    LeftoverKind.GROUP_MEMBER_LEFT: 'group_member',
}


@dataclasses.dataclass
class Leftover:
    """Something that is left of one instance.

    ``cell_uuid`` is the cell that the mapping names; it may be empty. ``repaired`` says that it
    is right now.
    """

    instance_uuid: str
    kind: LeftoverKind
    cell_uuid: str
    detail: str
    repaired: bool = False

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.instance_uuid

    @property
    def is_removal(self) -> bool:
        """Whether what repairs it removes a row."""
        return self.kind is not LeftoverKind.UNMIGRATED


@dataclasses.dataclass
class _Known:
    """What there is of some instances, by their uuids.

    ``mapped`` are their mappings, None where there is none; those that were changed while the
    cells were read are left out. ``in_cells`` are the rows of each, also those that are hidden or
    deleted, by cell, and ``ages`` how long ago they were written. ``building`` are those that
    have a build request.
    """

    mapped: dict[str, db_api.Row | None]
    in_cells: dict[str, dict[str, Instance | InvalidRow]]
    ages: dict[str, list[datetime.timedelta | None]]
    building: Collection[str]
    now: datetime.datetime

    def age_of(self, *written: Mapping[str, Any] | None) -> datetime.timedelta | None:
        """How long ago the last of some rows of the mapping database was written."""
        times = [each[name] for each in written if each for name in ('created_at', 'updated_at')]
        return age.since(self.now, rows.last_time(*times))


class LeftoverAudit:
    """A run over what is left.

    :param cells: all cells of the cloud: an instance may be in any of them
    :param batch_size: how many rows are read at a time
    :param sleep: seconds to rest after each batch
    :param patience: how long is waited for Nova
    :ivar rows: how many rows have been looked at
    :ivar found: how many there are of each kind
    :ivar in_flight: what may be left, and was written a moment ago
    """

    # What an audit of instances may have besides.
    refused: exception.ChangesRefused | None = None
    unknown: Sequence[str] = ()

    def __init__(
        self,
        context: RequestContext,
        cells: Iterable[CellMapping],
        *,
        batch_size: int = BATCH_SIZE,
        sleep: float = 0,
        patience: Patience | None = None,
    ) -> None:
        self._context = context
        self._readers = Readers(context, cells)
        self._size = batch_size
        self._sleep = sleep
        self._patience = patience or Patience()
        self.rows = 0
        self.found: Counter[LeftoverKind] = Counter()
        self.in_flight = 0

    @property
    def instances(self) -> int:
        """How much has been looked at."""
        return self.rows

    @property
    def errors(self) -> dict[str, exception.CellError]:
        """Why a cell could not be read, by its uuid: of what it may have, nothing is said."""
        return self._readers.errors

    def problems(
        self, on_batch: Callable[[float], None] = lambda part: None
    ) -> Iterator[Leftover]:
        """Each as it is found, kind by kind.

        :param on_batch: called after each batch with the part of all that is done, 0 to 1
        :raises: NotNovasTables
        """
        if db_api.nova_schema_get(self._context) is None:
            raise exception.NotNovasTables()
        with self._readers:
            for number, kind in enumerate(LeftoverKind):
                yield from self._of_kind(kind)
                on_batch((number + 1) / len(LeftoverKind))

    def _of_kind(self, kind: LeftoverKind) -> Iterator[Leftover]:
        last_id = 0
        suspects: list[db_api.Row] = []
        while page := self._page(kind, last_id):
            last_id = page.last_id
            self.rows += page.rows
            suspects += page.found
            while len(suspects) >= _MOST_SUSPECTS:
                yield from self._look_at(kind, suspects[:_MOST_SUSPECTS])
                del suspects[:_MOST_SUSPECTS]
            time.sleep(self._sleep)
        yield from self._look_at(kind, suspects)

    def _page(self, kind: LeftoverKind, last_id: int) -> Page | None:
        if kind is LeftoverKind.UNMIGRATED:
            return nova_leftovers.nova_unmigrated_after(self._context, last_id, self._size)
        return nova_leftovers.nova_rows_after(self._context, _ROWS[kind], last_id, self._size)

    # Looking at them one by one.

    def _look_at(self, kind: LeftoverKind, suspects: Sequence[db_api.Row]) -> Iterator[Leftover]:
        if not suspects:
            return
        known = self._known([row['instance_uuid'] for row in suspects])
        for row in suspects:
            found = self._judged(kind, row, known)
            if found is not None and self._patience.is_young(found.age):
                self.in_flight += 1
            elif found is not None:
                self.found[kind] += 1
                yield Leftover(row['instance_uuid'], kind, found.cell_uuid or '', found.detail)

    def _known(self, spelled: Iterable[str]) -> _Known:
        wanted = sorted({uuid for each in spelled if (uuid := uuids.canonical(each))})
        # A cell may have come meanwhile.
        self._readers.look_again()
        now = db_api.utc_time_get(self._context)
        before = self._mapped(wanted)
        in_cells: dict[str, dict[str, Instance | InvalidRow]] = {}
        ages: dict[str, list[datetime.timedelta | None]] = {}
        for cell_uuid, (found, cells_now) in self._readers.rows_of(wanted):
            for row in found:
                in_cells.setdefault(str(row.uuid), {})[cell_uuid] = row
                if isinstance(row, Instance):
                    ages.setdefault(row.uuid, []).append(age.since(cells_now, row.changed_at))
        building = db_api.build_request_get_by_instance_uuids(self._context, wanted)
        after = self._mapped(wanted)
        steady = {uuid for uuid in wanted if before.get(uuid) == after.get(uuid)}
        return _Known(
            {uuid: after.get(uuid) for uuid in steady}, in_cells, ages, building.keys(), now
        )

    def _mapped(self, wanted: Sequence[str]) -> dict[str, db_api.Row]:
        found = db_api.instance_mapping_get_by_instance_uuids(self._context, wanted)
        return {row['instance_uuid']: row for row in found}

    def _judged(self, kind: LeftoverKind, row: db_api.Row, known: _Known) -> '_Left | None':
        uuid = uuids.canonical(row['instance_uuid'])
        if uuid is None:
            # No cell can have it. What it is, only a person can tell.
            detail = f'its instance_uuid, {rows.shown(row["instance_uuid"])}, is no uuid'
            return _Left(None, detail, known.age_of(row))
        if uuid not in known.mapped:
            # Others are at work on it.
            return None
        mapping = known.mapped[uuid]
        match kind:
            case LeftoverKind.BUILD_REQUEST_LEFT:
                return self._left_build(uuid, row, mapping, known)
            case LeftoverKind.UNMIGRATED:
                return self._unmigrated(uuid, mapping, known)
        return self._left_row(uuid, row, mapping, known)

    def _left_row(
        self, uuid: str, row: db_api.Row, mapping: db_api.Row | None, known: _Known
    ) -> '_Left | None':
        is_needed = mapping is not None or uuid in known.in_cells or uuid in known.building
        if is_needed or self.errors:
            return None
        return _Left(None, 'no cell has the instance, and it has no mapping', known.age_of(row))

    def _left_build(
        self, uuid: str, row: db_api.Row, mapping: db_api.Row | None, known: _Known
    ) -> '_Left | None':
        since = known.age_of(row, mapping)
        if mapping is None:
            return _Left(None, 'its instance has no mapping', since)
        cell_uuid = mapping['cell_uuid']
        if cell_uuid is not None:
            instance = known.in_cells.get(uuid, {}).get(cell_uuid)
            if isinstance(instance, Instance) and instance.is_scheduling:
                # Nova removes it next.
                return None
            cell = self._readers.identity(cell_uuid)
            return _Left(cell_uuid, f'its instance is mapped to {cell} already', since)
        if since is not None and self._patience.is_over(since):
            return _Left(None, f'nobody has gone on with it for {age.shown(since)}', since)
        return None

    def _unmigrated(self, uuid: str, mapping: db_api.Row | None, known: _Known) -> '_Left | None':
        if mapping is None:
            return None
        lacking = [name for name in ('user_id', 'queued_for_delete') if mapping[name] is None]
        if not lacking:
            return None
        since = age.least([known.age_of(mapping), *known.ages.get(uuid, ())])
        why = [f'{" and ".join(lacking)} {"is" if len(lacking) == 1 else "are"} NULL']
        why += self._doubts(uuid, mapping, known)
        return _Left(mapping['cell_uuid'], '; '.join(why), since)

    def _doubts(self, uuid: str, mapping: db_api.Row, known: _Known) -> list[str]:
        """Why nobody can tell what they should be."""
        named = mapping['cell_uuid']
        if named is None:
            return ['it is mapped to no cell']
        if named in self.errors:
            return ['its cell cannot be read']
        if not isinstance(known.in_cells.get(uuid, {}).get(named), Instance):
            return ['its cell does not have it, or not rightly']
        return []


class _Left(NamedTuple):
    """What is left: the cell that its mapping names, why, and for how long."""

    cell_uuid: str | None
    detail: str
    age: datetime.timedelta | None
