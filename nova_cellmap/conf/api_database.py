# SPDX-License-Identifier: Apache-2.0
"""The ``[api_database]`` group: the database that holds the mapping."""

import copy

from oslo_config import cfg
from oslo_db import options as oslo_db_options

from nova_cellmap.conf import registration

GROUP = cfg.OptGroup(
    'api_database',
    title='The mapping database',
    help="""The database that holds the mapping: tables of our own, or those of Nova's own API
database. It takes the options that oslo.db gives every OpenStack service.

``slave_connection`` serves reads only where ``synchronous_reader`` is false: a
replica may lag, and stale answers have to be opted into.""",
)

# Copies: the defaults of the library's own option objects are shared by every
# other user of oslo.db in the process.
OPTS: list[cfg.Opt] = copy.deepcopy(oslo_db_options.database_opts)
cfg.set_defaults(
    OPTS,
    connection='sqlite:///$state_path/nova_cellmap.sqlite',
    # oslo.db waits 100 s for a database that is down before it says so, and then
    # minutes for every query: nobody at a prompt should. Queries are tried again for
    # some seconds; a service that starts before its database may set max_retries.
    max_retries=0,
    db_max_retries=5,
    db_max_retry_interval=2,
)
OPTS += [
    cfg.StrOpt(
        'schema',
        default='auto',
        choices=[
            ('auto', 'whichever of the two is in the database'),
            ('own', '``cell_mapping`` and ``instance_mapping``, which ``db sync`` makes'),
            (
                'nova',
                "``cell_mappings`` and ``instance_mappings`` of Nova's API database, which "
                '``nova-manage api_db sync`` makes',
            ),
        ],
        help="""Whose tables hold the mapping. ``auto`` finds out, and is an error where both are
in one database. Of Nova's tables only rows are read and written: never is a
table made or changed there.""",
    ),
    cfg.IntOpt(
        'connect_timeout',
        default=10,
        min=1,
        help="""For how many seconds a connection to the mapping database is waited for. A URL
that says ``connect_timeout`` itself has precedence.""",
    ),
    cfg.IntOpt(
        'read_timeout',
        default=30,
        min=1,
        help="""For how many seconds the mapping database may work on a statement, or keep silent,
or take no data. After that the statement is given up. A URL that says
``read_timeout`` or ``write_timeout`` itself has precedence.""",
    ),
    cfg.IntOpt(
        'call_timeout',
        default=60,
        min=1,
        help="""After how many seconds a call to the mapping database is not tried again, however
many tries ``db_max_retries`` leaves. The last try may take ``connect_timeout``
or ``read_timeout`` longer.""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    registration.register(conf, OPTS, GROUP)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
