# SPDX-License-Identifier: Apache-2.0
"""No log has a cell's password, however much is logged."""

import logging

import fixtures

import nova_cellmap
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base


@base.on_each_database
class Logging(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # What oslo.db sets is for the whole process.
        logger = logging.getLogger('sqlalchemy.engine')
        self.addCleanup(logger.setLevel, logger.level)
        self.logged = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def work(self) -> None:
        url = 'mysql+pymysql://u:sekret@h/d'
        cell = self.make_cell(name='secret', database_connection=url, transport_url='none:///')
        cell.database_connection = f'{url}2'
        cell.save()
        self.assertEqual(
            f'{url}2', CellMapping.get_by_name(self.context, 'secret').database_connection
        )
        CellMappingList.get_all(self.context)
        mapping = self.make_mapping(cell_uuid=cell.uuid)
        self.assertEqual(f'{url}2', mapping.cell_mapping.database_connection)

    def assert_statements_alone(self) -> None:
        self.assertIn('INSERT INTO cell_mapping', self.logged.output)
        self.assertNotIn('sekret', self.logged.output)

    def test_with_all_that_the_options_offer(self) -> None:
        self.conf.set_override('connection_debug', 100, 'api_database')
        self.conf.set_override('connection_trace', True, 'api_database')
        self.addCleanup(self.conf.clear_override, 'connection_debug', 'api_database')
        self.addCleanup(self.conf.clear_override, 'connection_trace', 'api_database')
        nova_cellmap.configure(self.conf)
        self.work()
        self.assert_statements_alone()

    def test_with_a_configuration_of_the_service(self) -> None:
        logging.getLogger('sqlalchemy.engine').setLevel(logging.DEBUG)
        nova_cellmap.configure(self.conf)
        CellMappingList.get_all(self.context)
        logging.getLogger('sqlalchemy.engine').setLevel(logging.DEBUG)
        self.work()
        self.assert_statements_alone()
