# SPDX-License-Identifier: Apache-2.0
"""Break four mappings in four ways, for the audit to find: for tools/quickstart.

    python break_mapping.py

An instance loses its mapping, one is mapped to another cell than its own, one to another project,
and one that no cell has is mapped. It works on the database that is configured, and writes to no
cell. It needs two cells, one of them with three mappings, and exits with 1 where there are none.
"""

import sys
import uuid
import warnings

# oslo.messaging imports eventlet, which we do not use, and which warns those who run this of
# something that only its developers can change.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

import nova_cellmap  # noqa: E402
from nova_cellmap import conf  # noqa: E402
from nova_cellmap.context import RequestContext  # noqa: E402
from nova_cellmap.context import get_admin_context  # noqa: E402
from nova_cellmap.objects import CellMapping  # noqa: E402
from nova_cellmap.objects import CellMappingList  # noqa: E402
from nova_cellmap.objects import InstanceMapping  # noqa: E402
from nova_cellmap.objects import InstanceMappingList  # noqa: E402

# How many mappings that exist are broken; the fourth one is new.
BROKEN = 3
OTHER_PROJECT = 'another-project'


class TooSmall(Exception):
    """There are not enough cells or mappings to break."""


def main(arguments: list[str]) -> int:
    if arguments:
        print(__doc__, file=sys.stderr)
        return 64
    nova_cellmap.configure(conf.new())
    context = get_admin_context()
    try:
        cell, other, mappings = victims(context)
    except TooSmall as error:
        print(f'break_mapping.py: {error}', file=sys.stderr)
        return 1
    lost, moved, owned = mappings
    lose(lost)
    move(moved, other)
    give_away(owned)
    leave_behind(context, cell)
    return 0


def victims(
    context: RequestContext,
) -> tuple[CellMapping, CellMapping, list[InstanceMapping]]:
    """A cell, another one, and mappings to the first: of the cells that will do, the last."""
    cells = CellMappingList.get_all(context).objects
    if len(cells) < 2:
        raise TooSmall('there are not two cells')
    for number in reversed(range(len(cells))):
        cell = cells[number]
        mappings = InstanceMappingList.get_all(context, cell_uuid=cell.uuid, limit=BROKEN).objects
        if len(mappings) == BROKEN:
            return cell, cells[number - 1], mappings
    raise TooSmall(f'no cell has {BROKEN} mappings')


def lose(mapping: InstanceMapping) -> None:
    mapping.destroy()
    print(f'{mapping.instance_uuid}: its mapping is gone.')


def move(mapping: InstanceMapping, cell: CellMapping) -> None:
    there = name(mapping.cell_mapping)
    mapping.cell_mapping = cell
    mapping.save()
    print(f'{mapping.instance_uuid}: mapped to {name(cell)}, but it is in {there}.')


def give_away(mapping: InstanceMapping) -> None:
    mapping.project_id = OTHER_PROJECT
    mapping.save()
    print(f'{mapping.instance_uuid}: mapped to {OTHER_PROJECT}, not to its own.')


def leave_behind(context: RequestContext, cell: CellMapping) -> None:
    instance = str(uuid.uuid4())
    InstanceMapping(
        context,
        instance_uuid=instance,
        cell_mapping=cell,
        project_id=OTHER_PROJECT,
        user_id='nobody',
    ).create()
    print(f'{instance}: mapped to {name(cell)}, but no cell has it.')


def name(cell: CellMapping) -> str:
    return str(cell.name or cell.uuid)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
