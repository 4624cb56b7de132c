# SPDX-License-Identifier: Apache-2.0
"""Where the conductor is called, and what the two sides agree on."""

import re

from oslo_config import cfg
import oslo_messaging

from nova_cellmap import exception
from nova_cellmap import rpc

NAMESPACE = 'nova_cellmap'
# Of the conductor's own methods; the objects have versions of their own.
VERSION = '1.0'

# Queues are named 'topic.host:worker', in at most 255 bytes; '*' and '#' there mean any name.
_NAME = re.compile(r'[A-Za-z0-9_.:-]{1,100}')

# The modules whose exceptions cross as themselves.
_EXCEPTIONS = ['nova_cellmap.exception', 'oslo_versionedobjects.exception']


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """A connection to the message queue of ``[DEFAULT] transport_url``.

    :raises: InvalidURL
    """
    return rpc.transport(conf, exceptions=_EXCEPTIONS)


def worker_name(host: str, worker: int) -> str:
    """The name on the message queue of a worker of the conductor of that name."""
    return f'{host}:{worker}'


def target(
    conf: cfg.ConfigOpts, server: str | None = None, worker: int | None = None
) -> oslo_messaging.Target:
    """Whom a client calls, or what a *server* of that name, or a worker of it, listens to.

    :raises: InvalidOption where the names are none of queues
    """
    for option, name in (('topic', conf.conductor.topic), ('host', server)):
        if name is not None and not _NAME.fullmatch(name):
            raise exception.InvalidOption(
                option=f'[conductor] {option}',
                reason=f'{name!r} is no name of a queue: it has 1 to 100 letters, digits and '
                "any of '_', '-', '.' and ':'",
            )
    return oslo_messaging.Target(
        exchange='nova_cellmap',
        topic=conf.conductor.topic,
        namespace=None if server else NAMESPACE,
        version=None if server else VERSION,
        server=server if server is None or worker is None else worker_name(server, worker),
    )
