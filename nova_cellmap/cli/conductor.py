# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-conductor."""

import pathlib
import sys
import warnings

# Before oslo.messaging is imported, and with it eventlet, which we do not use.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402

from nova_cellmap import conf  # noqa: E402
from nova_cellmap import exception  # noqa: E402
from nova_cellmap import log_lines  # noqa: E402
from nova_cellmap import private_files  # noqa: E402
from nova_cellmap.cli import streams  # noqa: E402
from nova_cellmap.cli.statuses import Status  # noqa: E402
from nova_cellmap.conf import base as base_conf  # noqa: E402
from nova_cellmap.text import escaped  # noqa: E402

_DESCRIPTION = """Answer the remotable methods of services that have no database.

It listens on the message queue of [DEFAULT] transport_url and works on the database of
[api_database] connection. SIGTERM ends it once the calls in flight are answered, SIGHUP
reopens its log files.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the conductor until it is told to end; answer the exit status."""
    with streams.prepared():
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        except SystemExit as exit:
            # argparse leaves with 2.
            return Status.USAGE if exit.code == 2 else int(exit.code or 0)
        except streams.OutputError as error:
            streams.discard_output()
            return _fail(str(error), Status.UNAVAILABLE)


def _run(argv: list[str]) -> int:
    configuration = cfg.ConfigOpts()
    conf.register_opts(configuration)
    logging.register_options(configuration)
    try:
        conf.read(configuration, argv, description=_DESCRIPTION)
    except (cfg.Error, OSError) as error:
        return _fail(f'The configuration cannot be read: {error}')
    try:
        _set_up_logging(configuration)
    except OSError as error:
        return _fail(f'--log-file {error.filename}: {error.strerror}')
    if not base_conf.transport_url(configuration):
        return _fail('Set [DEFAULT] transport_url: there is no message queue to listen on.')

    from nova_cellmap.conductor import service

    try:
        service.serve(configuration)
    except exception.InvalidInput as error:
        return _fail(str(error))
    except exception.CellMapError as error:
        return _fail(str(error), Status.UNAVAILABLE)
    return 0


def _set_up_logging(configuration: cfg.ConfigOpts) -> None:
    """:raises: ``OSError`` where there is no place for the log"""
    if configuration.log_file:
        path = pathlib.Path(configuration.log_dir or '') / configuration.log_file
        private_files.check_log(str(path))
    logging.setup(configuration, 'nova_cellmap')
    log_lines.escape()
    log_lines.guard()


def _fail(message: str, status: int = Status.USAGE) -> int:
    print(f'nova-cellmap-conductor: {escaped(message)}', file=sys.stderr)
    return status


if __name__ == '__main__':
    sys.exit(main())
