"""What happened to a thing, as its page tells it."""

from services.console.pages.chronicle import SAID
from services.endpoint.wire import sights as endpoint_sights
from services.registry.wire import sights as registry_sights


def test_every_word_of_watches_of_things_with_pages_has_a_sentence() -> None:
    told = {*registry_sights.WORDS.values(), *endpoint_sights.WORDS.values()}
    assert told == set(SAID)
