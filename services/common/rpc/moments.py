"""Moments as requests name them."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import Invalid


def nanoseconds(time: Timestamp, field: str) -> int:
    """Since the epoch. Raises Invalid for what is no moment: a Timestamp may hold any number."""
    try:
        return int(time.ToNanoseconds())
    except ValueError:
        text = f"{field}: a moment is in the years 1 to 9999, with 0 to 999,999,999 nanoseconds"
        raise Invalid("FIELD_INVALID", text, field=field) from None
