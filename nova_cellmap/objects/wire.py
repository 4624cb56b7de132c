# SPDX-License-Identifier: Apache-2.0
"""How a list of mappings travels: as rows, and each of its cells once.

Object by object, 10,000 mappings repeat their field names 10,000 times, and their
cells with the cells' passwords as often. As rows they are a tenth of that:

``cells``
    the primitives of the distinct cells;
``owners``
    the distinct pairs of project and user (None: the user is not set);
``rows``
    for each mapping its id, instance_uuid, the positions of its cell (None: in no cell)
    and its owner, queued_for_delete, created_at and updated_at (seconds since 1970).

A list that this cannot say, since a mapping has changes or fields that are not set,
travels object by object.
"""

from collections.abc import Sequence
import datetime
from typing import TYPE_CHECKING, Any

from nova_cellmap.objects import fast

if TYPE_CHECKING:
    from nova_cellmap.context import RequestContext
    from nova_cellmap.objects.cell_mapping import CellMapping
    from nova_cellmap.objects.instance_mapping import InstanceMapping

# The attributes behind the fields that a row has; the properties take ten times as long.
_ATTRIBUTES = frozenset(
    fast.STORAGE + name
    for name in (
        'id',
        'instance_uuid',
        'cell_uuid',
        'cell_mapping',
        'project_id',
        'queued_for_delete',
        'created_at',
        'updated_at',
    )
)


def pack(mappings: 'Sequence[InstanceMapping]') -> dict[str, Any] | None:
    """The mappings as rows, or None where rows cannot say what they are."""
    cells: dict[int, int | None] = {}
    primitives: list[dict[str, Any]] = []
    owners: dict[tuple[str, str | None], int] = {}
    rows = []
    for mapping in mappings:
        fields = vars(mapping)
        if fields.get('_changed_fields') or not fields.keys() >= _ATTRIBUTES:
            return None
        times = [_seconds(fields['_obj_created_at']), _seconds(fields['_obj_updated_at'])]
        if -1 in times:
            return None
        cell = fields['_obj_cell_mapping']
        if id(cell) not in cells:
            if cell is not None and cell.obj_what_changed():
                return None
            cells[id(cell)] = None if cell is None else _position(primitives, cell)
        owner = (fields['_obj_project_id'], fields.get('_obj_user_id'))
        rows.append(
            [
                fields['_obj_id'],
                fields['_obj_instance_uuid'],
                cells[id(cell)],
                owners.setdefault(owner, len(owners)),
                int(fields['_obj_queued_for_delete']),
                *times,
            ]
        )
    return {'cells': primitives, 'owners': [list(owner) for owner in owners], 'rows': rows}


def unpack(context: 'RequestContext', packed: dict[str, Any]) -> 'list[InstanceMapping]':
    """The mappings that :func:`pack` made rows of; those of one cell share its object."""
    from nova_cellmap.objects.cell_mapping import CellMapping
    from nova_cellmap.objects.instance_mapping import InstanceMapping

    cells = [CellMapping.obj_from_primitive(cell, context) for cell in packed['cells']]
    owners = packed['owners']
    mappings = []
    for number, instance_uuid, cell, owner, queued, created, updated in packed['rows']:
        project_id, user_id = owners[owner]
        row = {
            'id': number,
            'instance_uuid': instance_uuid,
            'cell_uuid': None if cell is None else cells[cell].uuid,
            'project_id': project_id,
            'user_id': user_id,
            'queued_for_delete': queued,
            'created_at': _time(created),
            'updated_at': _time(updated),
        }
        mappings.append(
            InstanceMapping.from_row(context, row, None if cell is None else cells[cell])
        )
    return mappings


def _position(primitives: list[dict[str, Any]], cell: 'CellMapping') -> int:
    primitive = cell.obj_to_primitive()
    if primitive not in primitives:
        primitives.append(primitive)
    return primitives.index(primitive)


def _seconds(time: datetime.datetime | None) -> int | None:
    """Since 1970; -1 where that cannot be said in whole seconds."""
    if time is None:
        return None
    return -1 if time.microsecond else int(time.timestamp())


def _time(seconds: int | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
