# SPDX-License-Identifier: Apache-2.0
"""How often a call goes to the server and back, by the server's own counters."""

from collections.abc import Callable
from typing import Any

from nova_cellmap.db import api
from nova_cellmap.db import transaction
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests.functional import base

_CALLS = 10
_COUNTERS = (
    'SELECT CONNECTION_ID() UNION ALL SELECT CAST(sum(variable_value) AS INTEGER)'
    ' FROM information_schema.session_status'
    # The second counts pings, which are no questions.
    " WHERE variable_name IN ('Questions', 'Com_admin_commands')"
)


class RoundTripsMariadb(base.TestCase):
    kind = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell()

    def make(self) -> InstanceMapping:
        mapping = self.new_mapping(cell_mapping=self.cell)
        mapping.create()
        return mapping

    def assert_round_trips(
        self, expected: int, block: Any, call: Callable[[Any], Any], arguments: list[Any]
    ) -> None:
        """A call goes to the server so often; *block* gives the connection that it takes."""
        # What is done once for all calls has been done.
        call(arguments.pop())
        connection, before = self.counted(block)
        for argument in arguments:
            call(argument)
        same, after = self.counted(block)
        self.assertEqual(connection, same)
        # Looking goes there as well.
        self.assertEqual(expected * len(arguments), after - before - self.own(block))

    def own(self, block: Any) -> int:
        """What it costs to look."""
        first, second = self.counted(block), self.counted(block)
        return second[1] - first[1]

    def counted(self, block: Any) -> tuple[int, int]:
        with block(self.context):
            rows = transaction.connection(self.context).exec_driver_sql(_COUNTERS).all()
        return int(rows[0][0]), int(rows[1][0])

    def test_lookup(self) -> None:
        uuids = [self.make().instance_uuid for _ in range(_CALLS)]

        def look_up(uuid: str) -> None:
            mapping = InstanceMapping.get_by_instance_uuid(self.context, uuid)
            self.assertEqual(self.cell.uuid, mapping.cell_mapping.uuid)

        self.assert_round_trips(1, api.reader, look_up, uuids)

    def test_page(self) -> None:
        for _ in range(_CALLS):
            self.make()

        def list_some(limit: int) -> None:
            mappings = InstanceMappingList.get_by_project_id(self.context, 'project', limit=limit)
            self.assertEqual(limit, len(mappings))
            self.assertEqual({self.cell.uuid}, {each.cell_mapping.uuid for each in mappings})

        # The cells are known by now.
        self.assert_round_trips(1, api.reader, list_some, [3] * _CALLS)

    def test_create(self) -> None:
        new = [self.new_mapping(cell_mapping=self.cell) for _ in range(_CALLS)]
        # The row, and the commit.
        self.assert_round_trips(2, api.writer, InstanceMapping.create, new)


class RoundTripsNovaMariadb(RoundTripsMariadb):
    schema = 'nova'
