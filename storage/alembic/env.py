"""Run by alembic: the connection, already in a transaction, is handed over by `ControlDatabase.migrate`."""

from alembic import context

from schemas.control import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
