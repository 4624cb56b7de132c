# SPDX-License-Identifier: Apache-2.0
"""Tables of Nova's, in the shape that a release of it gave them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import rows

_TIMES = ('created_at', 'updated_at', 'launched_at', 'deleted_at')
_TEXTS = (
    'uuid',
    'project_id',
    'user_id',
    'display_name',
    'host',
    'node',
    'availability_zone',
    'vm_state',
    'task_state',
)


class NovaTable:
    """A table, of which the release may lack some columns.

    :param there: the names of the columns that it has
    :param types: those that are read, with the types that their values should have
    :param needed: those without which it is no such table
    :param uuid: the column with an instance's uuid, if it has one
    :param identity: whose table it is, for messages
    :ivar name: what it is called
    :raises: NotACellDatabase
    """

    def __init__(
        self,
        name: str,
        there: Collection[str],
        types: Mapping[str, Any],
        needed: Iterable[str],
        *,
        uuid: str = 'uuid',
        identity: str,
    ) -> None:
        missing = [column for column in needed if column not in there]
        if missing:
            raise exception.NotACellDatabase(
                cell=identity, reason=f'its table {name} lacks {", ".join(missing)}'
            )
        self.name = name
        self._types = types
        self._uuid = uuid
        # Plain columns: of which type a value is, is the database's own affair.
        self._table = sa.table(name, *(sa.column(each) for each in types if each in there))

    def __contains__(self, name: str) -> bool:
        return name in self._table.c

    def __getitem__(self, name: str) -> sa.ColumnElement[Any]:
        """A column, without a type."""
        return self._table.c[name]

    def select(
        self, names: Iterable[str], *, is_typed: bool = False, is_plain: bool = False
    ) -> sa.Select[Any]:
        """The columns of these names; NULL for those that the release lacks.

        :param is_typed: have the values in the types that they should have
        :param is_plain: in forms that no driver can misunderstand: a time as text
        """
        form = self._plain if is_plain else self._typed if is_typed else self.__getitem__
        columns = (form(name) if name in self else sa.null().label(name) for name in names)
        return sa.select(*columns).select_from(self._table)

    def is_no_marker(self) -> sa.ColumnElement[bool]:
        """Whether a row is none of those of Nova's own that are no instances."""
        uuid, project_id = self[self._uuid], self['project_id']
        return sa.and_(
            sa.or_(uuid.is_(None), uuid != rows.NO_UUID),
            sa.or_(project_id.is_(None), project_id.not_in(rows.MARKERS)),
        )

    def _typed(self, name: str) -> sa.ColumnElement[Any]:
        return sa.type_coerce(self[name], self._types[name]).label(name)

    def _plain(self, name: str) -> sa.ColumnElement[Any]:
        if not name.endswith('_at'):
            return self[name]
        text = sa.cast(self[name], sa.String(40))
        return sa.type_coerce(text, sa.types.NullType()).label(name)


class InstancesTable(NovaTable):
    """The table ``instances`` of a cell.

    :param dialect: the kind of database, in SQLAlchemy's words
    """

    #: What a list of instances may be sorted by.
    SORT_KEYS = (*_TIMES, *_TEXTS)

    _TYPES: Mapping[str, Any] = {
        'id': sa.BigInteger(),
        **dict.fromkeys(_TIMES, sa.DateTime()),
        **dict.fromkeys(_TEXTS, sa.Text()),
        'deleted': sa.Integer(),
        # Since Train.
        'hidden': sa.Boolean(),
    }

    def __init__(
        self, there: Collection[str], needed: Iterable[str], *, dialect: str, identity: str
    ) -> None:
        super().__init__('instances', there, self._TYPES, needed, identity=identity)
        self._dialect = dialect

    def is_deleted(self) -> sa.ColumnElement[bool]:
        """Whether a row is deleted, or soft-deleted as long as it can be restored."""
        is_gone = sa.func.coalesce(self['deleted'], 0) != 0
        if 'vm_state' not in self:
            return is_gone
        return sa.or_(is_gone, sa.func.coalesce(self['vm_state'], '') == rows.SOFT_DELETED)

    def is_shown(self) -> sa.ColumnElement[bool]:
        """Whether a row is not hidden.

        The text is of no type, so that a database takes it for one of the column's, and knows
        from its statistics how many rows have it.
        """
        if 'hidden' not in self:
            return sa.true()
        hidden = self['hidden']
        return sa.or_(hidden.is_(None), hidden.op('=', is_comparison=True)(sa.text("'0'")))

    def is_canonical(self) -> sa.ColumnElement[bool]:
        """Whether a uuid is spelled as the mapping spells it."""
        uuid = self['uuid']
        is_formed: sa.ColumnElement[bool]
        match self._dialect:
            case 'sqlite':
                digit = '[0-9a-f]'
                form = '-'.join(digit * length for length in (8, 4, 4, 4, 12))
                is_formed = uuid.op('GLOB')(form)
            case 'postgresql':
                # Its regular expressions take five times as long to count.
                form = '-'.join('_' * length for length in (8, 4, 4, 4, 12))
                digits = sa.func.length(sa.func.replace(uuid, '-', ''))
                is_formed = sa.and_(uuid.like(form), digits == 32, uuid.op('~')('^[-0-9a-f]*$'))
            case _:
                # Its own collation may take an A for an a.
                text = sa.type_coerce(_unicode(uuid), sa.String).collate('utf8mb4_bin')
                is_formed = text.op('REGEXP')(f'^{uuids.FORM.pattern}$')
        return sa.and_(sa.func.length(uuid) == len(rows.NO_UUID), is_formed)

    def is_odd(self) -> sa.ColumnElement[bool]:
        """Whether a uuid is spelled otherwise, or is none."""
        return sa.or_(self['uuid'].is_(None), sa.not_(self.is_canonical()))

    def digits(self) -> sa.ColumnElement[Any]:
        """The hexadecimal digits of a uuid in any spelling."""
        text = sa.func.lower(sa.func.trim(self['uuid']))
        for part in ('urn:', 'uuid:', '{', '}', '-'):
            text = sa.func.replace(text, part, '')
        return text

    def ordered(self, name: str) -> sa.ColumnElement[Any]:
        """A column in the order that Python has, not in that of a database's collation."""
        return self._in_order(name, sa.type_coerce(self[name], self._types[name]))

    def bound(self, name: str, value: Any) -> sa.ColumnElement[Any]:
        """A value to compare such a column with."""
        return self._in_order(name, sa.bindparam(None, value, self._types[name]))

    def _in_order(self, name: str, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        if name not in _TEXTS:
            return text
        if self._dialect in ('mysql', 'mariadb'):
            return sa.cast(_unicode(text), sa.LargeBinary)
        return text.collate('C' if self._dialect == 'postgresql' else 'BINARY')


def _unicode(text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A text in MySQL's or MariaDB's whole Unicode, whatever its column is in."""
    return sa.func.convert(text.op('USING')(sa.text('utf8mb4')))
