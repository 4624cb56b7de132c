# SPDX-License-Identifier: Apache-2.0
"""What the tests of the cache share."""

from collections.abc import Callable
import threading
import time
from typing import Any

from oslo_config import cfg
import pymemcache

from nova_cellmap import runtime
from nova_cellmap.db import api
from nova_cellmap.db.caching import cache
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


class Case(base.TestCase):
    """A test with a memcached of its own."""

    arguments: tuple[str, ...] = ()

    def make_conf(self) -> cfg.ConfigOpts:
        self.memcached = self.useFixture(fixtures.Memcached(*self.arguments))
        conf = super().make_conf()
        fixtures.use_cache(conf, self.memcached.address, **self.options())
        return conf

    def options(self) -> dict[str, Any]:
        """More of ``[cache]``."""
        return {'socket_timeout': 5.0}

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='here').uuid

    def make(self, **values: Any) -> str:
        return str(self.make_mapping(cell_uuid=self.cell, **values).instance_uuid)

    def make_cached(self, **values: Any) -> str:
        uuid = self.make(**values)
        self.find(uuid)
        self.until_cached([uuid])
        return uuid

    def find(self, uuid: str) -> api.Row:
        return api.instance_mapping_get_by_instance_uuid(self.context, uuid)

    def project(self, uuid: str) -> str:
        return str(self.find(uuid)['project_id'])

    def change(self, uuid: str, project_id: str = 'new') -> None:
        api.instance_mapping_update(self.context, uuid, {'project_id': project_id})

    def change_unseen(self, uuid: str) -> None:
        """Change a row past the function layer: who finds the old one has it from the cache."""
        update = self.mapping_table.update().where(self.mapping_table.c.instance_uuid == uuid)
        self.execute(update.values(project_id='unseen'))

    def key(self, uuid: str) -> str:
        [key] = self.cache._keys([uuid])
        return key

    @property
    def cache(self) -> cache.Cache:
        current = cache.of(runtime.default())
        assert current is not None
        return current

    def client(self) -> Any:
        return pymemcache.Client(self.memcached.address, default_noreply=False)

    def item(self, uuid: str) -> Any:
        return self.client().get(self.key(uuid))

    def until_cached(self, uuids: list[str]) -> None:
        # A lookup does not wait for memcached to have taken its row.
        self.until(lambda: self.cached_uuids(uuids) == set(uuids))

    def cached_uuids(self, uuids: list[str]) -> set[str]:
        """Those whose rows are in the cache."""
        return {uuid for uuid in uuids if (self.item(uuid) or b'').startswith(b'1')}

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.01)
        self.fail('it did not come to pass')

    def elsewhere(self, call: Callable[[], Any]) -> Any:
        """What another thread has of a call: it is in no transaction of this one's."""
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()
        thread.join(60)
        return answers[0]
