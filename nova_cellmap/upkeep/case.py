# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the mapping of an instance, by what the cells have of it."""

from collections.abc import Callable, Collection, Iterator, Mapping
import dataclasses
import datetime
import enum
import functools
from typing import Any

from nova_cellmap.cells import rows
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import age
from nova_cellmap.upkeep.age import Patience


class Kind(enum.StrEnum):
    """What can be wrong."""

    # A row of a cell that no mapping can be made of, or a mapping that says what none can.
    INVALID_ROW = 'invalid_row'
    # An instance without a mapping.
    MISSING = 'missing'
    # A mapping whose cell no longer has the instance, nor has any other.
    ORPHANED = 'orphaned'
    WRONG_CELL = 'wrong_cell'
    # Mapped to no cell, but in one.
    NO_CELL = 'no_cell'
    # The project or the user differs.
    WRONG_OWNER = 'wrong_owner'
    STALE_QUEUED_FOR_DELETE = 'stale_queued_for_delete'
    # Live and not hidden in two cells: only a person can tell which is the one.
    DUPLICATE = 'duplicate'
    # Nova has been at work on it for too long: it may have died over it.
    STUCK = 'stuck'


@dataclasses.dataclass
class Problem:
    """Something wrong with the mapping of one instance.

    ``cell_uuid`` is the cell that has the instance; for an orphaned mapping the one that it
    names. ``repaired`` says that it is right now.
    """

    instance_uuid: str
    kind: Kind
    cell_uuid: str
    detail: str
    repaired: bool = False

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.instance_uuid

    @property
    def is_removal(self) -> bool:
        """Whether what repairs it removes a mapping."""
        return self.kind is Kind.ORPHANED


@dataclasses.dataclass
class Case:
    """An instance, its mapping if there is one, and its rows in cells.

    :param mapping: the row of its mapping
    :param rows: by cell, its rows that are not hidden
    :param unread: the cells that could not be read: the instance may be there as well
    :param identity: what a person calls a cell, by its uuid
    :param place: which database a cell has, by its uuid, if that can be told
    :param invalid: by cell, its rows that cannot be read for what they are
    :param is_building: whether Nova is building it, and is going to map it itself
    :param move: in which state Nova's move of it to another cell is, if one is under way
    :param age: how long ago one of its rows or its mapping was written last, if that is known
    """

    uuid: str
    mapping: db_api.Row | None
    rows: Mapping[str, Instance]
    unread: Collection[str] = ()
    identity: Callable[[str], str] = str
    place: Callable[[str], str | None] = str
    invalid: Mapping[str, Collection[InvalidRow]] = dataclasses.field(default_factory=dict)
    is_building: bool = False
    move: str | None = None
    age: datetime.timedelta | None = None
    patience: Patience = dataclasses.field(default_factory=Patience)

    @functools.cached_property
    def differences(self) -> list[Problem]:
        """Whatever differs, also what is in flight."""
        return [Problem(self.uuid, *found) for found in self._found()]

    @functools.cached_property
    def problems(self) -> list[Problem]:
        problems = [each for each in self.differences if not self._is_left(each)]
        stuck = [each for each in self.differences if self._is_stuck(each)]
        if stuck:
            works = ' and '.join(sorted({str(self._work(each)) for each in stuck}))
            detail = f'{works}: nothing has changed for {age.shown(self.age or _NO_TIME)}'
            problems.append(Problem(self.uuid, Kind.STUCK, stuck[0].cell_uuid, detail))
        return problems

    @property
    def is_in_flight(self) -> bool:
        """Whether something differs that Nova is at work on: it is no problem."""
        return any(self._is_left(each) and not self._is_stuck(each) for each in self.differences)

    @property
    def is_repairable(self) -> bool:
        """Whether the mapping has to be another, and it is known which."""
        return self.has(*_REPAIRABLE)

    def has(self, *kinds: Kind) -> bool:
        return any(problem.kind in kinds for problem in self.problems)

    @property
    def named(self) -> str | None:
        """The cell that the mapping names."""
        return None if self.mapping is None else self.mapping['cell_uuid']

    @property
    def projects(self) -> set[str]:
        """The projects that its mapping and its rows name."""
        of_mapping = set() if self.mapping is None else {self.mapping['project_id']}
        return {row.project_id for row in self.rows.values()} - {''} | of_mapping

    @functools.cached_property
    def live(self) -> list[str]:
        """The cells in which it is not deleted."""
        return sorted(uuid for uuid, row in self.rows.items() if not row.deleted)

    @property
    def home(self) -> str:
        """The cell that it is in: where it lives; of several that it is deleted in, the one
        that it is mapped to."""
        if self.live:
            return self.live[0]
        is_named = self.named in self.rows or not self.rows
        return self.named if is_named else min(self.rows)  # type: ignore[return-value]

    @property
    def instance(self) -> Instance:
        return self.rows[self.home]

    @property
    def truth(self) -> dict[str, Any]:
        """What the mapping should say, where its cell knows."""
        instance = self.instance
        # A row may say no project, where the mapping has one.
        known = {'project_id': instance.project_id or None, 'user_id': instance.user_id}
        return {
            'cell_uuid': self.home,
            'queued_for_delete': instance.queued_for_delete,
            **{name: value for name, value in known.items() if value is not None},
        }

    @property
    def correction(self) -> dict[str, Any]:
        """The same without what Nova is at work on."""
        left = {_WRITTEN.get(each.kind) for each in self.differences if self._is_left(each)}
        return {name: value for name, value in self.truth.items() if name not in left}

    def _is_left(self, difference: Problem) -> bool:
        """Whether Nova is at work on it, or may be."""
        if self._work(difference) is not None:
            return True
        # What makes a row invalid nobody is going to change.
        return difference.kind is not Kind.INVALID_ROW and self.patience.is_young(self.age)

    def _is_stuck(self, difference: Problem) -> bool:
        return self._work(difference) is not None and self.patience.is_over(self.age)

    def _work(self, difference: Problem) -> str | None:
        """What Nova is doing about it, if anything."""
        match difference.kind:
            case Kind.MISSING | Kind.NO_CELL if self.is_building:
                # If it is mapped by another, Nova's conductor cannot do it, and logs an error.
                return 'it has a build request'
            case Kind.MISSING | Kind.NO_CELL if self.instance.is_scheduling:
                return f'task_state is {self.instance.task_state}'
            case Kind.STALE_QUEUED_FOR_DELETE if self.instance.is_changing:
                # One of the two is written first.
                return f'task_state is {self.instance.task_state}'
            case Kind.DUPLICATE if self.move is not None:
                # Its row is shown in the one cell before it is hidden in the other.
                return f'its migration from cell to cell is {self.move}'
        return None

    def _found(self) -> Iterator[tuple[Kind, str, str]]:
        """Kind, cell and detail of each problem."""
        if self.invalid:
            # What they should have said nobody knows, and so not what is right.
            yield from self._invalid()
        elif self.mapping is not None and (reason := _misread(self.mapping)):
            cell = self.home if self.rows else self.named
            if cell is not None:
                yield Kind.INVALID_ROW, cell, f'its mapping, row {self.mapping["id"]}: {reason}'
        elif len(self.live) > 1:
            cell = self.named if self.named in self.live else None
            cells = ' and '.join(map(self.identity, self.live))
            yield Kind.DUPLICATE, cell or self.home, f'live in {cells}{self._why_in_several()}'
        elif self.named in self.unread:
            # It may be there.
            return
        elif not self.rows:
            if self.mapping is not None and self.named is not None and not self.unread:
                queued = '' if self.mapping['queued_for_delete'] else 'and it is not '
                detail = f'no cell has the instance, {queued}queued for delete'
                yield Kind.ORPHANED, self.named, detail
        elif self.mapping is None:
            yield Kind.MISSING, self.home, 'lacks a mapping'
        else:
            yield from self._untrue(self.mapping)

    def _invalid(self) -> Iterator[tuple[Kind, str, str]]:
        for cell, some in self.invalid.items():
            for row in some:
                yield Kind.INVALID_ROW, cell, f'row {row.id}: {row.reason}'

    def _why_in_several(self) -> str:
        """Why it may be live in several cells, where that is no matter of the instance's own."""
        places = [place for place in map(self.place, self.live) if place is not None]
        if len(set(places)) < len(places):
            several = '' if len(places) == 2 else ' two of'
            return f',{several} which have one database'
        numbers = {self.rows[cell].id for cell in self.live}
        if len(numbers) > 1:
            return ''
        return f', as row {min(numbers)} of each: they may have one database'

    def _untrue(self, mapping: db_api.Row) -> Iterator[tuple[Kind, str, str]]:
        truth, home = self.truth, self.home
        if self.named is None:
            yield Kind.NO_CELL, home, 'mapped to no cell'
        elif self.named != home:
            yield Kind.WRONG_CELL, home, f'mapped to {self.identity(self.named)}'
        owners = [
            f'{name} is {mapping[name]}, in its cell {truth[name]}'
            for name in ('project_id', 'user_id')
            if name in truth and truth[name] != mapping[name]
        ]
        if owners:
            yield Kind.WRONG_OWNER, home, '; '.join(owners)
        if bool(mapping['queued_for_delete']) != truth['queued_for_delete']:
            told = (
                'queued for delete, and not' if mapping['queued_for_delete'] else 'not queued, and'
            )
            yield Kind.STALE_QUEUED_FOR_DELETE, home, f'{told} deleted'


# What is told by the cell that has the instance.
_REPAIRABLE = (
    Kind.WRONG_CELL,
    Kind.NO_CELL,
    Kind.WRONG_OWNER,
    Kind.STALE_QUEUED_FOR_DELETE,
)
_NO_TIME = datetime.timedelta()
# What of a mapping Nova writes, where such a thing is in flight.
_WRITTEN = {Kind.NO_CELL: 'cell_uuid', Kind.STALE_QUEUED_FOR_DELETE: 'queued_for_delete'}


def _misread(mapping: db_api.Row) -> str:
    """What of a mapping is no text of its database's encoding; empty where all is."""
    return '; '.join(
        f'{name}, {rows.shown(value)}, is not in the encoding of its database'
        for name, value in mapping.items()
        if name in _TEXTS and value is not None and not rows.is_text(rows.text_of(value))
    )


_TEXTS = ('instance_uuid', 'cell_uuid', 'project_id', 'user_id')
