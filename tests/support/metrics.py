"""What a program's metrics say, read as Prometheus does."""

import urllib.request
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def families(text: str) -> Iterator[Metric]:
    yield from text_string_to_metric_families(text)


def value(text: str, name: str, **labels: str) -> float:
    """The value of one sample; AssertionError where there is none or more."""
    found = [
        sample.value
        for family in families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]
