"""Paths that a form names to go on at."""


def inside(path: str, otherwise: str = "/") -> str:
    """The path, if it is one of ours: whoever follows a link must not be led elsewhere."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else otherwise
