# SPDX-License-Identifier: Apache-2.0
"""Cells whose servers send what cannot be: each is one cell's failure, or one row's."""

from collections.abc import Callable, Iterable
import itertools
import resource
import time
from typing import Any

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import listing
from nova_cellmap.cells import lookup
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests import rogue
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep.case import Kind

_SECRET = 'sekret'
_MIB = 1 << 20
_Answer = Callable[[str], Iterable[bytes]]


def _one_column_too_few(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)
    return rogue.result([['1'] * (len(names) - 1)], names)


def _one_column_less_than_said(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)[1:]
    return rogue.result([['1'] * len(names)], names)


def _more_rows(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)
    return rogue.result(([str(number)] * len(names) for number in range(5000)), names)


def _for_ever(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)
    row = ['1' if name in rogue.NUMBERS else 'x' * 250 for name in names]
    return rogue.result(itertools.repeat(row), names)


def _an_endless_row(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)
    yield from itertools.islice(rogue.result([], names), len(names) + 2)
    yield from itertools.repeat(b'x' * 0xFFFFFF)


def _out_of_order(query: str) -> Iterable[bytes]:
    names = rogue.columns_of(query)
    uuids = sorted((base.new_uuid() for _ in range(3)), reverse=True)
    rows = [
        [uuid if name == 'uuid' else str(9 - number) for name in names]
        for number, uuid in enumerate(uuids)
    ]
    return rogue.result(rows, names)


# What is no answer at all, by what it is.
_MALFORMED: dict[str, _Answer] = {
    'an empty packet': lambda query: [b''],
    'junk': lambda query: [b'\xfb\xff\xff\xff'],
    'a file request': lambda query: [b'\xfb/etc/passwd'],
    'columns that are cut': lambda query: [b'\x02', b'\x03de'],
    'a result without columns': lambda query: [b'\x02', b'\xfe\x00\x00\x02\x00', b'\x01'],
    'a row that is cut': lambda query: [
        *itertools.islice(rogue.result([], rogue.columns_of(query)), 8 + 1),
        b'\xfc\xff',
    ],
    'an error without a number': lambda query: [b'\xff'],
    'an odd error': lambda query: [rogue.error(65535, 'odd \x1b[31m')],
    'one column too few': _one_column_too_few,
    'one column less than was said': _one_column_less_than_said,
    'out of order': _out_of_order,
}


class _Case(cells_base.TestCase):
    """A test with a cell that is good, and one that is not."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        self.addCleanup(lambda: scatter.forget_troubles(scatter.troubles()))
        self.conf.set_override('read_timeout', 3, 'cells')
        self.conf.set_override('failures_before_skip', 0, 'cells')
        self.good = nova_cell.add(self.nova)

    def rogue(self, answer: _Answer, **options: Any) -> CellMapping:
        server = self.useFixture(rogue.Rogue(answer, **options))
        return self.make_cell(name=f'rogue {server.port}', database_connection=server.url)

    def audit(self) -> tuple[audit.Audit, list[Any]]:
        run = audit.Audit(self.context, CellMappingList.get_all(self.context))
        return run, list(run.problems())

    def assert_cells_alone(self, odd: CellMapping) -> None:
        """Whatever is done with all cells is done with the good one, and names the other."""
        run, problems = self.audit()
        self.assertEqual(
            [(self.good, Kind.MISSING)], [(each.instance_uuid, each.kind) for each in problems]
        )
        self.assert_about(odd, run.errors[odd.uuid])
        self.assertEqual({odd.uuid}, run.errors.keys())

        listed = listing.list_instances(self.context, timeout=20)
        self.assertEqual([self.good], [each.uuid for each in listed.instances])
        self.assertEqual({odd.uuid}, listed.failures.keys())
        self.assert_about(
            odd, self.assertRaises(exception.CellError, listed.failures[odd.uuid].get)
        )

        mapped = self.make_mapping(cell_uuid=odd.uuid)
        for call in (
            lambda: mapping.map_instances(self.context, odd),
            lambda: lookup.find_instance(self.context, mapped),
        ):
            self.assert_about(odd, self.assertRaises(exception.CellError, call))
        mapped.destroy()

    def assert_about(self, odd: CellMapping, error: Exception) -> None:
        self.assertIsInstance(error, exception.CellError)
        self.assertIn(odd.identity, str(error))
        self.assertNotIn(_SECRET, str(error))
        self.assertTrue(str(error).isprintable(), str(error))


class Malformed(_Case):
    def test_what_is_no_answer_is_that_cells_failure(self) -> None:
        for name, answer in _MALFORMED.items():
            with self.subTest(name):
                odd = self.rogue(answer)
                self.assert_cells_alone(odd)
                odd.destroy()


class Endless(_Case):
    """A cell may not make anybody's memory grow without bound."""

    def setUp(self) -> None:
        super().setUp()
        self.conf.set_override('read_timeout', 10, 'cells')

    def assert_bounded(self, answer: _Answer, reason: str) -> None:
        odd = self.rogue(answer)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        run, problems = self.audit()
        self.assertEqual([self.good], [each.instance_uuid for each in problems])
        self.assertIn(reason, str(run.errors[odd.uuid]))
        listed = listing.list_instances(self.context, limit=10, timeout=30)
        self.assertEqual([self.good], [each.uuid for each in listed.instances])
        self.assert_about(
            odd, self.assertRaises(exception.CellError, listed.failures[odd.uuid].get)
        )
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown * 1024, 300 * _MIB)
        # It was not waited for until it had enough of it.
        self.assertLess(time.monotonic() - start, 120)

    def test_rows_for_ever(self) -> None:
        self.assert_bounded(_for_ever, 'more than it was asked for')

    def test_a_row_that_does_not_end(self) -> None:
        self.assert_bounded(_an_endless_row, 'more than it was asked for')

    def test_more_rows_than_were_asked_for(self) -> None:
        odd = self.rogue(_more_rows)
        run, _ = self.audit()
        self.assertIn('was asked for', str(run.errors[odd.uuid]))


class Logins(_Case):
    def test_a_way_to_log_in_that_needs_a_package_names_it(self) -> None:
        from pymysql import _auth

        self.patch(_auth, '_have_cryptography', False)
        odd = self.rogue(lambda query: [], login=rogue.switch_to('sha256_password'))
        run, _ = self.audit()
        self.assertIn('cryptography', str(run.errors[odd.uuid]))
        self.assert_cells_alone(odd)

    def test_an_unknown_way_to_log_in(self) -> None:
        self.assert_cells_alone(
            self.rogue(lambda query: [], login=rogue.switch_to('no_such_plugin'))
        )

    def test_a_login_that_is_cut(self) -> None:
        self.assert_cells_alone(self.rogue(lambda query: [], login=b''))


class Rows(_Case):
    """One row that cannot be is set aside, and the others are dealt with."""

    def odd_rows(self, *odd: dict[str, Any]) -> tuple[CellMapping, list[str]]:
        """A cell with those rows among good ones."""
        good: list[dict[str, Any]] = [{} for _ in range(3)]
        rows: list[dict[str, Any]] = [
            {
                'id': number,
                'uuid': base.new_uuid(),
                'project_id': 'p',
                'user_id': 'u',
                'deleted': 0,
                'vm_state': 'active',
                'hidden': 0,
                **values,
            }
            for number, values in enumerate((*good, *odd, *good), 1)
        ]

        def answer(query: str) -> Iterable[bytes]:
            names = rogue.columns_of(query)
            if 'max(' in query:
                return rogue.result([[len(rows)]], names)
            asked = int(query.rpartition('instances.id > ')[2].split()[0]) if '> ' in query else 0
            some = [row for row in rows if row['id'] > asked] if 'IS NULL' not in query else []
            return rogue.result([[row[name] for name in names] for row in some], names)

        cell = self.rogue(answer)
        return cell, [row['uuid'] for row in rows[:3] + rows[-3:]]

    def assert_set_aside(self, reason: str, **values: Any) -> None:
        cell, good = self.odd_rows(values)
        with self.subTest(reason):
            run = mapping.map_instances(self.context, cell)
            self.assertEqual((6, 1, 1), (run.created, run.invalid, run.conflicts))
            self.assertEqual(set(good), self.mapped().keys())
        self.execute(own.instance_mapping.delete())
        cell.destroy()

    def test_odd_values(self) -> None:
        self.assert_set_aside('a NULL uuid', uuid=None)
        self.assert_set_aside('a uuid of bytes', uuid=b'\x00\xff' * 8)
        self.assert_set_aside('a uuid of 37 characters', uuid=base.new_uuid() + '0')
        self.assert_set_aside('an empty uuid', uuid='')
        self.assert_set_aside('no project', project_id=None)
        self.assert_set_aside('a long project', project_id='p' * 300)
        self.assert_set_aside('a NUL', project_id='p\0')
        self.assert_set_aside('an escape', user_id='\x1b[31m')
        self.assert_set_aside('a long user', user_id='u' * 256)
        self.assert_set_aside('what is not UTF-8', project_id=b'\xff\xfe')
        self.assert_set_aside('what is not UTF-8, in the uuid', uuid=b'\xff\xfe')
        self.assert_set_aside('what is not UTF-8, in the state', deleted=None, user_id=b'\xc3')
