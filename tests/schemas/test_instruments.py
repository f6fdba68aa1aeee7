"""What `/metrics` shows is what is declared, each metric once."""

from __future__ import annotations

from prometheus_client import generate_latest

from schemas.instruments import Instruments


def test_every_declared_metric_is_on_the_registry_under_its_name() -> None:
    instruments = Instruments()
    exposed = generate_latest(instruments.registry).decode()
    for declaration in instruments.declarations:
        assert f"# HELP {declaration.name} " in exposed
        assert f"# TYPE {declaration.name} {declaration.kind}" in exposed


def test_names_are_unique_and_carry_the_prefix() -> None:
    names = [declaration.name for declaration in Instruments().declarations]
    assert len(names) == len(set(names))
    assert all(name.startswith("tracewarden_") for name in names)


def test_two_sets_in_one_process_do_not_collide() -> None:
    first, second = Instruments(), Instruments()
    first.spans_accepted.labels("http").inc(3)
    assert second.registry.get_sample_value("tracewarden_spans_accepted_total", {"transport": "http"}) is None
