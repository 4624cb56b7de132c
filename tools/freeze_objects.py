#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write what this release puts on the wire into files, for the tests of all later ones.

    python tools/freeze_objects.py nova_cellmap/tests/unit/objects/released/VERSION

Of each object, whole and in parts, in each version that it can be taken down to. Run it once, with
the code of the release. What is there is never written again.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
import sys
from typing import Any

from nova_cellmap import objects

MADE = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
CHANGED = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
UUID = '7d1e8c9a-5b0f-4a3e-9c55-{:012}'
CELL = {
    'id': 7,
    'uuid': UUID.format(7),
    'name': 'Zelle ☁',
    'transport_url': 'rabbit://nova:pass%40word@mq1:5672,nova:other@mq2:5672/vhost',
    'database_connection': 'mysql+pymysql://nova:pass%40word@db1/nova_cell1?charset=utf8mb4',
    'disabled': True,
    'created_at': MADE,
    'updated_at': CHANGED,
}
MAPPING = {
    'id': 2**40,
    'instance_uuid': UUID.format(1),
    'project_id': 'Projekt ☁',
    'user_id': 'user',
    'queued_for_delete': True,
    'created_at': MADE,
    'updated_at': CHANGED,
}


def main(folder: str) -> int:
    into = Path(folder)
    if into.exists():
        print(f'{into} is there: what a release wrote is never written again', file=sys.stderr)
        return 1
    into.mkdir(parents=True)
    for name, made in (
        ('CellMapping', cells()),
        ('InstanceMapping', mappings()),
        ('CellMappingList', lists_of_cells()),
        ('InstanceMappingList', lists_of_mappings()),
    ):
        frozen = [
            frozen_as(obj, case, version)
            for case, obj in made.items()
            for version in versions(type(obj))
        ]
        text = json.dumps(frozen, indent=1, sort_keys=True, ensure_ascii=False)
        (into / f'{name}.json').write_text(f'{text}\n', encoding='utf-8')
    return 0


def cells() -> dict[str, Any]:
    changed = stored(objects.CellMapping(**CELL))
    changed.name, changed.disabled = 'another', False
    return {
        'whole': stored(objects.CellMapping(**CELL)),
        'without what may be missing': stored(
            objects.CellMapping(
                **{**CELL, 'name': None, 'disabled': False, 'created_at': None, 'updated_at': None}
            )
        ),
        'of URLs that are none': stored(
            objects.CellMapping(
                **{**CELL, 'transport_url': 'none:///', 'database_connection': 'none:///'}
            )
        ),
        'changed': changed,
        'new': objects.CellMapping(
            transport_url='none:///', database_connection='none:///', name='new'
        ),
        'in part': stored(objects.CellMapping(uuid=UUID.format(7), name='part')),
    }


def mappings() -> dict[str, Any]:
    cell = stored(objects.CellMapping(**CELL))
    other = stored(objects.CellMapping(**{**CELL, 'id': 8, 'uuid': UUID.format(8), 'name': 'b'}))
    moved = whole(cell)
    moved.cell_mapping = other
    unmapped = whole(cell)
    unmapped.cell_mapping = None
    renamed = whole(cell)
    renamed.project_id, renamed.queued_for_delete = 'another', False
    return {
        'whole': whole(cell),
        'in no cell': whole(None, queued_for_delete=False, updated_at=None),
        'of no user': without('user_id', whole(cell)),
        'of no loaded cell': stored(objects.InstanceMapping(**MAPPING, cell_uuid=UUID.format(7))),
        'moved': moved,
        'unmapped': unmapped,
        'changed': renamed,
        'new': objects.InstanceMapping(
            instance_uuid=UUID.format(2), project_id='p', user_id='u', cell_uuid=UUID.format(7)
        ),
        'in part': stored(objects.InstanceMapping(instance_uuid=UUID.format(2), project_id='p')),
    }


def lists_of_cells() -> dict[str, Any]:
    made = cells()
    return {
        'some': stored(objects.CellMappingList(objects=list(made.values()))),
        'none': stored(objects.CellMappingList(objects=[])),
    }


def lists_of_mappings() -> dict[str, Any]:
    one = stored(objects.CellMapping(**CELL))
    two = stored(objects.CellMapping(**{**CELL, 'id': 8, 'uuid': UUID.format(8), 'name': 'b'}))
    rows = [
        whole(one, id=1, instance_uuid=UUID.format(1)),
        whole(two, id=2, instance_uuid=UUID.format(2), updated_at=None),
        whole(None, id=3, instance_uuid=UUID.format(3), queued_for_delete=False),
        whole(one, id=4, instance_uuid=UUID.format(4), project_id='q'),
        without('user_id', whole(one, id=5, instance_uuid=UUID.format(5))),
    ]
    fraction = whole(one, created_at=MADE.replace(microsecond=1))
    return {
        'rows': stored(objects.InstanceMappingList(objects=rows)),
        'objects': stored(objects.InstanceMappingList(objects=list(mappings().values()))),
        'fractions of a second': stored(objects.InstanceMappingList(objects=[fraction])),
        'none': stored(objects.InstanceMappingList(objects=[])),
    }


def whole(cell: Any, **values: Any) -> Any:
    return stored(objects.InstanceMapping(**{**MAPPING, **values}, cell_mapping=cell))


def without(name: str, obj: Any) -> Any:
    delattr(obj, name)
    return stored(obj)


def stored(obj: Any) -> Any:
    obj.obj_reset_changes()
    return obj


def versions(cls: Any) -> list[str]:
    return [f'1.{minor}' for minor in range(int(cls.VERSION.split('.')[1]) + 1)]


def frozen_as(obj: Any, case: str, version: str) -> dict[str, Any]:
    """An object as readers of a version get it, with all that it holds in versions of then."""
    primitive = obj.obj_to_primitive(version)
    text = json.dumps(primitive, default=sorted)
    return {
        'case': case,
        'version': version,
        'primitive': json.loads(text),
        # What it is, by its own account.
        'said': said(obj),
    }


def said(obj: Any) -> Any:
    if 'objects' in obj.fields:
        return [said(member) for member in obj.objects]
    values = {
        name: shown(getattr(obj, name)) for name in sorted(obj.fields) if obj.obj_attr_is_set(name)
    }
    return {'values': values, 'changes': sorted(obj.obj_what_changed())}


def shown(value: Any) -> Any:
    if hasattr(value, 'fields'):
        return said(value)
    return value.isoformat() if isinstance(value, datetime.datetime) else value


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
