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
    the names of what each row has besides. That is the fields that mappings got later: a new one
    finds its place here by itself, and so do lists of earlier releases, which lack it, and of
    later ones, which have what is not known here.

A list that this cannot say, since a mapping has changes or fields that are not set,
travels object by object.

Nothing here knows a class: the caller that unpacks makes objects of the values.
"""

from collections.abc import Iterator, Sequence
import datetime
import functools
from typing import Any

from oslo_versionedobjects import base
from oslo_versionedobjects import fields as library_fields

from nova_cellmap.objects import storage

# What each row has had from the first: released readers count on these, in this order.
_FIRST = ('id', 'instance_uuid', 'cell_uuid', 'project_id', 'user_id', 'queued_for_delete')
_TIMES = ('created_at', 'updated_at')
_USER_ID = storage.attribute('user_id')
_first = storage.getter(*(name for name in _FIRST if name != 'user_id'), *_TIMES, 'cell_mapping')


def pack(mappings: Sequence[base.VersionedObject]) -> dict[str, Any] | None:
    """The mappings as rows, or None where rows cannot say what they are."""
    cls: Any = type(mappings[0]) if mappings else None
    later = _later_fields(cls) if mappings else {}
    if later is None:
        return None
    places: dict[int, int | None] = {}
    cells: list[dict[str, Any]] = []
    owners: dict[tuple[str, str | None], int] = {}
    rows: list[list[Any]] = []
    for mapping in mappings:
        stored = vars(mapping)
        if storage.changed(mapping):
            return None
        try:
            number, uuid, _, project_id, queued, *times, cell = _first(stored)
        except KeyError:
            return None
        created, updated = map(_seconds, times)
        if created == _UNSAYABLE or updated == _UNSAYABLE:
            return None
        if id(cell) not in places:
            if cell is not None and cell.obj_what_changed():
                return None
            places[id(cell)] = None if cell is None else _place(cells, cell)
        owner = owners.setdefault((project_id, stored.get(_USER_ID)), len(owners))
        row = [number, uuid, places[id(cell)], owner, int(queued), created, updated]
        for name, field in later.items():
            value = storage.value(mapping, name)
            if value is None and field.nullable and not storage.is_set(mapping, name):
                return None
            row.append(None if value is None else field.to_primitive(mapping, name, value))
        rows.append(row)
    packed = {'cells': cells, 'owners': [list(owner) for owner in owners], 'rows': rows}
    return {**packed, 'columns': list(later)} if later else packed


def unpack(packed: dict[str, Any], cls: Any) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """The rows that :func:`pack` made.

    :param cls: what is made of them
    :returns: of each the position of its cell in ``packed['cells']`` (None: in no cell), and the
        values of the fields of *cls* that it has, but for ``cell_uuid`` and ``cell_mapping``
    """
    owners = packed['owners']
    came = packed.get('columns', [])
    known = names(packed, cls)
    for number, uuid, place, owner, queued, created, updated, *more in packed['rows']:
        project_id, user_id = owners[owner]
        values = {
            'id': number,
            'instance_uuid': uuid,
            'project_id': project_id,
            'user_id': user_id,
            'queued_for_delete': queued,
            'created_at': _time(created),
            'updated_at': _time(updated),
        }
        if came:
            for name, value in zip(came, more, strict=True):
                if name in known:
                    values[name] = _value(cls.fields[name], name, value)
        yield place, values


def names(packed: dict[str, Any], cls: Any) -> set[str]:
    """The fields of *cls* that a row has, but for ``cell_mapping``."""
    later = (_later_fields(cls) or {}).keys()
    return {*_FIRST, *_TIMES, *(later & packed.get('columns', ()))}


# Classes are Any: mypy takes the hash of one for that of its objects.
@functools.cache
def _later_fields(cls: Any) -> dict[str, Any] | None:
    """The fields that mappings got later; None where rows have no place for one."""
    first = {*_FIRST, *_TIMES, 'cell_mapping'}
    later = {name: field for name, field in cls.fields.items() if name not in first}
    # An object in an object has a version, and a context.
    objects = (library_fields.ObjectField, library_fields.ListOfObjectsField)
    return None if any(isinstance(field, objects) for field in later.values()) else later


def _value(field: Any, name: str, primitive: Any) -> Any:
    return None if primitive is None else field.from_primitive(None, name, primitive)


def _place(cells: list[dict[str, Any]], cell: base.VersionedObject) -> int:
    primitive = cell.obj_to_primitive()
    if primitive not in cells:
        cells.append(primitive)
    return cells.index(primitive)


_UNSAYABLE = -1


def _seconds(time: datetime.datetime | None) -> int | None:
    """Since 1970; ``_UNSAYABLE`` where they are not whole."""
    if time is None:
        return None
    return _UNSAYABLE if time.microsecond else int(time.timestamp())


def _time(seconds: int | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
