# SPDX-License-Identifier: Apache-2.0
"""What Nova's own API database knows of cells and of the instances in them."""

from collections.abc import Iterator
import contextlib
import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import nova_api as upkeep_nova_api
from nova_cellmap.upkeep.nova_api import NovaAPI

_START = datetime.datetime(2026, 1, 1)


@base.on_each_database
class Reading(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.new_nova_api()

    @contextlib.contextmanager
    def connected(self) -> Iterator[NovaAPI]:
        url = cells_base.url_of(self.api)
        with upkeep_nova_api.connect(self.context, url) as reader:
            yield NovaAPI(reader)

    def insert(self, **values: Any) -> str:
        return nova_api.add(self.api, **values)

    def test_cells_by_id(self) -> None:
        uuids = [base.new_uuid() for _ in range(3)]
        for number, uuid in zip((7, 3, 5), uuids, strict=True):
            nova_api.add_cell(self.api, id=number, uuid=uuid, disabled=number == 5)
        with self.connected() as nova:
            found = nova.cells()
        self.assertEqual([3, 5, 7], [cell.id for cell in found])
        self.assertEqual([uuids[1], uuids[2], uuids[0]], [cell.uuid for cell in found])
        self.assertEqual([False, True, False], [bool(cell.disabled) for cell in found])
        [said] = {(cell.name, cell.transport_url, cell.created_at) for cell in found}
        self.assertEqual((None, 'none:///', _START), said)

    def test_pages_of_any_size_have_each_mapping_once(self) -> None:
        cell = nova_api.add_cell(self.api)
        uuids = [self.insert(cell_id=[cell, None][number % 2]) for number in range(5)]
        for limit in (1, 2, 5, 100):
            found, last = list[str](), 0
            with self.connected() as nova:
                while page := nova.after(last, limit):
                    self.assertLessEqual(page.rows, limit)
                    self.assertEqual([], page.invalid)
                    found += [mapping.instance_uuid for mapping in page.mappings]
                    last = page.last_id
                self.assertEqual((uuids, last), (found, nova.last_id()))

    def test_what_a_mapping_says(self) -> None:
        cell = nova_api.add_cell(self.api)
        uuid = self.insert(cell_id=cell, user_id='u', queued_for_delete=True)
        self.insert(user_id=None, queued_for_delete=None)
        with self.connected() as nova:
            page = nova.after(0, 10)
        assert page is not None
        full, bare = page.mappings
        self.assertEqual((uuid, cell, 'project', 'u', True, _START), full[1:])
        self.assertEqual((None, 'project', None, False, _START), bare[2:])

    def test_where_nova_keeps_its_place_is_no_mapping(self) -> None:
        uuid = self.insert()
        self.insert(project_id=nova_api.MARKER)
        with self.connected() as nova:
            page = nova.after(0, 10)
            assert page is not None
            self.assertEqual([uuid], [mapping.instance_uuid for mapping in page.mappings])
            self.assertEqual(page.last_id, nova.last_id())

    def test_rows_that_say_what_cannot_be(self) -> None:
        uuid = self.insert(project_id='')
        self.insert(instance_uuid='nonsense')
        with self.connected() as nova:
            page = nova.after(0, 10)
        assert page is not None
        self.assertEqual(([], 2), (page.mappings, page.rows))
        self.assertEqual([uuid, None], [row.uuid for row in page.invalid])

    def test_an_empty_database(self) -> None:
        with self.connected() as nova:
            self.assertEqual(([], None, 0), (nova.cells(), nova.after(0, 10), nova.last_id()))

    def test_what_an_older_release_lacks_is_none(self) -> None:
        database = self.useFixture(fixtures.Database(self.kind))
        self.api = fixtures.engine(database.url, poolclass=sa.NullPool)
        nova_api.create(self.api, nova_api.LATER)
        nova_api.add_cell(self.api)
        self.insert()
        with self.connected() as nova:
            [cell], page = nova.cells(), nova.after(0, 10)
        assert page is not None
        self.assertEqual((None, None, False), (cell.disabled, *page.mappings[0][4:6]))

    def test_a_database_of_something_else(self) -> None:
        self.api = self.new_database()
        error = self.assertRaises(exception.NotANovaDatabase, self.open)
        self.assertIn('no table cell_mappings', str(error))

    def test_one_that_cannot_be_reached(self) -> None:
        self.api = sa.create_engine('sqlite:////nosuch/x.sqlite')
        error = self.assertRaises(exception.NovaDatabaseUnreachable, self.open)
        self.assertIn('/nosuch/x.sqlite', str(error))

    def open(self) -> None:
        with self.connected():
            pass


class Urls(tests_base.TestCase):
    def test_one_of_a_database_is_taken(self) -> None:
        for url in ('mysql+pymysql://nova:sekret@db/nova_api', 'sqlite:////x/y'):
            upkeep_nova_api.check(url)

    def test_what_leads_nowhere_is_refused_without_its_password(self) -> None:
        for url in ('', 'none:///', 'mysql://nova:sekret@{hostname}/nova_api', 'no+such://x/y'):
            error = self.assertRaises(exception.InvalidURL, upkeep_nova_api.check, url)
            self.assertNotIn('sekret', str(error))


class Sources(tests_base.TestCase):
    """Which URLs lead to one database."""

    def test_the_same_database(self) -> None:
        for first, second in (
            ('mysql://a:b@db/nova_api', 'mysql+pymysql://c:d@DB:3306/nova_api?charset=utf8'),
            ('mysql+pymysql://db/nova_api', 'mariadb+pymysql://db/nova_api'),
            ('postgresql://db/x', 'postgresql+psycopg2://nova:sekret@db:5432/x?password=y'),
            ('sqlite:///x.sqlite', 'sqlite:///./x.sqlite?timeout=5'),
        ):
            self.assertEqual(*map(upkeep_nova_api.source_of, (first, second)))

    def test_other_databases(self) -> None:
        urls = (
            'mysql://db/a',
            'mysql://db/b',
            'mysql://db:3307/a',
            'mysql://other/a',
            'mysql:///a?unix_socket=/run/1',
            'mysql:///a?unix_socket=/run/2',
            'postgresql://db/a',
            'postgresql:///a?host=db2',
            'sqlite:///a',
            'sqlite:////a',
        )
        self.assertEqual(len(urls), len(set(map(upkeep_nova_api.source_of, urls))))
