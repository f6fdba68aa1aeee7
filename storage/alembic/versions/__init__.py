"""Migrations of the control database, run by `storage.control.ControlDatabase.migrate`."""
