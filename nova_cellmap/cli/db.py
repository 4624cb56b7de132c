# SPDX-License-Identifier: Apache-2.0
"""The schema: db sync, db version."""

import argparse

from nova_cellmap import exception
from nova_cellmap.cli import base

_STATUSES: dict[type[Exception], int] = {
    exception.CellMapError: 1,
    exception.DatabaseUnreachable: base.Status.UNAVAILABLE,
}


class Sync(base.Command):
    """Create the schema of the mapping database, or bring it up to date.

    Goes forward only. Running it twice does nothing the second time; several at once
    take turns; one that was killed is finished by the next.
    """

    examples = ('nova-cellmap-manage db sync', 'nova-cellmap-manage db sync 8')
    exit_statuses = {
        1: 'the schema was not changed, or not to the end, for the reason given',
        base.Status.USAGE: 'the version is no number, or the configuration is wrong',
        base.Status.UNAVAILABLE: 'the database cannot be reached',
    }
    statuses = _STATUSES
    tells_database = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'version',
            nargs='?',
            metavar='VERSION',
            help='The version to stop at; the latest by default.',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.db import migration

        version: str | None = parsed_args.version
        if version is not None and not (version.isascii() and version.isdigit()):
            raise base.CommandError(f'VERSION must be a whole number, not {version!r}.')
        self.context  # noqa: B018 - binds the process to the database
        migration.db_sync(version)
        self.say(f'The schema is at version {migration.db_version()}.')


class Version(base.Command):
    """Print the version of the mapping database's schema; 0 where it is empty.

    Standard error says whose schema it is. The version of Nova's own is the revision of its last
    alembic script, as `nova-manage api_db version` prints it.
    """

    examples = ('nova-cellmap-manage db version',)
    exit_statuses = {
        1: 'the database has no version, for the reason given',
        base.Status.USAGE: 'the configuration is wrong',
        base.Status.UNAVAILABLE: 'the database cannot be reached',
    }
    statuses = _STATUSES
    tells_database = True

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.db import api as db_api
        from nova_cellmap.db import engine as db_engine

        context = self.context
        # To look into a file that is not there would make it.
        novas = None if db_engine.of(context).is_missing_file else db_api.nova_schema_get(context)
        if novas is None:
            self._tell_own()
        elif novas.revision is None:
            raise base.CommandError("The schema is Nova's, and it says no revision.", 1)
        else:
            self.answer(novas.revision)
            self.say("The schema is Nova's own; `nova-manage api_db sync` brings it up to date.")

    def _tell_own(self) -> None:
        from nova_cellmap.db import migration

        version = migration.db_version()
        self.answer(version)
        latest = migration.latest_version()
        if version < latest:
            self.say(f'The latest is {latest}: run `nova-cellmap-manage db sync`.')
        elif version > latest:
            self.say(f'A newer release made it: this one knows versions up to {latest}.')
        else:
            self.say('The schema is the one of nova_cellmap.')
