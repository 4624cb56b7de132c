# SPDX-License-Identifier: Apache-2.0
"""What can be written to columns."""

from collections.abc import Sequence
import contextlib
import functools
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Values(case.Case):
    """What goes in comes out, or is refused in our own words."""

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(st.text(max_size=300), st.text(max_size=300))
    def test_any_text(self, project_id: str, user_id: str) -> None:
        try:
            uuid = self.map(project_id=project_id, user_id=user_id)
        except exception.InvalidInput:
            return
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual((project_id, user_id), (row['project_id'], row['user_id']))
        found = api.instance_mapping_get_all(self.context, project_id=project_id)
        self.assertEqual({project_id}, {row['project_id'] for row in found})
        self.assertIn(uuid, self.uuids(found))

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.text(max_size=260),
                st.one_of(st.none(), st.text()),
                st.sampled_from((0, 1, None)),
            ),
            max_size=5,
        )
    )
    @hypothesis.example([('\\', '"\'%s:x', 1), ('\x01\x1f\x7f', '\u2028😀', None), ('', '', 0)])
    def test_any_text_in_bulk(self, owners: list[tuple[str, str | None, bool | None]]) -> None:
        rows = [
            self.values(project_id=project, user_id=user, queued_for_delete=queued)
            for project, user, queued in owners
        ]
        try:
            api.instance_mapping_create_bulk(self.context, rows)
        except exception.InvalidInput:
            # None of them, then.
            self.assertEqual([], self.uuids(self.found(rows)))
            return
        for row, found in zip(rows, self.found(rows), strict=True):
            self.assertEqual(row, {name: found[name] for name in row})

    def found(self, rows: list[dict[str, Any]]) -> Sequence[api.Row]:
        uuids = [row['instance_uuid'] for row in rows]
        return api.instance_mapping_get_by_instance_uuids(self.context, uuids)

    @hypothesis.given(
        st.sampled_from(('project_id', 'user_id', 'instance_uuid')),
        st.one_of(st.integers(), st.floats(), st.binary(), st.booleans(), st.lists(st.text())),
    )
    def test_what_is_no_text_is_refused_in_bulk(self, name: str, value: Any) -> None:
        rows = [self.values(), self.values(**{name: value})]
        self.assertRaises(
            exception.InvalidInput, api.instance_mapping_create_bulk, self.context, rows
        )
        self.assertEqual([], self.found(rows[:1]))

    @hypothesis.settings(max_examples=40)
    @hypothesis.given(
        st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary(), st.booleans())
    )
    def test_any_key(self, key: Any) -> None:
        for call in (
            functools.partial(api.instance_mapping_get_by_instance_uuid, self.context, key),
            functools.partial(api.cell_mapping_get_by_name, self.context, key),
            functools.partial(api.instance_mapping_get_by_cell_id, self.context, key),
            functools.partial(api.instance_mapping_destroy, self.context, key),
        ):
            with contextlib.suppress(exception.NotFound, exception.InvalidInput):
                self.assertEqual([], call())
