# SPDX-License-Identifier: Apache-2.0
"""Which cell holds this instance?"""

from typing import TYPE_CHECKING

from nova_cellmap.version import __version__

if TYPE_CHECKING:
    from oslo_config import cfg

__all__ = ['__version__', 'configure']


def configure(conf: 'cfg.ConfigOpts') -> None:
    """Bind the process to the databases that *conf* names.

    May be called again, with another configuration or the same: connections of
    the one before are closed.

    :param conf: an ``oslo_config.cfg.ConfigOpts`` with the options of
        :func:`nova_cellmap.conf.register_opts`, such as :func:`nova_cellmap.conf.new` gives
    """
    from nova_cellmap.db import engine

    engine.configure(conf)
