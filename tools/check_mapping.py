# SPDX-License-Identifier: Apache-2.0
"""Compare the mapping with the cells' own SQLite databases, instance by instance.

    python check_mapping.py

Every instance of a cell has to be mapped to it, with its project and its user, but for the hidden
ones; no other may be; and queued_for_delete has to be true exactly for the deleted and the
soft-deleted. It exits with 1 where anything differs.
"""

from collections.abc import Iterator
import contextlib
import sqlite3
import sys
from typing import Any, NamedTuple
import warnings

import sqlalchemy as sa

# oslo.messaging imports eventlet, which we do not use, and which warns those who run this of
# something that only its developers can change.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

import nova_cellmap  # noqa: E402
from nova_cellmap import conf  # noqa: E402
from nova_cellmap.context import RequestContext  # noqa: E402
from nova_cellmap.context import get_admin_context  # noqa: E402
from nova_cellmap.objects import CellMapping  # noqa: E402
from nova_cellmap.objects import CellMappingList  # noqa: E402
from nova_cellmap.objects import InstanceMappingList  # noqa: E402

# How many differences are printed at most.
SHOWN = 10

IN_CELL = """
SELECT uuid, project_id, user_id, deleted != 0 OR vm_state = 'soft-delete', hidden FROM instances
"""


class Owned(NamedTuple):
    """Whose an instance is, and whether it is deleted or soft-deleted."""

    project_id: str
    user_id: str | None
    is_deleted: bool

    def __str__(self) -> str:
        deleted = ' and is deleted' if self.is_deleted else ''
        return f'project {self.project_id}, user {self.user_id}{deleted}'


Instances = dict[str, Owned]


class Cell:
    """A cell: its instances as it knows them, and as they are mapped to it."""

    def __init__(self, context: RequestContext, mapping: CellMapping) -> None:
        self.name = mapping.name or mapping.uuid
        self.database = mapping.database_connection
        rows = list(read(sa.make_url(self.database).database or '', IN_CELL))
        self.count = len(rows)
        self.there: Instances = {
            uuid: Owned(project_id, user_id, bool(is_deleted))
            for uuid, project_id, user_id, is_deleted, hidden in rows
            if not hidden
        }
        self.mapped: Instances = {
            instance.instance_uuid: Owned(
                instance.project_id,
                instance.user_id if 'user_id' in instance else None,
                instance.queued_for_delete,
            )
            for instance in InstanceMappingList.get_all(context, cell_uuid=mapping.uuid)
        }

    def numbers(self) -> list[int]:
        return [
            self.count,
            self.count - len(self.there),
            len(self.mapped),
            deleted(self.there),
            deleted(self.mapped),
        ]

    def differences(self) -> Iterator[str]:
        yield from differences(
            f'in the database of {self.name}', self.there, f'mapped to {self.name}', self.mapped
        )


def main() -> int:
    nova_cellmap.configure(conf.new())
    context = get_admin_context()
    cells = [Cell(context, mapping) for mapping in CellMappingList.get_all(context)]
    headings = ['instances', 'hidden', 'mappings', 'deleted *', 'queued for delete']
    print_table(headings, {cell.name: cell.numbers() for cell in cells})
    print('* or soft-deleted; the hidden ones are left out')
    found = [line for cell in cells for line in cell.differences()]
    print()
    print(f'{len(found)} differences:' if found else 'No difference.')
    for line in found[:SHOWN]:
        print(f'  {line}')
    if len(found) > SHOWN:
        print(f'  and {len(found) - SHOWN} more')
    return 1 if found else 0


def differences(here: str, left: Instances, there: str, right: Instances) -> Iterator[str]:
    for uuid in sorted(left.keys() | right.keys()):
        if uuid not in right:
            yield f'{uuid} is {here}, and not {there}'
        elif uuid not in left:
            yield f'{uuid} is {there}, and not {here}'
        elif left[uuid] != right[uuid]:
            yield f'{uuid} has {left[uuid]} {here}, and {right[uuid]} {there}'


def deleted(instances: Instances) -> int:
    return sum(owned.is_deleted for owned in instances.values())


def read(path: str, query: str) -> Iterator[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield from connection.execute(query)


def print_table(headings: list[str], rows: dict[str, list[int]]) -> None:
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    width = max(map(len, [*rows, 'total']))
    print(' ' * width, *headings, sep='  ')
    for name, numbers in {**rows, 'total': total}.items():
        columns = (f'{n:>{len(heading)}}' for n, heading in zip(numbers, headings, strict=True))
        print(f'{name:<{width}}', *columns, sep='  ')


if __name__ == '__main__':
    sys.exit(main())
