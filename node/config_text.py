"""The text of marsa.toml: every option explained, and what a command changes in it later."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Meta

from node.config import Options, Section


def template(options: Options) -> str:
    """marsa.toml with these options, every one explained; defaults are commented out."""
    lines = [
        "# Settings of one Marsa node. What is commented out is the default. An option can also be",
        "# set by the environment (api.listen as MARSA_API_LISTEN) or by a flag of `marsa node",
        "# run` (--set api.listen=127.0.0.1:8641), which wins over both.",
    ]
    sections = []
    for field in msgspec.structs.fields(Options):
        value = getattr(options, field.name)
        if isinstance(value, Section):
            sections.append((field.name, value))
        else:
            lines += ["", *_option(field, value)]
    for name, section in sections:
        lines += ["", f"# {type(section).__doc__}", f"[{name}]"]
        for field in msgspec.structs.fields(type(section)):
            lines += _option(field, getattr(section, field.name))
    return "\n".join(lines) + "\n"


def with_peers(text: str, peers: Mapping[str, str]) -> str:
    """A file that `template` wrote with other peers, and whatever else was changed in it.

    Where somebody wrote its peers in another way they stay as they are.
    """
    return re.sub(r"(?m)^(?:# )?peers = .*$", lambda _: f"peers = {_toml(dict(peers))}", text)


def with_listen(text: str, section: str, address: str) -> str:
    """As `with_peers`, with another address of a listener; as it was where no line says one."""
    line = rf"(?m)^(\[{section}\]\n(?:(?!\[).*\n)*?)(?:# )?listen = .*$"
    return re.sub(line, lambda found: f"{found[1]}listen = {_toml(address)}", text, count=1)


def _option(field: msgspec.structs.FieldInfo, value: Any) -> list[str]:
    default = () if field.default_factory is not msgspec.NODEFAULT else field.default
    is_default = not value if field.default_factory is not msgspec.NODEFAULT else value == default
    mark = "# " if is_default else ""
    return [f"# {_description(field)}", f"{mark}{field.name} = {_toml(value)}"]


def _description(field: msgspec.structs.FieldInfo) -> str:
    metas = [item for item in field.type.__metadata__ if isinstance(item, Meta)]
    return next(meta.description for meta in metas if meta.description is not None)


def _toml(value: Any) -> str:
    """A value as TOML; strings of JSON are strings of TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
