# SPDX-License-Identifier: Apache-2.0
"""Which cell hosts are mapped to, in Nova's own tables.

There are some thousands of them, and each is a row of ``host_mappings``.
"""

import sqlalchemy as sa

from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.transaction import reads_own

# So many are read at a time.
_PAGE = 5000


@reads_own
def host_mapping_get_all(context: Connected) -> list[Row] | None:
    """All mapped hosts; None where the tables are our own, which have none.

    :returns: rows of ``host``, ``cell_uuid`` (None where there is no such cell), ``created_at``
        and ``updated_at``, in the order of their creation
    """
    if context.schema.host_mapping is None:
        return None
    found: list[Row] = []
    last_id = 0
    while page := context.connection.execute(_page(context, last_id)).mappings().all():
        last_id = page[-1]['id']
        found += [{name: row[name] for name in row if name != 'id'} for row in page]
    return found


def _page(context: Connected, last_id: int) -> sa.Select[tuple[object, ...]]:
    hosts, cells = context.schema.host_mapping, context.schema.cell_mapping
    assert hosts is not None
    query = sa.select(
        hosts.c.id,
        hosts.c.host,
        cells.c.uuid.label('cell_uuid'),
        hosts.c.created_at,
        hosts.c.updated_at,
    ).select_from(hosts.outerjoin(cells, cells.c.id == hosts.c.cell_id))
    return query.where(hosts.c.id > last_id).order_by(hosts.c.id).limit(_PAGE)
