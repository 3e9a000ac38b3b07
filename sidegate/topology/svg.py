"""Graphviz lays the graph out: its SVG, which asks nobody for anything, for light and dark pages."""

import shutil
import subprocess
from collections.abc import Mapping
from xml.etree import ElementTree

from sidegate.topology import clean

SECONDS = 60.0
NAMESPACE = "http://www.w3.org/2000/svg"
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "good": "#1a7f37",
    "waiting": "#9a6700",
    "bad": "#cf222e",
    "plain": "#59636e",
    "box": "#f6f8fa",
}
DARK = {
    "paper": "#0d1117",
    "ink": "#e6edf3",
    "good": "#3fb950",
    "waiting": "#d29922",
    "bad": "#f85149",
    "plain": "#9198a1",
    "box": "#161b22",
}


def _style(colours: Mapping[str, str]) -> str:
    """Colours as they are: programs that draw SVG outside of browsers know no variables."""
    plain = colours["plain"]
    rules = [
        f".paper {{ fill: {colours['paper']}; }}",
        f"text {{ fill: {colours['ink']}; }}",
        f".cluster path, .cluster polygon {{ stroke: {plain}; }}",
        f".vpc path {{ fill: {colours['box']}; }}",
        f".node path, .node polygon, .node polyline, .node ellipse {{ stroke: {plain}; fill: none; }}",
        f".edge path {{ stroke: {plain}; }}",
        f".edge polygon {{ stroke: {plain}; fill: {plain}; }}",
    ]
    for tone in ("good", "waiting", "bad", "plain"):
        of, colour = f".{tone}", colours[tone]
        shapes = ", ".join(f".node{of} {shape}" for shape in ("path", "polygon", "polyline"))
        rules.append(f"{shapes}, .edge{of} path, .edge{of} polygon {{ stroke: {colour}; }}")
        rules.append(f".edge{of} polygon {{ fill: {colour}; }}")
        rules.append(f".edge{of} text, .key{of} text {{ fill: {colour}; }}")
    return "\n".join(rules)


STYLE = f"\n{_style(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{_style(DARK)}\n}}\n"


class NotDrawn(Exception):
    """Why there is no picture, and the way out."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


def render(source: str, title: str) -> str:
    """Raises NotDrawn. What it draws of is DOT of ours, in which names are text."""
    return dressed(_dot(source), title)


def _dot(source: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise NotDrawn(
            "Graphviz's program `dot`, which draws pictures, is not installed",
            "install the package graphviz; --format text needs none, and --dot prints the source for elsewhere",
        )
    command = [program, "-Tsvg"]
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        hint = "--vpc VPC draws a part; --format text draws all of it"
        raise NotDrawn(f"Graphviz did not end within {SECONDS:g} s: too much for one picture", hint) from error
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotDrawn(f"Graphviz drew nothing: {said[-1] if said else done.returncode}", "--dot prints what it got")
    return done.stdout


def dressed(drawn: bytes, title: str) -> str:
    """Graphviz's SVG without its doctype, comments and links, with colours for light and dark."""
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(drawn)  # noqa: S314 # written by Graphviz a moment ago
    root.set("role", "img")
    root.set("aria-label", clean.line(title))
    style = ElementTree.Element(f"{{{NAMESPACE}}}style")
    style.text = STYLE
    attributes = {"class": "paper", "width": "100%", "height": "100%"}
    paper = ElementTree.Element(f"{{{NAMESPACE}}}rect", attributes)
    named = ElementTree.Element(f"{{{NAMESPACE}}}title")
    named.text = clean.line(title)
    for place, element in enumerate((named, style, paper)):
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
