"""The YAML file of rules. Everything wrong with it is reported at once, with file, line and rule."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from schemas.rules import InvalidRuleError, Rule, parse_rule

EVERY_PROJECT = "*"
_MEMBERS = frozenset({"project", "rules"})


@dataclass(frozen=True)
class RuleFile:
    """Rules of one file; `project` is the one they hold in, or `*` for each."""

    project: str
    rules: tuple[Rule, ...]


class RuleFileError(ValueError):
    """The file cannot be used; each line of the message is `file:line: what and how to fix it`."""


@dataclass(frozen=True)
class _Finding:
    line: int
    text: str


def read_rule_file(path: Path, channels: Collection[str]) -> RuleFile:
    """The rules of a file.

    Raises:
        RuleFileError: it cannot be read, is not YAML, or a rule is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileError(f"{path}: cannot be read ({error}): check alerting.rules_file") from error
    return parse_rule_file(text, str(path), channels)


def parse_rule_file(text: str, source: str, channels: Collection[str]) -> RuleFile:
    """The rules of a file's text; `source` names it in errors.

    Raises:
        RuleFileError: as `read_rule_file`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RuleFileError(f"{source}:{_error_line(error)}: not YAML: {_error_text(error)}") from error
    found = [*_duplicates(root), *_shape(root, data)]
    rules: list[Rule] = []
    if not found:
        rules, found = _rules(root, data, channels)
    if found:
        raise RuleFileError(
            "\n".join(f"{source}:{item.line}: {item.text}" for item in sorted(found, key=lambda item: item.line))
        )
    return RuleFile(str(data.get("project", EVERY_PROJECT)), tuple(rules))


def _shape(root: yaml.Node | None, data: object) -> Iterator[_Finding]:
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        yield _Finding(1, "the file needs a list under `rules:`")
        return
    for name in sorted(map(str, data.keys() - _MEMBERS)):
        yield _Finding(_line(root, (name,)), f"{name}: no such member: the file has `project` and `rules`")
    if not isinstance(data.get("project", EVERY_PROJECT), str):
        yield _Finding(_line(root, ("project",)), "project: write its name, or * for each")


def _rules(
    root: yaml.Node | None, data: dict[str, list[object]], channels: Collection[str]
) -> tuple[list[Rule], list[_Finding]]:
    rules: list[Rule] = []
    found: list[_Finding] = []
    for place, entry in enumerate(data["rules"]):
        try:
            rule = parse_rule(entry, channels)
        except InvalidRuleError as error:
            found += [
                _Finding(_line(root, ("rules", place, *one.path)), _text(entry, place, one.path, one.detail))
                for one in error.complaints
            ]
            continue
        if rule.name in {known.name for known in rules}:
            found.append(
                _Finding(_line(root, ("rules", place, "name")), f"rule {rule.name!r}: a second rule of that name: rename one")
            )
        rules.append(rule)
    return rules, found


def _text(entry: object, place: int, path: tuple[str | int, ...], detail: str) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    who = f"rule {name!r}" if name else f"rule number {place + 1}"
    return f"{who}: {'.'.join(map(str, path))}{': ' if path else ''}{detail}"


def _line(node: yaml.Node | None, path: tuple[str | int, ...]) -> int:
    """The line, counted from 1, of the deepest part of `path` that the file has."""
    if node is None:
        return 1
    line = int(node.start_mark.line) + 1
    if not path:
        return line
    for key, value in _children(node):
        if key == path[0]:
            return max(line, _line(value, path[1:]) if path[1:] else int(value.start_mark.line) + 1)
    return line


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)


def _duplicates(node: yaml.Node | None) -> Iterator[_Finding]:
    """YAML lets a later key win silently; a rule that says something twice is a mistake."""
    if node is None:
        return
    seen: set[str | int] = set()
    for key, value in _children(node):
        if key in seen:
            yield _Finding(int(value.start_mark.line) + 1, f"{key}: is given twice: keep one")
        seen.add(key)
        yield from _duplicates(value)


def _error_line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return int(mark.line) + 1 if mark is not None else 1


def _error_text(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error)
