"""Every setting as a flat list: its name, its environment variable, its type, default and description."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from schemas.settings import Settings

PREFIX = "TRACEWARDEN_"
CONFIG_VARIABLE = PREFIX + "CONFIG"

_WORDS = {
    Path: "path",
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    SecretStr: "secret",
    IPv4Network: "network",
    IPv6Network: "network",
}


@dataclass(frozen=True)
class Setting:
    """One leaf of the settings. `list_of` holds the fields of an item where the setting is a list of sections."""

    name: str
    kind: str
    default: str
    description: str
    required: bool
    secret: bool
    list_of: tuple[tuple[str, tuple[Setting, ...]], ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable(self.name)


def variable(name: str) -> str:
    """The environment variable of a dotted name."""
    return PREFIX + name.upper().replace(".", "__")


def list_settings(model: type[BaseModel] = Settings, prefix: str = "") -> tuple[Setting, ...]:
    """All settings below `model`, in the order of their declaration."""
    return tuple(_leaves(model, prefix))


def list_sections(model: type[BaseModel] = Settings) -> tuple[tuple[str, type[BaseModel]], ...]:
    """The sections by name."""
    found = ((name, _section(field.annotation)) for name, field in model.model_fields.items())
    return tuple((name, section) for name, section in found if section is not None)


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            yield from _leaves(section, f"{prefix}{name}.")
        else:
            yield _setting(prefix + name, field)


def _setting(name: str, field: FieldInfo) -> Setting:
    return Setting(
        name=name,
        kind=_kind(field.annotation),
        default="" if field.is_required() else _default(field.get_default(call_default_factory=True)),
        description=field.description or "",
        required=field.is_required(),
        secret=SecretStr in _parts(field.annotation),
        list_of=tuple((part.__name__, list_settings(part)) for part in _parts(field.annotation) if _is_section(part)),
    )


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section a field is, also an optional one; None for a leaf (a list of sections is a leaf)."""
    options = get_args(annotation) if get_origin(annotation) in (types.UnionType, Union) else (annotation,)
    found = [option for option in options if _is_section(option)]
    return found[0] if len(found) == 1 else None


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Every plain type inside an annotation."""
    if get_origin(annotation) is Literal:
        return (annotation,)
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    inner = get_args(annotation)
    return tuple(part for argument in inner for part in _parts(argument)) if inner else (annotation,)


def _kind(annotation: Any) -> str:
    words: list[str] = []
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            words += [f"`{value}`" for value in get_args(part)]
        elif part in _WORDS and _WORDS[part] not in words:
            words.append(_WORDS[part])
        elif _is_section(part):
            words.append("section")
    if get_origin(annotation) is tuple:
        return f"list of {'sections' if 'section' in words else words[0] + 's'}"
    return " or ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + " or " + words[-1]


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if value == ():
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_default(each)}" for key, each in value.items()) or "empty"
    return f"{value:g}" if isinstance(value, float) else str(value)
