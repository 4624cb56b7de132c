# SPDX-License-Identifier: Apache-2.0
"""Cells whose databases have no instances at all while mappings say otherwise.

Such a database may be a new one, or another one than is meant, since a cell keeps the rows of
deleted instances for long.
"""

from collections.abc import Iterable

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep.streams import CellReader

# Of so many an audit may still make nothing.
FEW = 100


def has_more_mappings(context: RequestContext, cell: CellMapping, than: int) -> bool:
    """Whether more than so many mappings to a cell are not queued for delete."""
    found = db_api.instance_mapping_get_all(
        context, cell_uuid=cell.uuid, include_queued_for_delete=False, limit=than + 1
    )
    return len(found) > than


def check(context: RequestContext, readers: Iterable[CellReader]) -> None:
    """Check that no cell is empty to which there are more than a few such mappings.

    A cell that cannot be read is no matter here.

    :raises: PurgeRefused
    """
    for reader, answer in [(reader, reader.is_empty()) for reader in readers]:
        try:
            is_empty = answer.result()
        except exception.CellError:
            continue
        if is_empty and has_more_mappings(context, reader.cell, FEW):
            raise exception.PurgeRefused(cell=reader.cell.identity, few=FEW)
