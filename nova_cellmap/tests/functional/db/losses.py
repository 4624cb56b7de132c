# SPDX-License-Identifier: Apache-2.0
"""Tests between which and their server a connection is lost, with a commit or without one."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import itertools
import sys
from typing import Any
from unittest import mock

import nova_cellmap
from nova_cellmap.db import api
from nova_cellmap.db import attempts
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

# The change is lost with its commit, or only the answer is.
LOSSES = (Mode.CUT_COMMIT, Mode.CUT_COMMITTED)


class Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        self.use_proxy()
        self.cells = [self.make_cell(name=f'cell{number}') for number in (1, 2)]

    def use_proxy(self, parameters: str = '', **options: Any) -> None:
        # All of it unencrypted: the proxy looks for COMMITs.
        url = self.proxy.url(self.database.url)
        url += parameters and ('&' if '?' in url else '?') + parameters
        self.conf = self.database.conf(connection=url, **options)
        nova_cellmap.configure(self.conf)

    def each_loss(self) -> Iterator[Mode]:
        """Lose the next commit, in each way."""
        for mode in LOSSES:
            commits = self.proxy.commits
            self.proxy.act(mode, times=1)
            yield mode
            self.assertGreater(self.proxy.commits, commits)
            self.assertIs(Mode.PASS, self.proxy.mode)

    @contextlib.contextmanager
    def meanwhile(self, call: Callable[[], Any]) -> Iterator[None]:
        """What somebody else does between the loss and the next try."""

        def pauses(owner: Any) -> Iterator[float]:
            call()
            while True:
                yield 0.01

        with mock.patch.object(attempts, 'pauses', pauses):
            yield

    def found(self, *uuids: str) -> Sequence[api.Row]:
        return api.instance_mapping_get_by_instance_uuids(self.context, uuids)

    def values(self, **values: Any) -> dict[str, Any]:
        return {'instance_uuid': base.new_uuid(), 'project_id': 'p', **values}


def on_servers(*suites: Any) -> None:
    """Have the tests of classes run on each kind of server, with our own tables and Nova's.

    ``_Blocks`` becomes ``BlocksMariadb``, ``BlocksNovaMariadb`` ...
    """
    for suite, schema, kind in itertools.product(
        suites, ('own', 'nova'), ('mariadb', 'postgresql')
    ):
        of_schema = 'Nova' if schema == 'nova' else ''
        name = f'{suite.__name__.strip("_")}{of_schema}{kind.capitalize()}'
        members = {'kind': kind, 'schema': schema, '__module__': suite.__module__}
        setattr(sys.modules[suite.__module__], name, type(suite)(name, (suite,), members))
