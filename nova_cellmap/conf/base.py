# SPDX-License-Identifier: Apache-2.0
"""The ``[DEFAULT]`` group."""

from oslo_config import cfg
import oslo_messaging

from nova_cellmap.conf import registration

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'state_path',
        default='.',
        help="""The folder where nova_cellmap keeps its files: the SQLite database, unless
``[api_database] connection`` names another, and the journal of what its commands change in the
mapping. The working folder by default.""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    registration.register(conf, OPTS, None)
    # oslo.messaging owns transport_url and registers it itself.
    oslo_messaging.TransportURL(conf)


def transport_url(conf: cfg.ConfigOpts) -> str | None:
    """The URL of the message queue, which templates and new cells are filled from.

    None where nobody set it: oslo.messaging's default, rabbit:// with no host, is a queue that
    nobody named. It stays the default of the option, which may be a service's own.
    """
    default = (cfg.Locations.opt_default, cfg.Locations.set_default)
    location = conf.get_location('transport_url')
    if location is not None and location.location in default:
        return None
    url: str | None = conf.transport_url
    return url


def list_opts() -> dict[str, list[cfg.Opt]]:
    return {'DEFAULT': OPTS}
