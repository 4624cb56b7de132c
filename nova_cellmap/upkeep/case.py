# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the mapping of an instance, by what the cells have of it."""

from collections.abc import Callable, Collection, Iterator, Mapping
import dataclasses
import enum
import functools
from typing import Any

from nova_cellmap.cells import rows
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.db import api as db_api


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


@dataclasses.dataclass
class Case:
    """An instance, its mapping if there is one, and its rows in cells.

    :param mapping: the row of its mapping
    :param rows: by cell, its rows that are not hidden
    :param unread: the cells that could not be read: the instance may be there as well
    :param identity: what a person calls a cell, by its uuid
    :param invalid: by cell, its rows that cannot be read for what they are
    :param is_building: whether Nova is building it, and is going to map it itself
    """

    uuid: str
    mapping: db_api.Row | None
    rows: Mapping[str, Instance]
    unread: Collection[str] = ()
    identity: Callable[[str], str] = str
    invalid: Mapping[str, Collection[InvalidRow]] = dataclasses.field(default_factory=dict)
    is_building: bool = False

    @functools.cached_property
    def problems(self) -> list[Problem]:
        return [problem for problem in self._differences if not self._is_in_flight(problem)]

    @property
    def is_in_flight(self) -> bool:
        """Whether something differs that Nova is at work on: it is no problem."""
        return any(map(self._is_in_flight, self._differences))

    def has(self, *kinds: Kind) -> bool:
        return any(problem.kind in kinds for problem in self.problems)

    @property
    def named(self) -> str | None:
        """The cell that the mapping names."""
        return None if self.mapping is None else self.mapping['cell_uuid']

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
        return self.named if self.named in self.rows else min(self.rows)  # type: ignore[return-value]

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
        left = {_WRITTEN[each.kind] for each in self._differences if self._is_in_flight(each)}
        return {name: value for name, value in self.truth.items() if name not in left}

    @functools.cached_property
    def _differences(self) -> list[Problem]:
        return [Problem(self.uuid, *found) for found in self._found()]

    def _is_in_flight(self, problem: Problem) -> bool:
        match problem.kind:
            case Kind.MISSING | Kind.NO_CELL:
                # If it is mapped by another, Nova's conductor cannot do it, and logs an error.
                return self.is_building
            case Kind.STALE_QUEUED_FOR_DELETE:
                # One of the two is written first.
                return self.instance.is_changing
            case _:
                return False

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
            yield Kind.DUPLICATE, cell or self.home, f'live in {cells}'
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
