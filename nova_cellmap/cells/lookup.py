# SPDX-License-Identifier: Apache-2.0
"""Finding an instance across the boundary."""

import dataclasses
from typing import Any

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instances
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.instance_mapping import InstanceMapping


@dataclasses.dataclass
class Found:
    """A mapping, and the instance as its cell knows it.

    ``instance`` is None where the mapping has no cell yet, or where the cell has the
    instance no more; ``details`` are what a person wants to see of it.
    """

    mapping: InstanceMapping
    instance: Instance | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


def find_instance(context: RequestContext, mapping: InstanceMapping) -> Found:
    """Look an instance up in the cell that it is mapped to.

    A hidden row is the other half of a move: the instance is not there.

    :raises: CellUnreachable, NotACellDatabase; InvalidCellRow where the cell's row of the
        instance cannot be one
    """
    cell = mapping.cell_mapping
    if cell is None:
        return Found(mapping)
    with database.connect(cell) as reader:
        instances = Instances(reader, cell)
        instance = _row(instances, cell, mapping.instance_uuid)
        if instance is None or instance.hidden:
            return Found(mapping)
        return Found(mapping, instance, instances.describe(instance))


def row_in(cell: CellMapping, uuid: str) -> Instance | None:
    """The row of an instance in a cell, also where it is deleted or hidden.

    :raises: as :func:`find_instance`
    """
    with database.connect(cell) as reader:
        return _row(Instances(reader, cell), cell, uuid)


def _row(instances: Instances, cell: CellMapping, uuid: str) -> Instance | None:
    found = instances.get(uuid)
    if not isinstance(found, InvalidRow):
        return found
    if found.instance is None:
        raise exception.InvalidCellRow(
            cell=cell.identity, number=found.id, uuid=found.shown, reason=found.reason
        )
    # Whose it is, the mapping knows.
    return found.instance
