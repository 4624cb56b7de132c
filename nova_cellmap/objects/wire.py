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
    and its owner, queued_for_delete, created_at and updated_at (seconds since 1970);
``columns``
    the names of what each row has besides. That is what mappings have since: it finds its
    place here by itself, and so do lists of before, which lack it, and of later, which have
    what is not known here.

A list that this cannot say, since a mapping has changes or fields that are not set,
travels object by object.
"""

from collections.abc import Sequence
import datetime
import functools
from typing import TYPE_CHECKING, Any

from oslo_versionedobjects import fields as library_fields

from nova_cellmap.db import api as db_api
from nova_cellmap.objects import primitives

if TYPE_CHECKING:
    from nova_cellmap.context import RequestContext
    from nova_cellmap.objects.cell_mapping import CellMapping
    from nova_cellmap.objects.instance_mapping import InstanceMapping

# What each row has had from the first: released readers count on these, in this order.
_FIRST = ('id', 'instance_uuid', 'cell_uuid', 'project_id', 'user_id', 'queued_for_delete')
_TIMES = ('created_at', 'updated_at')
# The attributes behind the fields that are set then; the properties take ten times as long.
_ATTRIBUTES = frozenset(
    primitives.STORAGE + name for name in (*_FIRST, *_TIMES, 'cell_mapping') if name != 'user_id'
)


def pack(mappings: 'Sequence[InstanceMapping]') -> dict[str, Any] | None:
    """The mappings as rows, or None where rows cannot say what they are."""
    cells: dict[int, int | None] = {}
    sent: list[dict[str, Any]] = []
    owners: dict[tuple[str, str | None], int] = {}
    rows: list[list[Any]] = []
    # Any: its hash is a class', and mypy takes it for the object's.
    cls: Any = type(mappings[0]) if mappings else None
    columns = _columns(cls) if mappings else {}
    if columns is None:
        return None
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
            cells[id(cell)] = None if cell is None else _position(sent, cell)
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
        for name, field in columns.items():
            if not mapping.obj_attr_is_set(name) and field.nullable:
                return None
            value = fields.get(primitives.STORAGE + name)
            rows[-1].append(None if value is None else field.to_primitive(mapping, name, value))
    packed = {'cells': sent, 'owners': [list(owner) for owner in owners], 'rows': rows}
    return {**packed, 'columns': list(columns)} if columns else packed


def unpack(
    context: 'RequestContext',
    packed: dict[str, Any],
    cls: Any,
    version: str | None,
) -> 'list[InstanceMapping]':
    """The mappings that :func:`pack` made rows of; those of one cell share its object.

    :param cls: what to make of them
    :param version: the version that they had where they were packed; None: that of *cls*
    """
    from nova_cellmap.objects.cell_mapping import CellMapping

    cells = [CellMapping.obj_from_primitive(cell, context) for cell in packed['cells']]
    owners = packed['owners']
    came: list[str] = packed.get('columns', [])
    later = _columns(cls) or {}
    # All that a row of the database has: the usual case, and the short way.
    is_whole = not came and not later
    mappings = []
    for number, uuid, cell_place, owner, queued, created, updated, *more in packed['rows']:
        project_id, user_id = owners[owner]
        cell = None if cell_place is None else cells[cell_place]
        values = {
            'id': number,
            'instance_uuid': uuid,
            'cell_uuid': None if cell is None else cell.uuid,
            'project_id': project_id,
            'user_id': user_id,
            'queued_for_delete': queued,
            'created_at': _time(created),
            'updated_at': _time(updated),
        }
        if is_whole:
            mapping = cls.from_columns(context, db_api.columns_of(values), cell)
        else:
            for name, value in zip(came, more, strict=True):
                if name in later:
                    values[name] = _read(later[name], name, value)
            mapping = cls.from_values(context, {**values, 'cell_mapping': cell})
        if version is not None and version != cls.VERSION:
            mapping.VERSION = version
        mappings.append(mapping)
    return mappings


@functools.cache
def _columns(cls: Any) -> dict[str, Any] | None:
    """The fields that mappings have since; None where rows have no place for one."""
    known = {*_FIRST, *_TIMES, 'cell_mapping'}
    since = {name: field for name, field in cls.fields.items() if name not in known}
    # An object in an object has a version, and a context.
    holds = (library_fields.ObjectField, library_fields.ListOfObjectsField)
    return None if any(isinstance(field, holds) for field in since.values()) else since


def _read(field: Any, name: str, value: Any) -> Any:
    return None if value is None else field.from_primitive(None, name, value)


def _position(sent: list[dict[str, Any]], cell: 'CellMapping') -> int:
    primitive = cell.obj_to_primitive()
    if primitive not in sent:
        sent.append(primitive)
    return sent.index(primitive)


def _seconds(time: datetime.datetime | None) -> int | None:
    """Since 1970; -1 where that cannot be said in whole seconds."""
    if time is None:
        return None
    return -1 if time.microsecond else int(time.timestamp())


def _time(seconds: int | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
