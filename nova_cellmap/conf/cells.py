# SPDX-License-Identifier: Apache-2.0
"""The ``[cells]`` group: how the cells' own databases and message queues are used."""

from oslo_config import cfg

from nova_cellmap.conf import registration

GROUP = cfg.OptGroup(
    'cells',
    title='The connections to cells, calls to many of them, and what is cached',
    help='How target_cell and the scatter_gather functions of nova_cellmap.cells work, and what '
    'is cached of the mapping.',
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'max_open_cells',
        default=100,
        min=1,
        help="""To how many cells connections are kept open. Those that were used longest ago are
closed first; those that are in use are not. Give at least the number of cells.""",
    ),
    cfg.IntOpt(
        'idle_timeout',
        default=600,
        min=1,
        help='For how many seconds the connections to a cell that nobody uses are kept open.',
    ),
    cfg.IntOpt(
        'max_pool_size',
        default=5,
        min=1,
        help="How many connections to a cell's database are kept open between their uses.",
    ),
    cfg.IntOpt(
        'max_overflow',
        default=50,
        min=0,
        help='How many more there may be while all of them are in use.',
    ),
    cfg.IntOpt(
        'connect_timeout',
        default=10,
        min=1,
        help="""For how many seconds a cell's database is waited for while connecting. A URL that
says ``connect_timeout`` itself has precedence.""",
    ),
    cfg.IntOpt(
        'read_timeout',
        default=60,
        min=1,
        help="""For how many seconds a statement in a cell's database may take, with its answer.
Then the connection is given up. A URL that says ``read_timeout`` itself has precedence.""",
    ),
    cfg.ListOpt(
        'more_url_parameters',
        default=[],
        help="""Parameters of the URLs of cells' databases that are let through to the driver,
whatever their values, besides those that the documentation lists. Anyone who can store a
cell's URL chooses the values for every process that connects to the cell: with
``read_default_file`` those send passwords of theirs to its server.""",
    ),
    cfg.FloatOpt(
        'timeout',
        default=60,
        min=0,
        help='For how many seconds the scatter_gather functions wait for each cell.',
    ),
    cfg.IntOpt(
        'max_workers',
        default=200,
        min=1,
        help="""How many threads of a process may be at work in cells at the same time, those that
nobody waits for any longer included. Further calls wait for one.""",
    ),
    cfg.IntOpt(
        'max_workers_per_cell',
        default=10,
        min=1,
        help="""How many of them may be in the same cell, so that one that does not answer leaves
threads for the others.""",
    ),
    cfg.IntOpt(
        'failures_before_skip',
        default=3,
        min=0,
        help="""After how many failures in a row a cell is skipped; 0: never. A failure is a cell
that cannot be reached or does not answer in time.""",
    ),
    cfg.IntOpt(
        'skip_time',
        default=30,
        min=1,
        help='For how many seconds it is skipped. Then one call tries it.',
    ),
    cfg.FloatOpt(
        'cache_time',
        default=10,
        min=0,
        help="""For how many seconds a process may go on with what it knows of a cell, such as its
URLs, when it looks mappings up or lists them; 0: not at all. What it changes itself it knows
at once, and which cell an instance is in is never remembered here.""",
    ),
    cfg.BoolOpt(
        'caching',
        default=True,
        help="""Whether lookups of instances are cached in memcached where ``[cache] enabled`` is
set. False where that is meant for others who share the configuration. Where this is not set, a
``[cache] backend`` that cannot be used is left to them; with true, it is an error.""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    registration.register(conf, OPTS, GROUP)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
