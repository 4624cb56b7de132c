# SPDX-License-Identifier: Apache-2.0
"""Who asks."""

from typing import TYPE_CHECKING, Any

from oslo_context import context
from oslo_db.sqlalchemy import enginefacade

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@enginefacade.transaction_context_provider
class RequestContext(context.RequestContext):
    """A request: its id, user and project, and the transaction it is in.

    An ``oslo_context.context.RequestContext``, so that logs and RPC know it.
    Every function of :mod:`nova_cellmap.db.api` takes one first. Threads may
    share a context: each has its own transaction.
    """

    if TYPE_CHECKING:
        connection: Connection
        transaction_ctx: Any


def get_admin_context(**kwargs: Any) -> RequestContext:
    """A context for work that no user asked for, such as a command's."""
    return RequestContext(is_admin=True, overwrite=False, **kwargs)
