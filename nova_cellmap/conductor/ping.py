# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's own question whether a server answers, where it is to be answered.

Tools ask it of every service of a cloud alike, where ``[DEFAULT] rpc_ping_enabled`` is set.
oslo.messaging reads that option from the process' global configuration, which the conductor does
not use, and its endpoint would take whatever arguments come: so this is ours.
"""

from typing import Any

from oslo_config import cfg
import oslo_messaging
from oslo_messaging import opts as messaging_opts

from nova_cellmap.conf import registration

METHOD = 'oslo_rpc_server_ping'


class Ping:
    """The RPC endpoint that answers it."""

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def oslo_rpc_server_ping(self, context: Any, **arguments: Any) -> str:
        """Answer, as oslo.messaging's own endpoint does."""
        return 'pong'


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[DEFAULT] rpc_ping_enabled``, as oslo.messaging has it."""
    for group, options in messaging_opts.list_opts():
        if group is None:
            found = [option for option in options if option.dest == _OPTION]
            registration.register(conf, found, None)


_OPTION = 'rpc_ping_enabled'
