"""Graphviz lays the graph out: its SVG, which asks nobody for anything, for light and dark pages."""

import shutil
import subprocess
from xml.etree import ElementTree

from sidegate.topology import clean

SECONDS = 60.0
NAMESPACE = "http://www.w3.org/2000/svg"
STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --good: #1a7f37; --waiting: #9a6700; --bad: #cf222e; --plain: #59636e;
  --box: #f6f8fa; }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #e6edf3; --good: #3fb950; --waiting: #d29922;
  --bad: #f85149; --plain: #9198a1; --box: #161b22; } }
.paper { fill: var(--paper); }
text { fill: var(--ink); }
.cluster path, .cluster polygon { stroke: var(--plain); }
.vpc path { fill: var(--box); }
.node path, .node polygon, .node polyline, .node ellipse { stroke: var(--plain); fill: none; }
.edge path { stroke: var(--plain); }
.edge polygon { stroke: var(--plain); fill: var(--plain); }
""" + "".join(
    f".node.{tone} path, .node.{tone} polygon, .node.{tone} polyline, .edge.{tone} path, .edge.{tone} polygon "
    f"{{ stroke: var(--{tone}); }}\n.edge.{tone} polygon {{ fill: var(--{tone}); }}\n"
    f".edge.{tone} text, .key.{tone} text {{ fill: var(--{tone}); }}\n"
    for tone in ("good", "waiting", "bad", "plain")
)


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
    attributes = {"class": "paper", "width": "100%", "height": "100%", "fill": "#ffffff"}  # for who knows no variables
    paper = ElementTree.Element(f"{{{NAMESPACE}}}rect", attributes)
    named = ElementTree.Element(f"{{{NAMESPACE}}}title")
    named.text = clean.line(title)
    for place, element in enumerate((named, style, paper)):
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
