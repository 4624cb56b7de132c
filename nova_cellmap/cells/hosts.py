# SPDX-License-Identifier: Apache-2.0
"""Which compute hosts a cell has, by its ``services`` and ``compute_nodes``."""

from collections.abc import Collection, Iterator, Mapping, Sequence
import dataclasses
import datetime
import logging
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.cells import rows
from nova_cellmap.cells.database import Reader
from nova_cellmap.cells.nova_table import NovaTable
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)

_SERVICE: Mapping[str, Any] = {
    'id': sa.BigInteger(),
    **dict.fromkeys(('host', 'binary'), sa.Text()),
    'deleted': sa.Integer(),
    # A service writes updated_at whenever it says that it is up; last_seen_up since Liberty.
    **dict.fromkeys(('created_at', 'updated_at', 'last_seen_up'), sa.DateTime()),
}
_NODE: Mapping[str, Any] = {
    'id': sa.BigInteger(),
    'host': sa.Text(),
    'deleted': sa.Integer(),
    'created_at': sa.DateTime(),
}
_NEEDED = ('id', 'host', 'deleted')
_COMPUTE = 'nova-compute'
_PAGE = 1000
# More rows than these no cell has: Nova's own limit is some thousands of hosts.
_MOST_ROWS = 1_000_000
# How many hosts a statement is given at a time.
_CHUNK = 500
_SPELLINGS = 4


@dataclasses.dataclass
class Host:
    """What a cell has of a host that is not deleted.

    ``services`` and ``nodes`` are how many compute services and compute nodes (one, or those of a
    bare metal or VMware service) it has. ``made_at`` is when the last of these came, ``seen_at``
    when a service said the last time that it was up, both in UTC, as far as they are known.
    """

    name: str
    services: int = 0
    nodes: int = 0
    made_at: datetime.datetime | None = None
    seen_at: datetime.datetime | None = None


def key_of(host: str) -> str:
    """What tells a host from others.

    MariaDB and MySQL take upper and lower case for the same in these columns, and so does Nova
    there. Nothing is to be made of such a difference elsewhere either.
    """
    return host.lower()


class Hosts:
    """The hosts of a cell.

    :raises: CellUnreachable; NotACellDatabase where the tables are not there
    """

    def __init__(self, reader: Reader, cell: CellMapping) -> None:
        self._reader = reader
        self._cell = cell
        self._services = _table(reader, cell, 'services', _SERVICE, (*_NEEDED, 'binary'))
        self._nodes = _table(reader, cell, 'compute_nodes', _NODE)

    def all(self) -> dict[str, Host]:
        """Each, by its key."""
        found: dict[str, Host] = {}
        is_compute = self._services['binary'] == _COMPUTE
        names = ('id', 'host', 'created_at', 'updated_at', 'last_seen_up')
        for _, name, made, *seen in self._rows(self._services, names, is_compute):
            if host := self._host(found, name, made):
                host.services += 1
                host.seen_at = rows.last_time(host.seen_at, *seen)
        for _, name, made in self._rows(self._nodes, ('id', 'host', 'created_at')):
            if host := self._host(found, name, made):
                host.nodes += 1
        return found

    def _host(self, found: dict[str, Host], name: Any, made: Any) -> Host | None:
        """The host of a row, which is among those that were found from now on."""
        name = rows.text_of(name)
        if name is None:
            # Of a node that a release before Kilo has made.
            return None
        if reason := rows.owner_problem('host', name, required=True):
            LOG.warning('A host of cell %s is passed over: %s', self._cell.identity, reason)
            return None
        host = found.setdefault(key_of(name), Host(name))
        host.made_at = rows.last_time(host.made_at, made)
        return host

    def _rows(
        self, table: NovaTable, names: Sequence[str], *where: sa.ColumnElement[bool]
    ) -> Iterator[Sequence[Any]]:
        """The rows that are not deleted."""
        last_id = number = 0
        while page := self._after(last_id, table, names, where):
            ids = [row[0] for row in page]
            number += len(page)
            are_numbers = all(type(each) is int for each in ids)
            if not are_numbers or ids != sorted({last_id, *ids})[1:] or number > _MOST_ROWS:
                raise exception.CellUnreachable(
                    cell=self._cell.identity,
                    reason=f'the ids of its {table.name} are not in order, or too many',
                )
            yield from page
            last_id = ids[-1]

    def _after(
        self,
        last_id: int,
        table: NovaTable,
        names: Sequence[str],
        where: Sequence[sa.ColumnElement[bool]],
    ) -> Sequence[Sequence[Any]]:
        by_id = table['id']

        def narrow(query: sa.Select[Any]) -> sa.Select[Any]:
            there = query.where(table['deleted'] == 0, by_id > last_id, *where)
            return there.order_by(by_id).limit(_PAGE)

        plain = narrow(table.select(names, is_plain=True))
        return self._reader.rows(narrow(table.select(names)), _PAGE, plain=plain)


def with_instances(reader: Reader, cell: CellMapping, names: Collection[str]) -> set[str]:
    """The keys of those of these hosts that have instances in a cell which are not deleted.

    :raises: CellUnreachable, NotACellDatabase
    """
    table = _table(reader, cell, 'instances', _NODE)
    host, wanted = table['host'], sorted(names)
    found: set[str] = set()
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        # Where upper and lower case are the same to the server there may be more.
        most = _SPELLINGS * len(some)
        query = sa.select(host).where(host.in_(some), table['deleted'] == 0).distinct()
        answer = reader.rows(query.limit(most), most)
        found |= {key_of(str(rows.text_of(name))) for (name,) in answer}
    return found


def _table(
    reader: Reader,
    cell: CellMapping,
    name: str,
    types: Mapping[str, Any],
    needed: Sequence[str] = _NEEDED,
) -> NovaTable:
    there = reader.column_names(name)
    return NovaTable(name, there, types, needed, identity=cell.identity)
