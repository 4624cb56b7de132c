# SPDX-License-Identifier: Apache-2.0
"""The cache of lookups between several processes, while memcached and writers are killed."""

from oslo_config import cfg

from nova_cellmap.db import api
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db.caching import cache_race

# Few, so that they meet.
_MAPPINGS = 12
# In seconds.
_DURATION = 5


@base.on_each_database
class Race(base.TestCase):
    def make_conf(self) -> cfg.ConfigOpts:
        self.memcached = [self.useFixture(fixtures.Memcached()) for _ in range(2)]
        conf = super().make_conf()
        addresses = [each.address for each in self.memcached]
        # On a machine that is busy a living memcached may take its time.
        fixtures.use_cache(conf, *addresses, socket_timeout=20.0)
        return conf

    def test_no_lookup_finds_what_was_before(self) -> None:
        cell = self.make_cell()
        uuids = [
            str(self.make_mapping(project_id='0', user_id='0', cell_uuid=cell.uuid).instance_uuid)
            for _ in range(_MAPPINGS)
        ]
        report = cache_race.Race(self.conf, self.memcached, uuids).run(_DURATION)
        self.assertEqual([], report.wrong)
        self.assertLess(0, report.saved)
        # Some answers came from the cache.
        self.assertLess(report.read, report.answers, report)
        for row in api.instance_mapping_get_by_instance_uuids(self.context, uuids):
            with api.reader(self.context):
                now = api.instance_mapping_get_by_instance_uuid(self.context, row['instance_uuid'])
            self.assertEqual(now, row)
