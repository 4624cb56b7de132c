# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-conductor."""

import sys
import warnings

# Before oslo.messaging is imported, and with it eventlet, which we do not use.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402

from nova_cellmap import conf  # noqa: E402
from nova_cellmap import exception  # noqa: E402
from nova_cellmap import version  # noqa: E402
from nova_cellmap.conf import base as base_conf  # noqa: E402

_DESCRIPTION = """Answer the remotable methods of services that have no database.

It listens on the message queue of [DEFAULT] transport_url and works on the database of
[api_database] connection. SIGTERM ends it once the calls in flight are answered, SIGHUP
reopens its log files.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the conductor until it is told to end; answer the exit status."""
    configuration = cfg.ConfigOpts()
    conf.register_opts(configuration)
    logging.register_options(configuration)
    try:
        configuration(
            sys.argv[1:] if argv is None else argv,
            project='nova-cellmap',
            version=version.__version__,
            description=_DESCRIPTION,
        )
    except (cfg.Error, OSError) as error:
        return _fail(f'The configuration cannot be read: {error}')
    logging.setup(configuration, 'nova_cellmap')
    if not base_conf.transport_url(configuration):
        return _fail('Set [DEFAULT] transport_url: there is no message queue to listen on.')

    from nova_cellmap.conductor import service

    try:
        service.serve(configuration)
    except exception.CellMapError as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f'nova-cellmap-conductor: {message}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
