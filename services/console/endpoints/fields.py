"""What forms say of an endpoint, as the contract has it; and back, as forms show it."""

from collections.abc import Iterable, Mapping, Sequence

from services.console.pages.forms import Typed
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.tag_pb2 import Tag

WHITELISTS: Mapping[str, Endpoint.Whitelist.ValueType] = {
    "listed": Endpoint.WHITELIST_UNSPECIFIED,
    "enabled": Endpoint.WHITELIST_ENABLED,
    "disabled": Endpoint.WHITELIST_DISABLED,
}


def whitelist_of(form: Typed) -> Endpoint.Whitelist.ValueType:
    """As chosen; that it counts where it is not empty, for nonsense."""
    return WHITELISTS.get(form.text("whitelist"), Endpoint.WHITELIST_UNSPECIFIED)


def whitelist_word(endpoint: Endpoint) -> str:
    return next(word for word, number in WHITELISTS.items() if number == endpoint.whitelist)


def tags_of(text: str) -> Sequence[Tag]:
    """One in a line: key=value, or a key alone."""
    parts = (line.partition("=") for line in text.splitlines() if line.strip())
    return [Tag(key=key.strip(), value=value.strip()) for key, _, value in parts]


def tags_text(tags: Iterable[Tag]) -> str:
    return "\n".join(f"{tag.key}={tag.value}" if tag.value else tag.key for tag in tags)
