# SPDX-License-Identifier: Apache-2.0
"""The time by a database server's own clock.

Nova's services and ours write times by the clocks of their machines, which are kept by the same
means as a server's; that of the machine on which a command is typed may be any.
"""

import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap.db.connected import Connected
from nova_cellmap.db.transaction import reads


def utc_now(dialect: str) -> sa.ColumnElement[Any]:
    """The time in UTC; SQLite has no clock but the machine's.

    :param dialect: the kind of database, in SQLAlchemy's words
    """
    match dialect:
        case 'postgresql':
            text = "clock_timestamp() AT TIME ZONE 'UTC'"
        case 'sqlite':
            text = "datetime('now')"
        case _:
            text = 'UTC_TIMESTAMP()'
    return sa.literal_column(text)


@reads
def utc_time_get(context: Connected) -> datetime.datetime:
    """The time by the clock of the mapping database's server, naive and in UTC."""
    connection = context.connection
    found = connection.execute(sa.select(utc_now(connection.dialect.name))).scalar_one()
    return datetime.datetime.fromisoformat(str(found))
