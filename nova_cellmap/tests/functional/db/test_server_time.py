# SPDX-License-Identifier: Apache-2.0
"""The time by a database server's own clock."""

import datetime

from nova_cellmap.db import api as db_api
from nova_cellmap.tests.functional import base


@base.on_each_database
class Now(base.TestCase):
    def test_it_is_in_utc_whatever_the_zone_of_the_server_is(self) -> None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        said = db_api.utc_time_get(self.context)
        self.assertIsNone(said.tzinfo)
        # The servers of the tests are on this machine, or on one of which the clock is right.
        self.assertLess(abs(said - now), datetime.timedelta(minutes=5))
