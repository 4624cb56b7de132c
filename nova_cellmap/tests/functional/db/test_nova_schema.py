# SPDX-License-Identifier: Apache-2.0
"""What there is to say of Nova's own tables."""

import datetime

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap.db import api
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.functional import base

_THEN = datetime.datetime(2020, 2, 29, 12, 30, 59)


@base.on_each_database
class Novas(base.TestCase):
    schema = 'nova'

    def test_their_revision_and_nothing_that_they_lack(self) -> None:
        [(revision,)] = self.execute(sa.text('SELECT version_num FROM alembic_version'))
        self.assertEqual((revision, ()), api.nova_schema_get(self.context))

    def test_those_of_a_release_before_alembic(self) -> None:
        if self.kind == 'postgresql':
            # There are none of them.
            return
        old = self.useFixture(fixtures.Database(self.kind, schema='nova'))
        nova_schema.make(old.engine(), 'old')
        nova_cellmap.configure(old.conf())
        lacks = ('disabled', 'queued_for_delete', 'user_id')
        self.assertEqual((None, lacks), api.nova_schema_get(self.context))

    def test_instances_that_are_built(self) -> None:
        timed, untimed, other = (base.new_uuid() for _ in range(3))
        table = sa.table(
            'build_requests',
            *map(sa.column, ('instance_uuid', 'project_id')),
            sa.column('created_at', sa.DateTime),
        )
        for uuid, created_at in ((timed, _THEN), (untimed, None)):
            row = {'instance_uuid': uuid, 'project_id': 'p', 'created_at': created_at}
            self.execute(table.insert().values(row))
        asked = [timed, other, untimed, *(base.new_uuid() for _ in range(1000))]
        found = api.build_request_get_by_instance_uuids(self.context, asked)
        self.assertEqual({timed: _THEN, untimed: None}, found)
        self.assertEqual({}, api.build_request_get_by_instance_uuids(self.context, [other]))


@base.on_each_database
class Ours(base.TestCase):
    def test_they_are_none_of_novas(self) -> None:
        self.assertIsNone(api.nova_schema_get(self.context))
        asked = [base.new_uuid()]
        self.assertEqual({}, api.build_request_get_by_instance_uuids(self.context, asked))

    def test_nor_is_an_empty_database(self) -> None:
        empty = self.useFixture(fixtures.Database(self.kind))
        # Where there is no file nothing is asked.
        empty.engine().connect().close()
        self.assertIsNone(api.nova_schema_get(self.context))
