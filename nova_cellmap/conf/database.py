# SPDX-License-Identifier: Apache-2.0
"""The ``[database]`` group: the cell database that others are named after."""

from oslo_config import cfg

from nova_cellmap.conf import registration

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
    registration.register(conf, OPTS, GROUP)


def list_opts() -> dict[cfg.OptGroup, list[cfg.Opt]]:
    return {GROUP: OPTS}
