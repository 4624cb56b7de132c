# SPDX-License-Identifier: Apache-2.0
"""Whether the servers of the mapping database answer at the moment."""

import sqlalchemy as sa

from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import errors


def ping(engines: db_engine.Engines) -> None:
    """Have the server that is written to answer.

    :raises: DatabaseUnreachable, DatabaseBusy or another DatabaseError
    """
    _ping(engines, engines.own)


def ping_replica(engines: db_engine.Engines) -> None:
    """Have the replica answer, where there is one.

    :raises: as :func:`ping`
    """
    if engines.has_replica:
        _ping(engines, engines.reader)


def _ping(engines: db_engine.Engines, engine: sa.Engine) -> None:
    try:
        _ask(engine)
    except errors.DRIVER as error:
        raise errors.of_mapping(error, engines.shown_url) from None


def _ask(engine: sa.Engine) -> None:
    try:
        _select(engine)
    except errors.DRIVER as error:
        if errors.kind_of(error) is not errors.Kind.LOST:
            raise
        # It was a pooled connection, perhaps: that one is lost says nothing of the server.
        _select(engine)


def _select(engine: sa.Engine) -> None:
    with errors.connect(engine) as connection:
        connection.exec_driver_sql('SELECT 1').scalar_one()
