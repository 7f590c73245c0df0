"""Draft a migration from what differs between schema and migrations: `python registry/draft_migration.py NNNN words`.

Read what it wrote: it knows neither data nor triggers, nor constraints that were changed in place.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from ldt_registry import migrations
from ldt_registry.database import Database


def main(number: str, words: str) -> None:
    """Write versions/NNNN_words.py."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/draft.db")
        if any((migrations.HERE / "versions").glob("[0-9]*.py")):
            migrations.move(database)
        known = migrations.current(database)
        config = Config()
        config.set_main_option("script_location", str(migrations.HERE))
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        with database.write_unchecked() as connection:
            config.attributes |= {"connection": connection, "batch": known is not None}
            made = command.revision(config, words, autogenerate=True, rev_id=number)
    print(Path(made.path).relative_to(Path.cwd()))  # type: ignore[union-attr]


if __name__ == "__main__":
    main(sys.argv[1], " ".join(sys.argv[2:]))
