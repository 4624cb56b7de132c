# SPDX-License-Identifier: Apache-2.0
"""Serialize lists of mappings with Nova's own code, and tell how long they became.

Runs in Nova's environment; the rest of the benchmarks cannot be imported here.
"""

import datetime
import json
import sys
from typing import Any

# The rest of Nova through it, for eventlet patches what is imported once it is.
from nova.cmd import manage
from oslo_serialization import jsonutils


def main() -> None:
    task = json.load(sys.stdin)
    manage.objects.register_all()
    # Or it would ask for a policy file.
    request = manage.context.RequestContext(is_admin=True)
    cells = {
        each['uuid']: make(manage.objects.CellMapping, request, each) for each in task['cells']
    }
    sizes = [size_of(request, cells, mappings) for mappings in task['lists']]
    print(json.dumps({'sizes': sizes}))


def size_of(request: Any, cells: dict[str, Any], mappings: list[dict[str, Any]]) -> int:
    whole = manage.objects.InstanceMappingList(request)
    for each in mappings:
        each['cell_mapping'] = cells[each.pop('cell_uuid')]
    whole.objects = [make(manage.objects.InstanceMapping, request, each) for each in mappings]
    whole.obj_reset_changes(recursive=True)
    serializer = manage.objects.base.NovaObjectSerializer()
    return len(jsonutils.dumps(serializer.serialize_entity(request, whole)).encode())


def make(cls: Any, request: Any, values: dict[str, Any]) -> Any:
    """An object as it comes from Nova's database."""
    made = cls(request)
    for name, value in values.items():
        is_time = name.endswith('_at') and value is not None
        setattr(made, name, datetime.datetime.fromisoformat(value) if is_time else value)
    made.obj_reset_changes()
    return made


if __name__ == '__main__':
    main()
