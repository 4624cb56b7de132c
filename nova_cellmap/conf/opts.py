# SPDX-License-Identifier: Apache-2.0
"""What oslo-config-generator asks for: the options, group by group."""

from oslo_config import cfg

from nova_cellmap.conf import api_database
from nova_cellmap.conf import base
from nova_cellmap.conf import cells
from nova_cellmap.conf import conductor
from nova_cellmap.conf import database


def list_opts() -> list[tuple[str | cfg.OptGroup, list[cfg.Opt]]]:
    return [
        *base.list_opts().items(),
        *api_database.list_opts().items(),
        *database.list_opts().items(),
        *cells.list_opts().items(),
        *conductor.list_opts().items(),
    ]
