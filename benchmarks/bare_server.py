# SPDX-License-Identifier: Apache-2.0
"""A server of oslo.messaging that answers with what it was given to answer, and does nothing else.

The task comes as JSON on standard input, whose end ends the server.
"""

import json
import logging
import sys
from typing import Any

from oslo_config import cfg
import oslo_messaging


class Endpoint:
    """Takes the calls that the conductor takes."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.target = oslo_messaging.Target(namespace=task['namespace'], version=task['version'])
        self._replies = task['replies']

    def object_class_action_versions(
        self, context: Any, objname: str, objmethod: str, **arguments: Any
    ) -> Any:
        return self._replies[objmethod]


def main() -> None:
    task = json.loads(sys.stdin.readline())
    logging.getLogger().addHandler(logging.NullHandler())
    cfg.CONF([], default_config_files=[])
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=task['transport_url'])
    target = oslo_messaging.Target(topic=task['topic'], server='bare')
    server = oslo_messaging.get_rpc_server(transport, target, [Endpoint(task)])
    server.start()
    print('ready', flush=True)
    sys.stdin.read()
    server.stop()
    server.wait()


if __name__ == '__main__':
    main()
