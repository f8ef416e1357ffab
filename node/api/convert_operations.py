"""Ledger structs as JSON forms, and forms as ledger structs, field by field of the same name.

A form says how each field is written: bytes as hex, amounts as decimal strings. Those of operations
bear their operation's name as `type`. A grant stands as it does in genesis.json, so that what an
authority wrote for one is good for the other.
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec

from ledger import operations as ops
from ledger.codec import Wire
from node.api import forms

_FORMS: dict[str, type[forms.Form]] = {
    form.__struct_config__.tag: form for form in get_args(forms.OperationForm)
}
_FORM_OF = {kind: _FORMS[kind.name] for kind in get_args(ops.Operation)}
_KIND_OF = {form: kind for kind, form in _FORM_OF.items()}


def operation_form(operation: ops.Operation) -> forms.OperationForm:
    form: forms.OperationForm = _form(operation, _FORM_OF[type(operation)])
    return form


def read_operation(form: forms.OperationForm) -> ops.Operation:
    """Whether it is valid is not looked at."""
    operation: ops.Operation = _read(form, _KIND_OF[type(form)])
    return operation


def _form(value: Any, kind: Any) -> Any:
    """`value` as the form type `kind` writes it."""
    if isinstance(value, Wire):
        return kind(**{name: _form(getattr(value, name), of) for name, of in _fields(kind)})
    if isinstance(value, tuple):
        return [_form(item, get_args(kind)[0]) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if _base(kind) is str else value


def _read(value: Any, kind: Any) -> Any:
    """The inverse: a value of the ledger type `kind`."""
    if isinstance(value, forms.Form):
        return kind(**{name: _read(getattr(value, name), of) for name, of in _fields(kind)})
    base = _base(kind)
    if isinstance(value, list):
        return tuple([_read(item, get_args(base)[0]) for item in value])
    if isinstance(value, str) and base is not str:
        return bytes.fromhex(value) if base is bytes else int(value)
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((item.name, item.type) for item in msgspec.structs.fields(kind))


def _base(kind: Any) -> Any:
    """A type without its bounds."""
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind
