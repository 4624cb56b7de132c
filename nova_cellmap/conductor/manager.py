# SPDX-License-Identifier: Apache-2.0
"""What the conductor does for those who call it."""

from collections.abc import Callable
import inspect
from typing import Any, NoReturn

import oslo_messaging
from oslo_utils import versionutils
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap import objects  # noqa: F401 - registers them
from nova_cellmap.conductor import bounds
from nova_cellmap.conductor import cells
from nova_cellmap.conductor import rpc
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import base


class Serializer(base.CellMapObjectSerializer):
    """The serializer of the conductor: it refuses arguments that are no objects of ours."""

    def _process_object(self, context: Any, objprim: dict[str, Any]) -> Any:
        name = objprim[f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.name']
        if not isinstance(name, str) or name not in base.registered():
            _refuse(f'{name}', 'it is no object of nova_cellmap')
        try:
            obj: Any = super()._process_object(context, objprim)
        except (
            exception.RemoteCallRefused,
            exception.PageTooLarge,
            library_exception.IncompatibleObjectVersion,
            RecursionError,
        ):
            raise
        except Exception as error:
            # Of a caller who made it up: fields or versions that no object has.
            _refuse(name, f'it is no object of nova_cellmap: {type(error).__name__}, {error}')
        # A newer caller can set fields of its own on an object that it read from us.
        changes = objprim.get(f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.changes', ())
        if not isinstance(changes, list | tuple) or not all(type(each) is str for each in changes):
            _refuse(name, 'its changes are no names of fields')
        if unknown := set(changes) - set(obj.fields):
            _refuse(name, f'{", ".join(sorted(unknown))} of it is of a later release')
        return obj


class ConductorManager:
    """The RPC endpoint. Its methods' names and arguments are the library's.

    Only remotable methods of registered objects of nova_cellmap can be called.

    :param page_size: the greatest number of objects that one call may name, bring or return
    :param policy: what clients may do with cells
    """

    target = oslo_messaging.Target(namespace=rpc.NAMESPACE, version=rpc.VERSION)

    def __init__(self, page_size: int, policy: cells.Policy) -> None:
        self._page_size = page_size
        self._policy = policy

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def ping(self, context: RequestContext) -> str:
        """Answer, so that a client knows that somebody does."""
        return 'pong'

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def object_class_action_versions(
        self,
        context: RequestContext,
        objname: str,
        objmethod: str,
        object_versions: dict[str, str],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a class method; answer objects in versions that the caller knows."""
        versions = _capped(object_versions)
        cls = _class(objname, versions)
        method = _remotable(cls, objmethod)
        self._policy.check(cls, objmethod)
        result = self._call_bounded(method, context, args, kwargs)
        self._policy.hide(result)
        if isinstance(result, base.CellMapObject):
            return result.obj_to_primitive(versions[objname], versions)
        return result

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def object_action(
        self,
        context: RequestContext,
        objinst: base.CellMapObject,
        objmethod: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> tuple[dict[str, Any], Any]:
        """Call a method of an object; answer what it changed of it, and its result."""
        if not isinstance(objinst, base.CellMapObject):
            _refuse(f'{type(objinst).__name__}.{objmethod}', 'it is no object of nova_cellmap')
        method = _remotable(objinst, objmethod)
        self._policy.check(type(objinst), objmethod)
        self._policy.check_written(objinst)
        before = _data(objinst)
        result = _call(method, args, kwargs)
        self._policy.hide(objinst)
        updates = {
            name: value
            for name, value in _data(objinst).items()
            if name not in before or before[name] != value
        }
        return {**updates, 'obj_what_changed': sorted(objinst.obj_what_changed())}, result

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def object_backport_versions(
        self,
        context: RequestContext,
        objinst: base.CellMapObject,
        object_versions: dict[str, str],
    ) -> dict[str, Any]:
        """Take an object that is too new for the caller down to the versions it knows."""
        if not isinstance(objinst, base.CellMapObject):
            _refuse('object_backport_versions', 'it is no object of nova_cellmap')
        target = _versions(object_versions).get(objinst.obj_name())
        if target is None:
            _refuse(f'{objinst.obj_name()}.object_backport_versions', 'no version is asked for')
        return objinst.obj_to_primitive(target, object_versions)

    def _call_bounded(
        self, method: Callable[..., Any], context: RequestContext, args: Any, kwargs: Any
    ) -> Any:
        """Call a method that may return a page, and return no more than a page."""
        call = _bind(method, [context, *args], kwargs)
        for value in call.arguments.values():
            if isinstance(value, list) and len(value) > self._page_size:
                raise exception.PageTooLarge(limit=self._page_size)
        if 'limit' not in inspect.signature(method).parameters:
            return method(*call.args, **call.kwargs)
        limit = call.arguments.get('limit')
        if limit is None:
            # One more tells whether there are too many.
            call.arguments['limit'] = self._page_size + 1
        elif type(limit) is int:
            call.arguments['limit'] = min(limit, self._page_size + 1)
        result = method(*call.args, **call.kwargs)
        if len(result) > self._page_size:
            raise exception.PageTooLarge(limit=self._page_size)
        return result


def _versions(wanted: Any) -> dict[str, str]:
    """The caller's versions, where that is what they are."""
    if not isinstance(wanted, dict):
        _refuse('an object', 'no versions of objects are asked for')
    for version in wanted.values():
        bounds.check_version(version)
    return wanted


def _capped(wanted: Any) -> dict[str, str]:
    """The caller's versions, but none newer than ours: a newer caller reads older objects."""
    ours = {name: cls[0].VERSION for name, cls in base.registered().items()}
    return {
        name: min(version, ours.get(name, version), key=versionutils.convert_version_to_tuple)
        for name, version in _versions(wanted).items()
    }


def _class(objname: str, versions: dict[str, str]) -> type[base.CellMapObject]:
    if not isinstance(objname, str) or objname not in base.registered():
        _refuse(f'{objname}', 'it is no object of nova_cellmap')
    if objname not in versions:
        _refuse(objname, 'no version of it is asked for')
    return base.CellMapObject.obj_class_from_name(objname, versions[objname])  # type: ignore[return-value]


def _remotable(target: Any, name: str) -> Callable[..., Any]:
    of_class = isinstance(target, type)
    # Looked up on the class: a field that is asked for by name is not to be loaded.
    found = None
    if isinstance(name, str) and not name.startswith('_'):
        found = getattr(target if of_class else type(target), name, None)
    # A class method of an object would take its context from the caller's arguments.
    if not getattr(found, 'remotable', False) or inspect.ismethod(found) is not of_class:
        kind = 'class' if of_class else 'object'
        _refuse(f'{target.obj_name()}.{name}', f'it is no remotable method of the {kind}')
    method: Callable[..., Any] = getattr(target, name)
    return method


def _refuse(what: str, reason: str) -> NoReturn:
    raise exception.RemoteCallRefused(what=what, reason=reason)


def _call(method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    call = _bind(method, args, kwargs)
    return method(*call.args, **call.kwargs)


def _bind(
    method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> inspect.BoundArguments:
    try:
        return inspect.signature(method).bind(*args, **kwargs)
    except TypeError as error:
        raise exception.InvalidInput(reason=str(error)) from None


def _data(obj: base.CellMapObject) -> dict[str, Any]:
    """The fields of *obj*, as the version that its owner knows has them."""
    primitive = obj.obj_to_primitive()
    data: dict[str, Any] = primitive[f'{obj.OBJ_SERIAL_NAMESPACE}.data']
    # The object is of our class, and only says that it is of its owner's version.
    obj.obj_make_compatible(data, obj.VERSION)
    return data
