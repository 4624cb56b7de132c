# SPDX-License-Identifier: Apache-2.0
"""The ``[database]`` group."""

from nova_cellmap import conf
from nova_cellmap.conf import database
from nova_cellmap.tests import base


class Database(base.TestCase):
    def test_no_cell_database_is_named_by_default(self) -> None:
        self.assertIsNone(conf.new(args=[], config_files=[]).database.connection)

    def test_its_url_is_a_secret(self) -> None:
        [connection] = database.OPTS
        self.assertTrue(connection.secret)
