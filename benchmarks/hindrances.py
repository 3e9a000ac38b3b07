"""What is known to hold back figures that miss their aim: by the beginnings of their names."""

from collections.abc import Mapping

HINDRANCES: Mapping[tuple[str, ...], str] = {}
