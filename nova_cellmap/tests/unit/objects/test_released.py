# SPDX-License-Identifier: Apache-2.0
"""What released code put on the wire is read for ever, and written for its readers.

The files in ``released`` were made by the code of the release that their folder is named after,
with ``tools/freeze_objects.py``. They are never changed.
"""

from collections.abc import Iterator
import datetime
import json
import pathlib
from typing import Any

from nova_cellmap import objects
from nova_cellmap import version
from nova_cellmap.objects import base
from nova_cellmap.tests import base as tests_base

RELEASED = pathlib.Path(__file__).parent / 'released'
NAME = 'nova_cellmap_object.name'
NAMESPACE = 'nova_cellmap_object.namespace'
VERSION = 'nova_cellmap_object.version'
DATA = 'nova_cellmap_object.data'
CHANGES = 'nova_cellmap_object.changes'


def frozen() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object that there is, with a name for it."""
    for path in sorted(RELEASED.glob('*/*.json')):
        for each in json.loads(path.read_text(encoding='utf-8')):
            where = f'{path.parent.name} {path.stem} {each["case"]!r} as {each["version"]}'
            yield where, each


def read(primitive: dict[str, Any]) -> Any:
    return base.CellMapObjectSerializer().deserialize_entity(None, primitive)


class Released(tests_base.TestCase):
    def test_this_release_has_files(self) -> None:
        """Where not: see doc/source/contributor/releases.rst."""
        for name in objects.__all__:
            self.assertTrue((RELEASED / version.__version__ / f'{name}.json').exists(), name)

    def test_each_version_of_a_release_is_there(self) -> None:
        for folder in RELEASED.iterdir():
            for name in objects.__all__:
                text = (folder / f'{name}.json').read_text(encoding='utf-8')
                versions = sorted({each['version'] for each in json.loads(text)})
                self.assertEqual([f'1.{minor}' for minor in range(len(versions))], versions)

    def test_each_is_read(self) -> None:
        for where, each in frozen():
            primitive = each['primitive']
            obj = read(json.loads(json.dumps(primitive)))
            self.assertEqual(primitive[NAME], obj.obj_name(), where)
            self.assertEqual(primitive[VERSION], obj.VERSION, where)
            members = spread(primitive)[DATA].get('objects')
            if members is None:
                self.check(where, primitive, each['said'], obj)
                continue
            self.assertEqual(len(members), len(obj.objects), where)
            for member, said, found in zip(members, each['said'], obj.objects, strict=True):
                self.check(where, member, said, found)

    def check(self, where: str, primitive: dict[str, Any], said: Any, obj: Any) -> None:
        """An object says what the one said that the primitive was made of, if that has it."""
        there = primitive[DATA].keys()
        for name in obj.fields:
            if name == 'cell_uuid' and 'cell_mapping' in there:
                continue
            self.assertEqual(name in there, obj.obj_attr_is_set(name), f'{where}: {name}')
        for name in there:
            value = getattr(obj, name)
            if name == 'cell_mapping' and value is not None:
                self.check(where, primitive[DATA][name], said['values'][name], value)
                continue
            wanted = said['values'][name]
            if isinstance(value, datetime.datetime):
                # Fractions of a second do not travel.
                wanted = datetime.datetime.fromisoformat(wanted).replace(microsecond=0)
            self.assertEqual(wanted, value, f'{where}: {name}')
        changes = set(primitive.get(CHANGES, ())) & there
        self.assertEqual(changes, obj.obj_what_changed() & there, where)
        self.assertEqual(changes, set(said['changes']) & there, where)

    def test_each_is_written_back(self) -> None:
        for where, each in frozen():
            obj = read(json.loads(json.dumps(each['primitive'])))
            written = json.loads(json.dumps(obj.obj_to_primitive(each['version']), default=sorted))
            before, after = reduced(spread(each['primitive'])), reduced(spread(written))
            self.assertEqual(before, after, where)

    def test_todays_objects_are_written_for_released_readers(self) -> None:
        """What a release would have written of the same, today's code writes for it."""
        for where, each in frozen():
            newest = newest_of(where, each)
            if newest is None:
                continue
            obj = read(json.loads(json.dumps(newest['primitive'])))
            # As if it had been made today.
            obj.VERSION = type(obj).VERSION
            written = json.loads(
                json.dumps(
                    obj.obj_to_primitive(each['version'], manifest_of(each['primitive'])),
                    default=sorted,
                )
            )
            self.assertEqual(spread(each['primitive']), spread(written), where)


def newest_of(where: str, each: dict[str, Any]) -> dict[str, Any] | None:
    """The same object as the release's newest version has it; None where it is that."""
    folder, name, _ = where.split(' ', 2)
    path = RELEASED / folder / f'{name}.json'
    same = [
        it for it in json.loads(path.read_text(encoding='utf-8')) if it['case'] == each['case']
    ]
    return None if same[-1]['version'] == each['version'] else same[-1]


def manifest_of(primitive: Any) -> dict[str, str]:
    """The versions in a primitive, by the names of their objects."""
    found: dict[str, str] = {}
    if isinstance(primitive, dict):
        if NAME in primitive:
            found[primitive[NAME]] = primitive[VERSION]
        for value in primitive.values():
            found |= manifest_of(value)
    elif isinstance(primitive, list):
        for value in primitive:
            found |= manifest_of(value)
    return found


def spread(primitive: Any) -> Any:
    """A primitive with lists object by object, whatever form they travel in, and in one order."""
    if isinstance(primitive, list):
        return [spread(each) for each in primitive]
    if not isinstance(primitive, dict):
        return primitive
    spread_out = {name: spread(value) for name, value in primitive.items()}
    if CHANGES in spread_out:
        spread_out[CHANGES] = sorted(spread_out[CHANGES])
    if 'rows' in spread_out.get(DATA, {}):
        data = spread_out[DATA]
        spread_out[DATA] = {'objects': [mapping_of(row, data) for row in data['rows']]}
    return spread_out


def reduced(primitive: Any) -> Any:
    """A primitive without changes of fields that its version does not have."""
    if isinstance(primitive, list):
        return [reduced(each) for each in primitive]
    if not isinstance(primitive, dict):
        return primitive
    smaller = {name: reduced(value) for name, value in primitive.items()}
    changes = [name for name in smaller.pop(CHANGES, ()) if name in smaller[DATA]]
    if changes:
        smaller[CHANGES] = changes
    if not {'cell_uuid', 'cell_mapping'} & set(changes):
        # What the cell was changed from.
        smaller.pop('nova_cellmap_object.loaded_cell', None)
    return smaller


def mapping_of(row: list[Any], data: dict[str, Any]) -> dict[str, Any]:
    """The primitive of the mapping of a row, as doc/source/contributor/releases.rst has it."""
    number, instance_uuid, cell, owner, queued, created, updated = row
    fields = {
        'id': number,
        'instance_uuid': instance_uuid,
        'cell_mapping': None if cell is None else data['cells'][cell],
        'project_id': data['owners'][owner][0],
        'user_id': data['owners'][owner][1],
        'queued_for_delete': bool(queued),
        'created_at': time_of(created),
        'updated_at': time_of(updated),
    }
    in_cell = fields['cell_mapping']
    fields['cell_uuid'] = None if in_cell is None else in_cell[DATA]['uuid']
    if fields['user_id'] is None:
        del fields['user_id']
    return {
        NAME: 'nova_cellmap.InstanceMapping',
        NAMESPACE: 'nova_cellmap',
        VERSION: '1.4',
        DATA: fields,
    }


def time_of(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
