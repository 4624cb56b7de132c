# SPDX-License-Identifier: Apache-2.0
"""Nova's options and ours on one configuration, whichever were registered first."""

import pathlib

import fixtures

from nova_cellmap.tests import base
from nova_cellmap.tests.beside_nova import apart

_OURS = """
from oslo_config import cfg
from nova_cellmap import conf as ours
ours.register_opts(cfg.CONF)
"""
_NOVAS = """
import nova.conf
"""
_CHECK = """
import nova_cellmap
from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.db import migration

nova.conf.CONF(['--config-file', FILE], project='nova')
nova_cellmap.configure(nova.conf.CONF)
migration.db_sync()
ctxt = context.get_admin_context()
assert list(objects.CellMappingList.get_all(ctxt)) == []
assert nova.conf.CONF.api_database.max_pool_size == 3
# What Nova relies on is as it was.
assert nova.conf.CONF.transport_url == 'rabbit://'
print('each found its own')
"""


class Options(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = folder / 'nova.conf'
        file.write_text(
            f'[api_database]\nconnection = sqlite:///{folder}/mapping\nmax_pool_size = 3\n'
        )
        self.named = f'FILE = {str(file)!r}'

    def test_ours_first(self) -> None:
        apart.run(self, self.named, _OURS, _NOVAS, _CHECK)

    def test_novas_first(self) -> None:
        apart.run(self, self.named, _NOVAS, _OURS, _CHECK)

    def test_ours_only_when_it_is_bound(self) -> None:
        apart.run(self, self.named, _NOVAS, _CHECK)
