# SPDX-License-Identifier: Apache-2.0
"""No log has a cell's password, however much is logged."""

import logging

import fixtures

import nova_cellmap
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import nova_import


class NovaApiSqlite(cells_base.TestCase):
    """Nova's own table of cells has passwords too."""

    def test_importing_it(self) -> None:
        logger = logging.getLogger('sqlalchemy.engine')
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.DEBUG)
        logged = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        api = self.new_nova_api()
        url = 'mysql+pymysql://u:sekret@h/d'
        nova_api.add_cell(api, uuid=base.new_uuid(), name='a', database_connection=url)
        # The test's own engine hides nothing.
        before = len(logged.output)
        nova_import.import_nova(self.context, cells_base.url_of(api))
        self.assertIn('cell_mappings', logged.output[before:])
        self.assertNotIn('sekret', logged.output[before:])


@base.on_both_schemas
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
