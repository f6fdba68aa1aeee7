"""Which of the plugins under tests/ are in use, and how Hypothesis looks for examples."""

import os

from hypothesis import settings

# Before a merge the same examples every time; at a desk new ones. No deadline: the machine may be busy.
settings.register_profile("merge", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("merge" if os.environ.get("CI") else "desk")

pytest_plugins = [
    "tests.kafka.fixtures",
    "tests.storage.fixtures",
    "tests.storage.fixtures_control",
    "tests.ingest.fixtures",
    "tests.api.read_fixtures",
    "tests.api.feedback_fixtures",
]
