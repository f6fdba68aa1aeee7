"""Reading the settings for a person: every problem is one line with the name, its environment variable and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import SettingsError

from api.settings_catalogue import CONFIG_VARIABLE, PREFIX, Setting, list_sections, list_settings, variable
from schemas.settings import Settings, load_settings

_OF_A_KUBERNETES_SERVICE = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)\w*)?)$")
_CLOSE = 0.6


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` has one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def read_settings(config: Path | None, flags: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """The settings from all sources.

    Raises:
        ConfigurationError: with every problem that was found.
    """
    problems = unknown_variables(environment)
    if config is not None:
        problems += _problems_of_file(config)
    if problems:
        raise ConfigurationError(problems)
    try:
        return load_settings(config, **flags)
    except ValidationError as error:
        raise ConfigurationError(explain(error)) from error
    except SettingsError as error:
        raise ConfigurationError([_malformed(error)]) from error


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each variable with our prefix that sets nothing: a typing error there would otherwise go unseen."""
    known = (
        {setting.variable for setting in list_settings()} | {variable(name) for name, _ in list_sections()} | {CONFIG_VARIABLE}
    )
    ours = sorted(name for name in environment if name.upper().startswith(PREFIX))
    return [_unknown_variable(name, known) for name in ours if name.upper() not in known]


def _unknown_variable(name: str, known: set[str]) -> str:
    if _OF_A_KUBERNETES_SERVICE.search(name):
        return (
            f"{name} is no setting; Kubernetes sets it for a Service of that name: put `enableServiceLinks: false` in the pod"
        )
    bare = {other.removeprefix(PREFIX) for other in known}  # the prefix in common would make everything alike
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, n=1, cutoff=_CLOSE)
    return f"{name} is no setting of Tracewarden: {_advice([PREFIX + found for found in close])}"


def _advice(close: list[str]) -> str:
    return f"did you mean {close[0]}?" if close else "remove it, or look it up in docs/settings.md"


def _problems_of_file(config: Path) -> list[str]:
    try:
        read = yaml.safe_load(config.read_text())
    except OSError as error:
        return [f"{config} cannot be read ({error.strerror}): pass --config with a readable YAML file"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [f"{config} is not YAML: {' '.join(str(error).split())}"]
    if read is not None and not isinstance(read, dict):
        return [f"{config} holds a {type(read).__name__}: write settings as `name: value`, as in docs/settings.md"]
    return []


def _malformed(error: SettingsError) -> str:
    found = re.search(r'field "(\w+)"', str(error))
    name = found.group(1) if found else ""
    return f"{name} ({variable(name)}) is not valid JSON: {error.__cause__}"


def explain(error: ValidationError) -> list[str]:
    """A line for each problem of a failed validation; values of secrets are not repeated."""
    return [_explain(dict(entry)) for entry in error.errors()]


def _explain(entry: dict[str, Any]) -> str:
    path = tuple(part for part in entry["loc"] if part not in ("slack", "webhook"))
    name = ".".join(map(str, path))
    if not path:
        return _bare(entry["msg"])
    place = f"{name} ({_set_by(name)})"
    if entry["type"] == "extra_forbidden":
        return f"{place} is no setting of Tracewarden: {_advice(_near(name))}"
    if entry["type"] == "missing":
        return f"{place} is missing: {_described(name)}"
    return f"{place}: {_bare(entry['msg'])}{_given(name, entry['input'])}"


def _near(name: str) -> list[str]:
    return difflib.get_close_matches(name, [setting.name for setting in _named()], n=1, cutoff=_CLOSE)


def _bare(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _given(name: str, value: object) -> str:
    if isinstance(value, SecretStr | dict | list | tuple) or _is_secret(name):
        return ""
    return f" (it is {value!r})"


def _set_by(name: str) -> str:
    """The environment variable of a setting; for an item of a list, that of the list."""
    return variable(re.split(r"\.\d+(\.|$)", name)[0])


def _named() -> list[Setting]:
    return [*list_settings(), *(item for setting in list_settings() for item in _items(setting))]


def _items(setting: Setting) -> list[Setting]:
    return [item for _, items in setting.list_of for item in items]


def _find(name: str) -> Setting | None:
    """The setting of a dotted name, also of a field of a list's item (`alerting.channels.0.url`)."""
    whole, *inner = re.split(r"\.\d+\.", name)
    for setting in list_settings():
        if setting.name == whole:
            return next((item for item in _items(setting) if item.name == inner[0]), None) if inner else setting
    return None


def _is_secret(name: str) -> bool:
    found = _find(name)
    return found is not None and found.secret


def _described(name: str) -> str:
    found = _find(name)
    return found.description.rstrip(".") if found and found.description else "set it, or remove its section"


def sources(config: Path | None, flags: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, str]:
    """For each setting where its value came from: a flag, a variable, the file or the default."""
    in_file = yaml.safe_load(config.read_text()) if config is not None else None
    present = {name.upper() for name in environment}
    return {setting.name: _source(setting.name, flags, present, in_file or {}, config) for setting in list_settings()}


def _source(name: str, flags: Mapping[str, object], present: set[str], in_file: dict[str, Any], config: Path | None) -> str:
    section = name.partition(".")[0]
    if name in flags:
        return "--" + name.replace("_", "-")
    for candidate in (variable(name), variable(section)):
        if candidate in present:
            return candidate
    return str(config) if _has(in_file, name.split(".")) else "default"


def _has(tree: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def shown_values(settings: Settings) -> dict[str, object]:
    """Each setting's value for a screen: secrets as `**********`, unset as None."""
    return {setting.name: _plain(_value(settings, setting.name.split("."))) for setting in list_settings()}


def _value(model: BaseModel, path: list[str]) -> object:
    value: object = model
    for part in path:
        value = None if value is None else getattr(value, part)
    return value


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {name: _plain(item) for name, item in value if item is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
