# SPDX-License-Identifier: Apache-2.0
"""Which database a URL leads to."""

from nova_cellmap.tests import base
from nova_cellmap.url import place


class TestPlace(base.TestCase):
    def test_the_same_by_another_way(self) -> None:
        first = place.digest('mysql+pymysql://user:password@DB/nova_api?charset=utf8')
        self.assertEqual(64, len(first))
        for other in (
            'mysql://db:3306/nova_api',
            'mariadb+mysqldb://somebody:else@db/nova_api',
        ):
            self.assertEqual(first, place.digest(other))

    def test_others(self) -> None:
        urls = (
            'mysql://db/nova_api',
            'mysql://db/nova',
            'mysql://db2/nova_api',
            'mysql://db:3307/nova_api',
            'postgresql://db/nova_api',
            'sqlite:///nova_api',
            'sqlite:////nova_api',
        )
        self.assertEqual(len(urls), len(set(map(place.digest, urls))))
