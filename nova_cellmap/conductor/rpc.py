# SPDX-License-Identifier: Apache-2.0
"""Where the conductor is called, and what the two sides agree on."""

from oslo_config import cfg
import oslo_messaging

from nova_cellmap import rpc

NAMESPACE = 'nova_cellmap'
# Of the conductor's own methods; the objects have versions of their own.
VERSION = '1.0'

# The modules whose exceptions cross as themselves.
_EXCEPTIONS = ['nova_cellmap.exception', 'oslo_versionedobjects.exception']


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """A connection to the message queue of ``[DEFAULT] transport_url``.

    :raises: InvalidURL
    """
    return rpc.transport(conf, exceptions=_EXCEPTIONS)


def target(conf: cfg.ConfigOpts, server: str | None = None) -> oslo_messaging.Target:
    """Whom a client calls, or what a *server* of that name listens to."""
    return oslo_messaging.Target(
        exchange='nova_cellmap',
        topic=conf.conductor.topic,
        namespace=None if server else NAMESPACE,
        version=None if server else VERSION,
        server=server,
    )
