# SPDX-License-Identifier: Apache-2.0
"""Which exit status an error has."""

from nova_cellmap import exception
from nova_cellmap.cli import failures
from nova_cellmap.cli import streams
from nova_cellmap.cli.statuses import Status
from nova_cellmap.tests import base


class StatusOf(base.TestCase):
    def test_of_an_error_of_any_command(self) -> None:
        error: Exception
        for error, status in (
            (failures.CommandError('x'), Status.USAGE),
            (failures.CommandError('x', 7), 7),
            (exception.InvalidURL(reason='x'), Status.USAGE),
            (exception.CellMappingNotFound(cell='x'), Status.NO_INPUT),
            (exception.DatabaseBusy(), Status.UNAVAILABLE),
            (streams.OutputError('full'), Status.UNAVAILABLE),
            (RuntimeError(), Status.UNFORESEEN),
        ):
            self.assertEqual(status, failures.status_of(error, {}), str(error))

    def test_too_little_memory_is_said_to_be_that(self) -> None:
        for error in (MemoryError(), RuntimeError("can't start new thread")):
            told = failures.of_machine(error)
            self.assertEqual(Status.UNAVAILABLE, failures.status_of(told, {}))
            self.assertIn('memory', str(told))
        error = RuntimeError('x')
        self.assertIs(error, failures.of_machine(error))

    def test_a_commands_own_come_first_and_the_nearest_class_wins(self) -> None:
        own: dict[type[Exception], int] = {exception.CellMapError: 3, exception.NotFound: 4}
        missing = exception.CellMappingNotFound(cell='x')
        self.assertEqual(4, failures.status_of(missing, own))
        self.assertEqual(3, failures.status_of(exception.InvalidInput(reason='x'), own))
        self.assertEqual(Status.UNFORESEEN, failures.status_of(KeyError(), own))
