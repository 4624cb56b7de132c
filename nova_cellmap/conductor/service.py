# SPDX-License-Identifier: Apache-2.0
"""The processes of the conductor."""

import cotyledon
from oslo_config import cfg
from oslo_log import log as logging
import oslo_messaging

import nova_cellmap
from nova_cellmap.conductor import manager
from nova_cellmap.conductor import rpc
from nova_cellmap.objects import base

LOG = logging.getLogger(__name__)


class Worker(cotyledon.Service):
    """A process that answers calls, several at a time in threads."""

    name = 'nova-cellmap-conductor'

    def __init__(self, worker_id: cotyledon.types.WorkerId, conf: cfg.ConfigOpts) -> None:
        super().__init__(worker_id)
        self._conf = conf
        # Nothing is connected before the fork.
        nova_cellmap.configure(conf)
        self._server = oslo_messaging.get_rpc_server(
            rpc.transport(conf),
            rpc.target(conf, server=conf.conductor.host),
            [manager.ConductorManager(conf.conductor.page_size)],
            serializer=base.CellMapObjectSerializer(),
        )

    def run(self) -> None:
        self._server.start()
        LOG.info('Worker %d answers calls', self.worker_id)

    def terminate(self) -> None:
        """Take no more calls, finish those in flight."""
        self._server.stop()
        self._server.wait()
        LOG.info('Worker %d has finished its calls', self.worker_id)

    def reload(self) -> None:
        """Reopen the log files, after a rotation."""
        logging.setup(self._conf, 'nova_cellmap')


def serve(conf: cfg.ConfigOpts) -> None:
    """Run the workers until SIGTERM or SIGINT."""
    processes = cotyledon.ServiceManager(
        graceful_shutdown_timeout=conf.conductor.graceful_shutdown_timeout
    )
    processes.register_hooks(on_reload=lambda: logging.setup(conf, 'nova_cellmap'))
    processes.add(Worker, workers=conf.conductor.workers, args=(conf,))
    processes.run()
