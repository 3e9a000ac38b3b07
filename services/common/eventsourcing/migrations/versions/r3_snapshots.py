"""What a log came to at some of its positions is kept, to begin from: made by programs as they run, from none on."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary
from sqlalchemy.schema import PrimaryKeyConstraint

revision = "3"
down_revision = "2"

Number = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "snapshots",
        Column("position", Number, nullable=False, autoincrement=False),
        Column("reducer", Number, nullable=False),
        Column("hash", LargeBinary, nullable=False),
        Column("data", LargeBinary, nullable=False),
        PrimaryKeyConstraint("position"),
        sqlite_strict=True,
    )
