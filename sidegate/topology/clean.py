"""Names of others, made harmless before anything is drawn of them."""

import html

LONGEST = 80


def line(text: str) -> str:
    """On one line, without what moves a terminal's cursor or turns writing round, and not without end."""
    said = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def markup(text: str) -> str:
    """The same within an HTML-like label of Graphviz."""
    return html.escape(line(text), quote=True)


def quoted(text: str) -> str:
    """A string of DOT, quoted: what is a backslash stays one, and an ampersand begins no entity."""
    escaped = line(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{escaped}"'
