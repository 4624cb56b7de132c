# SPDX-License-Identifier: Apache-2.0
"""What callers can catch.

Every failure that a caller can cause or should expect has a class of its own
here. No driver's, SQLAlchemy's or oslo.db's error leaves ``nova_cellmap.db``.
Messages say what was wrong and what to do about it; they never hold a password.
"""

from typing import Any


class CellMapError(Exception):
    """The base of every error of nova_cellmap.

    :param message: the whole message; by default ``msg_fmt`` filled from *kwargs*
    :param kwargs: the values that the message names, kept as ``error.kwargs``
    """

    msg_fmt = 'An unknown error occurred.'

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        super().__init__(message if message is not None else self.msg_fmt.format(**kwargs))


# What the caller gave or named.


class InvalidInput(CellMapError, ValueError):
    """A ValueError too, as setting a field to what it cannot hold is one."""

    msg_fmt = 'Invalid input: {reason}'


class InvalidURL(InvalidInput):
    msg_fmt = '{reason}'


class InvalidOption(InvalidInput):
    msg_fmt = '{option}: {reason}'


class ObjectActionError(CellMapError):
    msg_fmt = '{action} failed because: {reason}'


class NotFound(CellMapError):
    pass


class InstanceMappingNotFound(NotFound):
    msg_fmt = 'Instance {uuid} has no mapping to a cell.'


class CellMappingNotFound(NotFound):
    msg_fmt = 'There is no cell {cell}.'


class MarkerNotFound(NotFound):
    msg_fmt = 'Marker {marker} is not in the list that is being paged.'


class InstanceMappingExists(CellMapError):
    msg_fmt = 'Instance {uuid} is mapped already.'


class CellMappingExists(CellMapError):
    msg_fmt = 'A cell with {what} {value} is mapped already.'


class CellNameNotUnique(InvalidInput):
    """Nova's own schema lets several cells have one name."""

    msg_fmt = (
        'Several cells have the name {name}: {cells}. Say which by its uuid, or give all but one '
        'another name: update_cell --cell_uuid UUID --name NAME.'
    )


class CellMappingInUse(CellMapError):
    msg_fmt = 'Cell {uuid} still has instance mappings: remove or move them first.'


class CellHasHosts(CellMappingInUse):
    msg_fmt = 'Nova has mapped hosts to cell {uuid}: `nova-manage cell_v2 delete_host` first.'


class InstanceMappingConflict(CellMapError):
    """Another writer changed the cell of the mapping first.

    ``cell_uuid`` is the cell that the mapping has now, or None.
    """

    msg_fmt = (
        'Instance {uuid} was mapped elsewhere meanwhile: it is in cell {cell_uuid}, '
        'not in {expected} as when it was loaded. Load it again before saving.'
    )

    @property
    def cell_uuid(self) -> str | None:
        return self.kwargs.get('cell_uuid')


# The database that holds the mapping.


class DatabaseError(CellMapError):
    msg_fmt = 'The mapping database refused: {reason}'


class NotConfigured(CellMapError):
    msg_fmt = 'No database is configured: call nova_cellmap.configure(conf) first.'


class DatabaseUnreachable(DatabaseError):
    msg_fmt = (
        'The mapping database cannot be reached ({reason}). '
        'Check that it runs, and [api_database] connection.'
    )


class DatabaseOutcomeUnknown(DatabaseUnreachable):
    """The answer to a commit was lost, and what became of the change could not be found out."""

    msg_fmt = (
        'The change may or may not have been made: the mapping database did not answer its '
        'commit ({reason}). Look whether it was made before you make it again.'
    )


class DatabaseBusy(DatabaseError):
    msg_fmt = 'The mapping database stayed locked by other writers. Try again.'


class DatabaseRightMissing(DatabaseError):
    msg_fmt = (
        'The user of the mapping database lacks a right: {reason}. '
        'What takes it was not done: give it to the user that is in [api_database] connection.'
    )


class DatabaseFull(DatabaseError):
    msg_fmt = (
        'The mapping database has no space left ({reason}). What was written last was taken back, '
        'and what was committed before stays: make room.'
    )


class SchemaMissing(DatabaseError):
    msg_fmt = (
        'The mapping database, {database}, lacks tables or columns that this release needs: '
        'run `nova-cellmap-manage db sync`. To work on the tables of a running Nova, set '
        '[api_database] connection to its API database: --config-file /etc/nova/nova.conf does.'
    )


class SchemaAmbiguous(DatabaseError):
    msg_fmt = (
        "The mapping database, {database}, has both our own tables and Nova's: set [api_database] "
        'schema to own or to nova, or connection to the database that is meant.'
    )


class SchemaTooOld(DatabaseError):
    """Nova's tables can be read, but have no place for what would be written."""

    msg_fmt = (
        'The mapping database, {database}, is of a release of Nova before {columns}: it can only '
        'be read. Upgrade Nova, and run its `nova-manage api_db sync`.'
    )


class MigrationError(CellMapError):
    """The schema cannot be brought to the version that was asked for."""

    msg_fmt = 'The schema cannot be changed: {reason}'


class InvalidVersion(MigrationError):
    msg_fmt = 'Version {version} cannot be reached: {reason}'


class DatabaseNotOurs(MigrationError):
    msg_fmt = (
        'The database is not empty and its tables are not those of nova_cellmap ({tables}): '
        'nothing was changed. Give nova_cellmap a database of its own in '
        '[api_database] connection.'
    )


# The conductor.


class RemoteCallRefused(CellMapError):
    msg_fmt = 'The conductor does not call {what}: {reason}.'


class BrokerRefused(CellMapError):
    """The message queue is there, and does not let us in: trying again does not help."""

    msg_fmt = (
        'The message queue {url} refused: {reason}. Check the user, the password and the virtual '
        'host in [DEFAULT] transport_url, and what the user may configure, write and read there.'
    )


class PageTooLarge(CellMapError):
    msg_fmt = (
        'More than {limit} objects at once: ask for them in pages, with limit and marker, '
        'and name or bring no more in one call.'
    )


class CellFieldKeptBack(ObjectActionError):
    msg_fmt = (
        '{field} of cell {cell} was not sent by the conductor. A service that needs it has '
        '[conductor] cells = full set in the configuration of nova-cellmap-conductor.'
    )


class ConductorError(CellMapError):
    msg_fmt = (
        'The conductor failed in a way that was not foreseen ({reason}): '
        'its log tells more, under request {request_id}.'
    )


# The cells.


class CellError(CellMapError):
    pass


class CellUnreachable(CellError):
    msg_fmt = 'The database of cell {cell} cannot be read: {reason}'


class CellDidNotAnswer(CellError):
    msg_fmt = 'Cell {cell} did not answer: {reason}'


class NoCellTargeted(CellError):
    msg_fmt = (
        'The context is not targeted at a cell: use the one that target_cell gives, '
        'inside of its block and in the process that opened it.'
    )


class CellHasInstances(CellError):
    msg_fmt = 'Cell {cell} still has instances that are not deleted.'


class CellHasMappings(CellError):
    msg_fmt = (
        'Cell {cell} has no live instances, but instance mappings to it remain. '
        'Give --force to remove them with the cell.'
    )


class CellCannotBeAsked(CellUnreachable):
    msg_fmt = (
        'Instance mappings to cell {cell} are left, and whether they are of live instances '
        'nobody can tell: {reason}. Correct its database_connection with update_cell; or, where '
        'the database is gone for good, give --unasked to remove the cell with its mappings.'
    )


class PurgeRefused(CellError):
    """Most of what an audit would remove may be mappings of instances that are elsewhere."""

    msg_fmt = (
        'The database of cell {cell} has no instances at all, not even deleted ones, while more '
        'than {few} mappings to it are not queued for delete: it may be a new one, or another '
        'one. Nothing was changed. Correct its database_connection with update_cell; or, where '
        'its instances are gone for good, remove the cell with its mappings: '
        'delete_cell --unasked.'
    )


class ChangesRefused(CellMapError):
    """An audit would change more than it is allowed to."""

    msg_fmt = (
        '{number} mappings would be changed ({kinds}), and {most} are allowed: nothing was '
        'changed. A cell whose database is another one, or not up to date, makes that many wrong; '
        'look at some of the problems first. Where they are right, allow them: '
        '--max-changes {number}.'
    )


class NotNovasTables(InvalidInput):
    """What is asked for is in Nova's own tables alone."""

    msg_fmt = (
        "That is in Nova's own API database alone, and the mapping database has other tables. "
        "Give Nova's configuration, such as --config-file /etc/nova/nova.conf."
    )


class InvalidChangeFile(InvalidInput):
    """A file of changes has a line that is none."""

    msg_fmt = '{file}, line {number}: {reason}. Nothing was changed.'


class ChangeFileUnreadable(InvalidInput):
    msg_fmt = '{file} cannot be read: {reason}.'


class ChangeFileNotFound(NotFound):
    msg_fmt = 'There is no file {file}.'


class JournalUnwritable(CellMapError):
    msg_fmt = (
        'The journal {file} cannot be written: {reason}. No mapping is changed that is not in it: '
        'make room there, or give another place: --journal FILE. The one that is used without '
        'it is under [DEFAULT] state_path.'
    )


class Cell0CannotBeDisabled(CellError):
    msg_fmt = 'cell0 cannot be disabled: nothing is ever scheduled to it.'


class NotACellDatabase(CellError):
    msg_fmt = "The database of cell {cell} is not a Nova cell's: {reason}"


class InstanceNotInCell(CellError):
    """A cell that an instance is said to be in does not have it, or not any more."""

    msg_fmt = 'Cell {cell} {reason} of instance {uuid}: nothing was changed.'


class InvalidCellRow(CellError):
    """A row of a cell's ``instances`` that says what cannot be."""

    msg_fmt = (
        'The database of cell {cell} has a row that cannot be an instance, '
        'number {number}, {uuid}: {reason}.'
    )


# Nova's own API database.


class NovaDatabaseError(CellMapError):
    pass


class NovaDatabaseUnreachable(NovaDatabaseError):
    msg_fmt = "Nova's API database cannot be read: {reason}"


class NotANovaDatabase(NovaDatabaseError):
    msg_fmt = 'The database is not a Nova API database: {reason}'
