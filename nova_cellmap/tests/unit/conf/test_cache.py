# SPDX-License-Identifier: Apache-2.0
"""The ``[cache]`` group."""

from unittest import mock

from oslo_config import cfg

from nova_cellmap.conf import cache
from nova_cellmap.tests import base


class Cache(base.TestCase):
    def test_the_options_are_those_of_the_library(self) -> None:
        made = cfg.ConfigOpts()
        cache.register_opts(made)
        made([])
        self.assertIs(False, made.cache.enabled)
        self.assertIn('memcache_servers', made.cache)

    def test_without_the_library_it_can_still_be_asked_for(self) -> None:
        made = cfg.ConfigOpts()
        with mock.patch.dict('sys.modules', {'oslo_cache': None}):
            cache.register_opts(made)
        made([])
        self.assertIs(False, made.cache.enabled)
        self.assertNotIn('memcache_servers', made.cache)
