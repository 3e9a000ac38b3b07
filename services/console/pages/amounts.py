"""Lengths of time and large numbers as people type and read them: 90s, 15m, 7d; 100k, 10G."""

import re

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
TIMES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LENGTH = re.compile(r"(\d{1,9})\s*([smhd]?)")
AMOUNT = re.compile(r"(\d{1,12})\s*([kMGT]?)")


def seconds(text: str) -> int:
    """Raises ValueError for what is no length of time."""
    if not (found := LENGTH.fullmatch(text)):
        raise ValueError(text)
    return int(found[1]) * SECONDS[found[2]]


def length(value: int) -> str:
    """In the largest unit that it is a whole number of; empty for 0."""
    unit = next(unit for unit in ("d", "h", "m", "s") if value % SECONDS[unit] == 0)
    return f"{value // SECONDS[unit]}{unit}" if value else ""


def amount(text: str) -> int:
    """Raises ValueError for what is no number."""
    if not (found := AMOUNT.fullmatch(text)):
        raise ValueError(text)
    return int(found[1]) * TIMES[found[2]]


def short(value: int) -> str:
    """With the largest suffix that leaves a whole number; empty for 0."""
    suffix = next(suffix for suffix in ("T", "G", "M", "k", "") if value % TIMES[suffix] == 0)
    return f"{value // TIMES[suffix]}{suffix}" if value else ""
