"""A message of the contract as JSON: proto field names, states as words, numbers as numbers, times in RFC 3339."""

import base64
import re
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from google._upb import _message as native
    from google.protobuf import descriptor

# Descriptors are protobuf's own classes, or those of its extension in C.
Field: TypeAlias = "descriptor.FieldDescriptor | native.FieldDescriptor"
Enum: TypeAlias = "descriptor.EnumDescriptor | native.EnumDescriptor"

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def of(message: Message) -> dict[str, Json]:
    """Every field of the message; null where a message is not set, left out where an alternative was not chosen."""
    return {
        field.name: _field(message, field)
        for field in message.DESCRIPTOR.fields
        if field.containing_oneof is None or message.HasField(field.name)
    }


def _field(message: Message, field: Field) -> Json:
    value = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {str(key): _value(field.message_type.fields_by_name["value"], value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_value(field, each) for each in value]
    if field.message_type and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Field, value: object) -> Json:
    match value:
        case Timestamp():
            return str(value.ToJsonString())
        case Duration():
            return str(value.ToJsonString())
        case Message():
            return of(value)
        case bytes():
            return base64.b64encode(value).decode()
        case int() if field.enum_type:
            return word(field.enum_type, value)
        case bool() | int() | float():
            return value
        case _:
            return str(value)


def word(enum: Enum, number: int) -> str:
    """An enum's value as a word: CONNECTION_STATE_PENDING_ACCEPTANCE is pendingAcceptance."""
    found = enum.values_by_number.get(number)
    if found is None:
        return str(number)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    first, *others = found.name.removeprefix(prefix).lower().split("_")
    return first + "".join(each.capitalize() for each in others)
