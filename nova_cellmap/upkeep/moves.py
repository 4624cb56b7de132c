# SPDX-License-Identifier: Apache-2.0
"""Saying which cell instances are mapped to: one, or all of a cell.

Only the mapping is written, never a cell; and of the mapping only what is still as it was read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import itertools

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells import lookup
from nova_cellmap.cells.instances import Instances
from nova_cellmap.cells.instances import OddSpellings
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.instance_mapping import InstanceMapping
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep import changing
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.changing import Changer
from nova_cellmap.upkeep.journal import Journal

BATCH_SIZE = 1000
# In place of a kind of problem.
MOVED = 'moved'


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of the mapping of an instance of which two cells have a live row.

    :ivar previous_cell_uuid: the cell that it was mapped to
    :ivar changed: the fields that were changed
    """

    uuid: str
    previous_cell_uuid: str | None
    changed: list[str]


def keep(
    context: RequestContext, uuid: str, cell: CellMapping, *, journal: Journal | None = None
) -> Kept:
    """Map an instance to the one of several cells with a live row of it that is right.

    Whose it is and whether it is queued for delete is mapped as that row says.

    :param journal: where the change is written down before it is made; None: nowhere
    :raises: InstanceMappingNotFound; InstanceNotInCell where the cell has no row of it that is
        neither hidden nor deleted; InstanceMappingConflict where another writer was first;
        CellUnreachable, NotACellDatabase, InvalidCellRow; JournalUnwritable
    """
    mapping = InstanceMapping.get_by_instance_uuid(context, uuid)
    uuid = mapping.instance_uuid
    # Before the cell is read: what another writes meanwhile is later.
    [seen] = db_api.instance_mapping_get_by_instance_uuids(context, [uuid]) or [None]
    if seen is None:
        raise exception.InstanceMappingNotFound(uuid=uuid)
    truth = _truth(cell, uuid)
    wanted = _change(seen, truth, Kind.DUPLICATE, f'it is kept in {cell.identity}')
    before, after = wanted.before or {}, wanted.after or {}
    changed = [name for name in truth if before[name] != after[name]]
    if changed:
        why_not = Changer(context, journal).make([wanted]).get(uuid)
        if why_not == changing.OTHERS_FIRST:
            now = InstanceMapping.get_by_instance_uuid(context, uuid)
            raise exception.InstanceMappingConflict(
                uuid=uuid, cell_uuid=now.cell_uuid, expected=seen['cell_uuid']
            )
        if why_not is not None:
            raise exception.InvalidInput(why_not)
    return Kept(uuid, seen['cell_uuid'], sorted(changed))


def _change(seen: db_api.Row, values: db_api.Row, problem: str, why: str) -> Change:
    """The change of a mapping, of which these values become others."""
    return Change(
        seen['instance_uuid'],
        (str(problem),),
        before=change.values_of(seen),
        after=change.values_of({**seen, **values}),
        when=change.now(),
        why=why,
    )


def _truth(cell: CellMapping, uuid: str) -> db_api.Row:
    """What the mapping should say where the instance is in a cell.

    :raises: InstanceNotInCell
    """
    instance = lookup.row_in(cell, uuid)
    if instance is None or instance.hidden or instance.deleted:
        row = (
            'no row'
            if instance is None
            else 'a hidden row'
            if instance.hidden
            else 'a deleted row'
        )
        raise exception.InstanceNotInCell(uuid=uuid, cell=cell.identity, reason=f'has {row}')
    truth: db_api.Row = {
        'cell_uuid': cell.uuid,
        'project_id': instance.project_id or None,
        'user_id': instance.user_id,
        # Where Nova is deleting or restoring it, it writes one of the two first.
        'queued_for_delete': None if instance.is_changing else instance.queued_for_delete,
    }
    return {name: value for name, value in truth.items() if value is not None}


@dataclasses.dataclass
class Move:
    """A run that maps instances of one cell to another, and what became of them.

    ``looked_at`` is how many it has come to, of about ``total``. ``moved`` are mapped to the
    other cell now, or would be; ``existing`` were already. Left as they are: ``not_there``, which
    the other cell has no row of; ``elsewhere``, mapped to a third cell or to none, also meanwhile;
    ``unmapped``, which have no mapping.
    """

    total: int = 0
    looked_at: int = 0
    moved: int = 0
    existing: int = 0
    not_there: int = 0
    elsewhere: int = 0
    unmapped: int = 0

    @property
    def left(self) -> int:
        """How many of those that were to be moved are not."""
        return self.not_there + self.elsewhere + self.unmapped


def move_mappings(
    context: RequestContext,
    source: CellMapping,
    target: CellMapping,
    *,
    uuids: Sequence[str] | None = None,
    verify: bool = False,
    dry_run: bool = False,
    batch_size: int = BATCH_SIZE,
    journal: Journal | None = None,
    on_batch: Callable[[Move], None] = lambda move: None,
) -> Move:
    """Map the instances of a cell to another one, whose database has them now.

    Each batch is one transaction. A run that was stopped or killed is begun again: what it has
    moved is not in the first cell any more. What is left as it is, is logged.

    :param uuids: only these instances; all of the first cell by default
    :param verify: leave those of which the other cell's database has no row, or a hidden one
    :param dry_run: write nothing, and count the same
    :param journal: where each change is written down before it is made; None: nowhere
    :param on_batch: called after each batch
    :raises: InvalidInput where the cells are one; CellUnreachable, NotACellDatabase with *verify*;
        JournalUnwritable
    """
    if source.uuid == target.uuid:
        raise exception.InvalidInput(reason='both are one cell: there is nothing to move')
    with contextlib.ExitStack() as stack:
        there = None
        if verify:
            there = _There(stack.enter_context(database.connect(target)), target)
        mover = _Mover(context, source, target, there, journal, dry_run)
        if uuids is None:
            mover.move.total = _count(context, source)
            batches_ = mover.all(batch_size)
        else:
            uuids = list(dict.fromkeys(uuids))
            mover.move.total = len(uuids)
            batches_ = mover.some(uuids, batch_size)
        for _ in batches_:
            on_batch(mover.move)
    return mover.move


def _count(context: RequestContext, cell: CellMapping) -> int:
    counts = db_api.instance_mapping_count_by_cell_and_project(context)
    return sum(number for cell_uuid, _, number, _ in counts if cell_uuid == cell.uuid)


class _There:
    """Which instances a cell's database has."""

    def __init__(self, reader: database.Reader, cell: CellMapping) -> None:
        self._instances = Instances(reader, cell)
        self._odd: OddSpellings | None = None

    def of(self, uuids: Collection[str]) -> set[str]:
        """Those of these of which it has a row that is not hidden, deleted ones too."""
        found = self._shown(self._instances.of(uuids))
        missing = set(uuids) - found
        if missing:
            if self._odd is None:
                self._odd = self._instances.odd_spellings()
            found |= self._shown(self._instances.of(missing, self._odd))
        return found

    def _shown(self, rows: Iterable[Instance | InvalidRow]) -> set[str]:
        each = [row.instance if isinstance(row, InvalidRow) else row for row in rows]
        return {row.uuid for row in each if row is not None and not row.hidden}


class _Mover:
    """Moves batches, and counts what becomes of them."""

    def __init__(
        self,
        context: RequestContext,
        source: CellMapping,
        target: CellMapping,
        there: _There | None,
        journal: Journal | None,
        dry_run: bool,
    ) -> None:
        self._context = context
        self._source = source
        self._target = target
        self._there = there
        self._journal = journal
        self._dry_run = dry_run
        self.move = Move()

    def all(self, size: int) -> Iterator[None]:
        """Move all of the first cell."""
        last_id, marker = 0, None
        while page := self._page(size, marker):
            new = [row for row in page if row['id'] > last_id]
            gone = self._move(new)
            self.move.looked_at += len(new)
            # The list is one of what is in the cell still: its pages go on behind one that is.
            stays = [row['instance_uuid'] for row in page if row['instance_uuid'] not in gone]
            marker = stays[-1] if stays else marker
            last_id = max(last_id, page[-1]['id'])
            yield

    def some(self, uuids: Iterable[str], size: int) -> Iterator[None]:
        """Move some instances, of the first cell."""
        uuids = iter(uuids)
        while chunk := list(itertools.islice(uuids, size)):
            rows = self._rows(chunk)
            cells = _cells(rows)
            self.move.existing += sum(cells[uuid] == self._target.uuid for uuid in cells)
            self._move([row for row in rows if row['cell_uuid'] == self._source.uuid])
            self._leave_others(chunk, cells, [self._source.uuid, self._target.uuid])
            self.move.looked_at += len(chunk)
            yield

    def _page(self, size: int, marker: str | None) -> Sequence[db_api.Row]:
        read = functools.partial(
            db_api.instance_mapping_get_all,
            self._context,
            cell_uuid=self._source.uuid,
            limit=size,
        )
        try:
            return read(marker=marker)
        except exception.MarkerNotFound:
            # It was moved by another. What has been looked at is known by its id.
            return read()

    def _move(self, rows: Collection[db_api.Row]) -> set[str]:
        """Move those that can be; which of them are in the first cell no more."""
        uuids = [row['instance_uuid'] for row in rows]
        there = self._there.of(uuids) if self._there else set(uuids)
        missing = [uuid for uuid in uuids if uuid not in there]
        self._warn(missing, f'cell {self._target.identity} has no row of it')
        self.move.not_there += len(missing)
        if self._dry_run:
            self.move.moved += len(there)
            return set()
        if there:
            self._write([row for row in rows if row['instance_uuid'] in there])
        return there

    def _write(self, rows: Sequence[db_api.Row]) -> None:
        """Move these, and count those that were moved."""
        if self._journal is None:
            left: Mapping[str, str] = self._write_all([row['instance_uuid'] for row in rows])
        else:
            why = f'it is moved to {self._target.identity}'
            target = {'cell_uuid': self._target.uuid}
            left = self._journal.record(
                [_change(row, target, MOVED, why) for row in rows],
                lambda changes: self._write_all([each.instance_uuid for each in changes]),
            )
        self.move.moved += len(rows) - len(left)

    def _write_all(self, uuids: Collection[str]) -> dict[str, str]:
        """Move these; answer why those that were not moved were not.

        Of a mapping nothing is compared but the cell: so it is one statement for all.
        """
        moved = db_api.instance_mapping_move_bulk(
            self._context,
            uuids,
            from_cell_uuid=self._source.uuid,
            to_cell_uuid=self._target.uuid,
        )
        if moved == len(uuids):
            return {}
        # Another writer was first with some of them.
        cells = _cells(self._rows(uuids))
        self._leave_others(uuids, cells, [self._target.uuid])
        left = [uuid for uuid in uuids if cells.get(uuid) != self._target.uuid]
        return dict.fromkeys(left, changing.OTHERS_FIRST)

    def _rows(self, uuids: Iterable[str]) -> Sequence[db_api.Row]:
        """Of these instances the mappings of those that have one."""
        return db_api.instance_mapping_get_by_instance_uuids(self._context, uuids)

    def _leave_others(
        self, uuids: Iterable[str], cells: Mapping[str, str | None], known: Collection[str]
    ) -> None:
        """Count, and warn of, those that are mapped to no cell that is known here."""
        unmapped = [uuid for uuid in uuids if uuid not in cells]
        self._warn(unmapped, 'it has no mapping')
        self.move.unmapped += len(unmapped)
        elsewhere = [uuid for uuid in cells if cells[uuid] not in known]
        for uuid in elsewhere:
            self._warn([uuid], f'it is mapped to {cells[uuid] or "no cell"}')
            self.move.elsewhere += 1

    def _warn(self, uuids: Sequence[str], why: str) -> None:
        problems = [f'instance {uuid}: {why}' for uuid in uuids]
        batches.warn('the mapping', problems, self.move.left)


def _cells(rows: Iterable[db_api.Row]) -> dict[str, str | None]:
    """The cell of each instance."""
    return {row['instance_uuid']: row['cell_uuid'] for row in rows}
