# SPDX-License-Identifier: Apache-2.0
"""The ``[database]`` group: the cell database that others are named after."""

import copy

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'database',
    title='The base of cell database URLs',
    help='The URL that templates in cell mappings are filled from.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'connection',
        secret=True,
        help="""The SQLAlchemy URL of a cell database. It fills the fields of templates such as
``mysql+pymysql://{username}:{password}@{hostname}:{port}/nova_cell1`` in the
``database_connection`` of cells, is what ``cell_v2 create_cell`` uses where no
``--database_connection`` is given, and, with ``_cell0`` after the database's
name, is the database of ``cell_v2 map_cell0``.""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    # A copy: a group keeps its options' values, and oslo.config would share them between
    # two configurations.
    conf.register_group(copy.deepcopy(GROUP))
    conf.register_opts(OPTS, group=GROUP.name)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
