"""`python -m api.settings_docs` prints docs/settings.md from the settings themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from api.settings_catalogue import PREFIX, Setting, list_sections, list_settings

HEAD = f"""# Settings

<!-- Made by `python -m api.settings_docs > docs/settings.md`; a test compares. -->

Sources, strongest first: command-line flags, environment, the YAML file of `--config` (or `{PREFIX}CONFIG`), the defaults.

- A variable is `{PREFIX}` and the name in capitals, with `__` for each dot: `query.threads` is `{PREFIX}QUERY__THREADS`.
- Lists are JSON in a variable: `{PREFIX}OUTGOING__ALLOWED_NETWORKS='["10.1.0.0/16"]'`.
- In the file a dot is a level:

  ```yaml
  data_dir: /var/lib/tracewarden
  rollback:
    mode: approve
  alerting:
    channels:
      - type: slack
        name: on-call
        url_file: /run/secrets/slack_url
  ```

- Names that do not exist are refused, in the file and in the environment, with the nearest that does.
- A secret can stand in place or in a file (`…_file`), never both. `tracewarden config show` prints every value and its source,
  secrets hidden; `tracewarden doctor` tries what they lead to.
- Kubernetes sets variables such as `{PREFIX}SERVICE_HOST` and `{PREFIX}PORT` for a Service called `tracewarden`: put
  `enableServiceLinks: false` into the pod, or call the Service otherwise.
- `ingest`, `write`, `alert` and `api` as processes of their own need `kafka.bootstrap_servers`, `clickhouse_url` and
  `database_url`, which they share; `serve` needs none of them.
"""


def page() -> str:
    """The whole page."""
    sections = dict(list_sections())
    leaves = [setting for setting in list_settings() if "." not in setting.name]
    parts = [HEAD, "## The process\n", *_table(leaves)]
    for name, section in sections.items():
        parts += [f"## {name}\n", f"{section.__doc__}\n", *_table(list_settings(section, f"{name}."))]
    return "\n".join(parts)


def _table(settings: tuple[Setting, ...] | list[Setting]) -> Iterator[str]:
    yield from _rows(settings)
    for setting in settings:
        for title, items in setting.list_of:
            yield f"Each of `{setting.name}`{_which(title, setting)}:\n"
            yield from _rows(items)


def _which(title: str, setting: Setting) -> str:
    return f" of type {title.removesuffix('Channel').lower()}" if len(setting.list_of) > 1 else ""


def _rows(settings: tuple[Setting, ...] | list[Setting]) -> Iterator[str]:
    yield "| setting | value | default | what it does |\n|---|---|---|---|"
    for setting in settings:
        default = "required" if setting.required else f"`{setting.default}`"
        yield f"| `{setting.name}` | {setting.kind} | {default} | {setting.description} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
