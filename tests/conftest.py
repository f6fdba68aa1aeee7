"""Which of the plugins under tests/ are in use."""

pytest_plugins = [
    "tests.kafka.fixtures",
    "tests.storage.fixtures",
    "tests.storage.fixtures_control",
    "tests.ingest.fixtures",
    "tests.api.read_fixtures",
]
