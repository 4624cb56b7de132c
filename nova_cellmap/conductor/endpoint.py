# SPDX-License-Identifier: Apache-2.0
"""The process that tells monitoring how the conductor is: ``/health`` and ``/metrics``.

It is apart from the workers, so that neither can hold the other up, and one for all of them.
"""

import http
import json

import cotyledon
from oslo_config import cfg
from oslo_log import log as logging

import nova_cellmap
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import checks
from nova_cellmap.conductor import logs
from nova_cellmap.conductor import web
from nova_cellmap.conductor.board import Board
from nova_cellmap.conductor.health import Health
from nova_cellmap.conductor.health import Status
from nova_cellmap.conductor.metrics import CONTENT_TYPE
from nova_cellmap.conductor.metrics import Metrics
from nova_cellmap.db import engine as db_engine

LOG = logging.getLogger(__name__)


class Endpoint(cotyledon.Service):
    """The process. There is one where ``[conductor] health`` is set."""

    name = 'nova-cellmap-conductor-health'

    def __init__(
        self, worker_id: cotyledon.types.WorkerId, conf: cfg.ConfigOpts, board: Board
    ) -> None:
        super().__init__(worker_id)
        self._conf = conf
        logs.bound()
        owner = nova_cellmap.configure(conf)
        self._caller = conductor_caller.Caller(conf)
        queue = checks.Queue(self._caller, conf.conductor.host, board)
        self._health = Health(
            {
                'database': lambda: checks.database(owner.part(db_engine.Engines)),
                'queue': queue.check,
                'workers': lambda: checks.workers(board),
            }
        )
        self._metrics = Metrics(board, self._health)
        self._server = web.Server({'/health': self._show_health, '/metrics': self._show_metrics})

    def run(self) -> None:
        """Serve until :meth:`terminate` is called."""
        self._health.start()
        where = web.address(self._conf.conductor.health)
        LOG.info('Monitoring is answered at %s port %d', where.host, where.port)
        self._server.run(where)

    def terminate(self) -> None:
        """Answer nobody any more."""
        self._server.stop()
        self._health.stop()
        self._caller.close()

    def reload(self) -> None:
        """Reopen the log files, after a rotation."""
        logs.reopen(self._conf)
        logs.bound()

    def _show_health(self) -> web.Answer:
        shown = self._health.as_json()
        is_failure = shown['status'] is Status.FAIL
        return web.Answer(
            http.HTTPStatus.SERVICE_UNAVAILABLE if is_failure else http.HTTPStatus.OK,
            'application/health+json',
            f'{json.dumps(shown, indent=2)}\n'.encode(),
        )

    def _show_metrics(self) -> web.Answer:
        return web.Answer(http.HTTPStatus.OK, CONTENT_TYPE, self._metrics.exposition())
