"""A log says which program's it is; one that was written before is its next opener's."""

from alembic import op
from sqlalchemy import Column, Text, text

revision = "2"
down_revision = "1"

Name = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("log_info", Column("program", Name, nullable=False, server_default=text("''")))
