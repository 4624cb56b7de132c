# SPDX-License-Identifier: Apache-2.0
"""The ``[conductor]`` group: the remotable methods' far side."""

import socket

from oslo_config import cfg

from nova_cellmap.conf import registration

GROUP = cfg.OptGroup(
    'conductor',
    title='The conductor',
    help='How services without a database reach it through nova-cellmap-conductor.',
)

# The values of [conductor] cells.
FULL = 'full'
WITHOUT_URLS = 'without_urls'
NONE = 'none'

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'topic',
        default='nova-cellmap-conductor',
        help='The topic on the message queue; that of a conductor and its clients is the same.',
    ),
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<the name of the machine>',
        help="""The name that the conductor of this machine has on the message queue; those of its
workers are that name, a colon and a number. It need not be one that can be looked up.""",
    ),
    cfg.IntOpt(
        'workers',
        default=2,
        min=1,
        help='How many processes answer calls. Each answers several at a time, in threads.',
    ),
    cfg.IntOpt(
        'page_size',
        default=1000,
        min=1,
        help="""The greatest number of objects that one call may name, bring or return. Clients
page on their own; those of older releases are told to where a list would be longer.""",
    ),
    cfg.StrOpt(
        'cells',
        default=WITHOUT_URLS,
        choices=[
            (FULL, 'all of them: templates filled, with the passwords of databases and queues'),
            (WITHOUT_URLS, 'all but database_connection and transport_url'),
            (NONE, 'the uuids that instances are mapped to, and no more'),
        ],
        help="""What clients may read of cells. Anyone who can send to the message queue is a
client. A service that reads cells' databases or calls into their queues needs full.""",
    ),
    cfg.BoolOpt(
        'cells_writable',
        default=False,
        help="""Whether clients may add, change and remove cells. The commands of
nova-cellmap-manage may in any case.""",
    ),
    cfg.StrOpt(
        'health',
        metavar='HOST:PORT',
        sample_default='127.0.0.1:9105',
        help="""Where monitoring asks how the conductor is, by HTTP: /health and /metrics. Nowhere
where this is not set. It asks for no password: give an address that monitoring alone reaches.""",
    ),
    cfg.IntOpt(
        'graceful_shutdown_timeout',
        default=60,
        min=0,
        help='For how many seconds calls in flight may go on after SIGTERM; 0: without end.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    registration.register(conf, OPTS, GROUP)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
