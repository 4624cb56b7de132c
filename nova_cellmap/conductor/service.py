# SPDX-License-Identifier: Apache-2.0
"""The processes of the conductor."""

import gc
import os
import threading
import time
from typing import Any

import cotyledon
from oslo_config import cfg
from oslo_log import log as logging
from oslo_messaging.rpc.server import RPCServer

import nova_cellmap
from nova_cellmap import rpc as messaging
from nova_cellmap import runtime
from nova_cellmap.conductor import admission
from nova_cellmap.conductor import cells
from nova_cellmap.conductor import dispatcher
from nova_cellmap.conductor import endpoint
from nova_cellmap.conductor import logs
from nova_cellmap.conductor import manager
from nova_cellmap.conductor import message
from nova_cellmap.conductor import ping
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor import systemd
from nova_cellmap.conductor import web
from nova_cellmap.conductor.board import BEAT
from nova_cellmap.conductor.board import Board
from nova_cellmap.conductor.board import State
from nova_cellmap.conductor.board import Tally

LOG = logging.getLogger(__name__)

# In seconds: between the tries of a message queue that lets nobody in.
_FIRST_PAUSE = 1
_LAST_PAUSE = 60


class Worker(cotyledon.Service):
    """A process that answers calls, several at a time in threads."""

    name = 'nova-cellmap-conductor'

    def __init__(
        self, worker_id: cotyledon.types.WorkerId, conf: cfg.ConfigOpts, board: Board
    ) -> None:
        super().__init__(worker_id)
        self._conf = conf
        logs.bound()
        # Nothing is connected before the fork.
        self._runtime = nova_cellmap.configure(conf)
        self._tally = board.tallies[worker_id]
        self._server = server(conf, self._runtime, self._tally)
        self._tally.start(conf.executor_thread_pool_size)
        self._started = False
        self._ended = threading.Event()

    def run(self) -> None:
        threading.Thread(target=self._beat, name='nova-cellmap-beat', daemon=True).start()
        self._start()
        if not self._started:
            return
        self._tally.become(State.ANSWERING)
        # What is there now stays: Python's collector need not look through it again, which
        # takes as long as ten calls and happens amid one of them.
        gc.collect()
        gc.freeze()
        LOG.info('Worker %d answers calls', self.worker_id)

    def _start(self) -> None:
        """Listen for calls; where the message queue lets nobody in, ask again now and then."""
        pause = _FIRST_PAUSE
        while not self._ended.is_set():
            try:
                self._server.start()
            except Exception as error:
                refused = messaging.refusal(error, self._conf.transport_url)
                if refused is None:
                    raise
                LOG.error('%s Trying again in %d seconds.', refused, pause)
            else:
                self._started = True
                return
            self._ended.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            # One that has failed cannot be started again.
            self._server.transport.cleanup()
            self._server = server(self._conf, self._runtime, self._tally)

    def _beat(self) -> None:
        while True:
            self._tally.beat()
            time.sleep(BEAT)

    def terminate(self) -> None:
        """Take no more calls, finish those in flight."""
        self._tally.become(State.ENDING)
        if not self._started:
            # There was no message queue yet; stop() would wait until there is.
            self._ended.set()
            return
        self._server.stop()
        _leave_to_others(self._server)
        self._server.wait()
        LOG.info('Worker %d has finished its calls', self.worker_id)

    def reload(self) -> None:
        """Reopen the log files, after a rotation."""
        logs.reopen(self._conf)
        logs.bound()


def server(
    conf: cfg.ConfigOpts, owner: runtime.Runtime | None = None, tally: Tally | None = None
) -> Any:
    """What listens for calls and answers them; it has to be started.

    From here on every message that comes to the process is bounded.

    :param owner: whose mapping database it works on; None: that of the default runtime
    :param tally: of which worker it is, and where its calls are counted; None: of the first
    :raises: InvalidURL, InvalidOption
    """
    options = conf.conductor
    _set_defaults(conf)
    room = admission.Room(_ROOM * message.MAX_BODY)
    message.bound(message.Limits(message.MAX_BODY, room))
    policy = cells.Policy(options.cells, writable=options.cells_writable)
    tally = tally or Board(1).tallies[0]
    return RPCServer(
        rpc.transport(conf),
        rpc.target(conf, server=options.host, worker=tally.worker),
        dispatcher.Dispatcher(
            manager.ConductorManager(options.page_size, policy),
            manager.Serializer(owner),
            options.page_size,
            tally=tally,
            answers_pings=conf.rpc_ping_enabled,
        ),
    )


# So many of the longest calls are worked on at once.
_ROOM = 4
# Of oslo.messaging's options. A reply queue that is not there holds up a thread: so many seconds
# let a client come back that lost its connection, and no more. What a worker has not taken
# others can.
_DEFAULTS = {'kombu_missing_consumer_retry_timeout': 1, 'rabbit_qos_prefetch_count': 64}


def _set_defaults(conf: cfg.ConfigOpts) -> None:
    messaging.register_opts(conf)
    ping.register_opts(conf)
    for name, value in _DEFAULTS.items():
        conf.set_default(name, value, group='oslo_messaging_rabbit')


def _leave_to_others(stopped: Any) -> None:
    """Have the message queue give calls to other workers from here on.

    oslo.messaging takes them until the calls in flight are finished, and drops them then.
    """
    try:
        # There is no other way to the consumers; the thread that used them has ended.
        connection = stopped.listener._poll_style_listener.conn
        with connection._connection_lock:
            for consumer, tag in connection._consumers.items():
                consumer.callback = _put_back
                consumer.cancel(tag)
    except Exception as error:
        LOG.warning('The message queue was not told that the worker ends: %s', error)


def _put_back(message: Any) -> None:
    message.requeue()


def serve(conf: cfg.ConfigOpts) -> None:
    """Run the workers until SIGTERM or SIGINT.

    :raises: InvalidURL where the configuration names no database or no message queue;
        InvalidOption
    """
    # Here, and not by workers that would die and be started again for ever.
    nova_cellmap.configure(conf)
    _set_defaults(conf)
    rpc.target(conf, server=conf.conductor.host)
    rpc.transport(conf).cleanup()
    if conf.conductor.health is not None:
        web.check(web.address(conf.conductor.health))
    _run(conf, Board(conf.conductor.workers))


def _run(conf: cfg.ConfigOpts, board: Board) -> None:
    # cotyledon would tell systemd that we are ready before anything is.
    watch = systemd.Watch(systemd.Systemd(os.environ), board)
    processes = cotyledon.ServiceManager(
        graceful_shutdown_timeout=conf.conductor.graceful_shutdown_timeout
    )
    processes.register_hooks(on_reload=lambda: logs.reopen(conf), on_terminate=watch.end)
    processes.add(Worker, workers=conf.conductor.workers, args=(conf, board))
    if conf.conductor.health is not None:
        processes.add(endpoint.Endpoint, args=(conf, board))
    watch.start()
    processes.run()
