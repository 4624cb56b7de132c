# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the mapping of a host, by what the cells have of it."""

from collections.abc import Callable, Collection, Iterator, Mapping
import dataclasses
import datetime
import enum
import functools

from nova_cellmap.cells.hosts import Host
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep.age import Patience


class HostKind(enum.StrEnum):
    """What can be wrong."""

    # A cell has the host, and nobody has mapped it: Nova sends no instance there.
    UNMAPPED = 'unmapped'
    # A mapping of a host that no cell has any more.
    STALE = 'stale'
    # Mapped to another cell than the one that has it.
    WRONG_CELL = 'wrong_cell'
    # Only a person can tell which is the one.
    IN_TWO_CELLS = 'in_two_cells'


@dataclasses.dataclass
class HostProblem:
    """Something wrong with the mapping of one host.

    ``cell_uuid`` is the cell that has the host; for a stale mapping the one that it names, which
    may be empty. ``repaired`` says that it is right now.
    """

    host: str
    kind: HostKind
    cell_uuid: str
    detail: str
    repaired: bool = False

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.host

    @property
    def is_removal(self) -> bool:
        """Whether what repairs it removes a mapping."""
        return self.kind is HostKind.STALE


@dataclasses.dataclass
class HostCase:
    """A host, its mapping if there is one, and what cells have of it.

    :param mapping: its row; its ``cell_uuid`` is None where there is no such cell
    :param found: by cell, what that has of it
    :param unread: the cells that could not be read: the host may be there as well
    :param identity: what a person calls a cell, by its uuid
    :param has_instances: whether the cell that the mapping names has instances on the host
    :param is_cell_empty: whether that cell has no host at all: it may be another database
    :param age: how long ago the mapping was written, or the host came, if that is known
    """

    name: str
    mapping: db_api.Row | None
    found: Mapping[str, Host]
    unread: Collection[str] = ()
    identity: Callable[[str], str] = str
    has_instances: bool = False
    is_cell_empty: bool = False
    age: datetime.timedelta | None = None
    patience: Patience = dataclasses.field(default_factory=Patience)

    @functools.cached_property
    def difference(self) -> HostProblem | None:
        """What differs, also where that may be in flight."""
        for kind, cell_uuid, details in self._differences():
            return HostProblem(self.name, kind, cell_uuid, '; '.join(details))
        return None

    @property
    def differs(self) -> bool:
        return next(self._differences(), None) is not None

    @property
    def is_in_flight(self) -> bool:
        """Whether something differs that was changed a moment ago: it is no problem."""
        return self.differs and self.patience.is_young(self.age)

    @property
    def problem(self) -> HostProblem | None:
        return None if self.is_in_flight else self.difference

    @property
    def names(self) -> set[str]:
        """How it is spelled."""
        return {self.name, *(host.name for host in self.found.values())}

    @property
    def named(self) -> str | None:
        """The cell that the mapping names."""
        return None if self.mapping is None else self.mapping['cell_uuid']

    @property
    def home(self) -> str | None:
        """The cell that it is in; None where no cell is, or several are."""
        return next(iter(self.found)) if len(self.found) == 1 else None

    @property
    def is_clear(self) -> bool:
        """Whether it is beyond doubt what the mapping has to be."""
        is_named = self.mapping is None or self.named is not None
        is_gone = not self.found and self.is_cell_empty
        return (
            is_named
            and not is_gone
            and not self.unread
            and not self.has_instances
            and len(self.found) < 2
        )

    def concerns(self, cell_uuid: str) -> bool:
        """Whether it has to do with a cell."""
        return cell_uuid == self.named or cell_uuid in self.found

    def _differences(self) -> Iterator[tuple[HostKind, str, list[str]]]:
        if len(self.found) > 1:
            places = ' and '.join(map(self._place, self.found))
            cell = self.named if self.named in self.found else next(iter(self.found))
            yield HostKind.IN_TWO_CELLS, cell or '', [f'in {places}', *self._named()]
        elif self.named is not None and self.named in self.unread:
            # It may be there.
            return
        elif not self.found:
            if self.mapping is not None and not self.unread:
                yield HostKind.STALE, self.named or '', ['no cell has the host', *self._doubts()]
        elif self.mapping is None:
            [cell] = self.found
            yield HostKind.UNMAPPED, cell, [self._has(cell), *self._doubts()]
        elif self.named != self.home:
            [cell] = self.found
            yield HostKind.WRONG_CELL, cell, [*self._named(), *self._doubts()]

    def _named(self) -> list[str]:
        if self.mapping is None:
            return ['mapped to none']
        return [
            'mapped to a cell that is not there'
            if self.named is None
            else f'mapped to {self.identity(self.named)}'
        ]

    def _doubts(self) -> list[str]:
        """Why it is left as it is, where it has to be."""
        doubts = []
        if self.has_instances and self.named is not None:
            doubts.append(f'{self.identity(self.named)} has instances on it')
        if not self.found and self.is_cell_empty and self.named is not None:
            doubts.append(f'{self.identity(self.named)} has no host at all')
        if self.unread:
            doubts.append('not all cells could be read')
        return doubts

    def _has(self, cell_uuid: str) -> str:
        host = self.found[cell_uuid]
        services = 'a compute service' if host.services else 'no compute service'
        nodes = f'{host.nodes:,} compute node{"" if host.nodes == 1 else "s"}'
        return f'it has {services} and {nodes}'

    def _place(self, cell_uuid: str) -> str:
        seen = self.found[cell_uuid].seen_at
        when = 'never up' if seen is None else f'last up {seen:%Y-%m-%d %H:%M:%S}'
        return f'{self.identity(cell_uuid)}, {when}'
