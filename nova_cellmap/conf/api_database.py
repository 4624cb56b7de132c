# SPDX-License-Identifier: Apache-2.0
"""The ``[api_database]`` group: the database that holds the mapping."""

import copy

from oslo_config import cfg
from oslo_db import options as oslo_db_options

GROUP = cfg.OptGroup(
    'api_database',
    title='The mapping database',
    help="""The database that holds ``cell_mapping`` and ``instance_mapping``. It takes the
options that oslo.db gives every OpenStack service.

``slave_connection`` serves reads only where ``synchronous_reader`` is false: a
replica may lag, and stale answers have to be opted into.""",
)

# Copies: the defaults of the library's own option objects are shared by every
# other user of oslo.db in the process.
OPTS = copy.deepcopy(oslo_db_options.database_opts)
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


def register_opts(conf: cfg.ConfigOpts) -> None:
    # A copy: a group keeps its options' values, and oslo.config would share them between
    # two configurations.
    conf.register_group(copy.deepcopy(GROUP))
    conf.register_opts(OPTS, group=GROUP.name)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
