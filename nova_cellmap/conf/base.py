# SPDX-License-Identifier: Apache-2.0
"""The ``[DEFAULT]`` group."""

from oslo_config import cfg
import oslo_messaging

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'state_path',
        default='.',
        help="""The folder where nova_cellmap keeps its files: the SQLite database, unless
``[api_database] connection`` names another. The working folder by default.""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS)
    # oslo.messaging owns transport_url and registers it itself; its URL templates
    # and new cells' queues are filled from it.
    oslo_messaging.TransportURL(conf)
    # Its default, rabbit:// with no host, is a queue that nobody named.
    conf.set_default('transport_url', None)


def list_opts() -> dict[str, list[cfg.Opt]]:
    return {'DEFAULT': OPTS}
