"""`sidegate topology`: what there is and what leads where, as text, as a picture, and as data."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sidegate.cli import completing, facts, resolve
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View
from sidegate.topology import document, dot, text
from sidegate.topology import svg as pictures
from sidegate.topology.build import build, only
from sidegate.topology.gather import gather
from sidegate.topology.graph import Graph


class Form(StrEnum):
    """How the graph is shown."""

    TEXT = "text"
    JSON = "json"
    DOT = "dot"
    SVG = "svg"


async def topology(
    session: Session,
    *,
    form: Annotated[
        Form | None, typer.Option("--format", help="As text, which is the default; JSON; Graphviz's source; a picture.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture to this file; Graphviz draws it.")
    ] = None,
    dot_source: Annotated[bool, typer.Option("--dot", help="The same as --format dot.")] = False,
    vpc: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VPC",
            help="Only this VPC, by name or id, and what it is connected to; once for each.",
            autocompletion=completing.vpc,
        ),
    ] = None,
) -> View:
    """Draw VPCs, machines, endpoints, services and connections: the operator sees all, others what is theirs."""
    if (form is not None) + dot_source + (svg is not None) > 1:
        raise Complaint("--format, --dot and --svg each say how it is shown", Exit.USAGE, "give one of them")
    graph = build(await gather(session.sidegate))
    if vpc:
        graph = only(graph, [await resolve.vpc(session.sidegate, each) for each in vpc])
    if svg:
        return _written(graph, svg)
    return _shown(graph, Form.DOT if dot_source else form or Form.TEXT)


def _shown(graph: Graph, form: Form) -> View:
    told: facts.Json = document.of(graph)
    match form:
        case Form.TEXT:
            verbatim = ""
        case Form.JSON:
            verbatim = json.dumps(told, indent=2) + "\n"
        case Form.DOT:
            verbatim = dot.source(graph)
        case Form.SVG:
            verbatim = _picture(graph)
    return View(told, lambda _: text.render(graph), verbatim=verbatim)


def _picture(graph: Graph) -> str:
    try:
        return pictures.render(dot.source(graph), f"Sidegate's topology, as {graph.viewer} sees it")
    except pictures.NotDrawn as error:
        raise Complaint(error.text, Exit.UNAVAILABLE, error.hint) from error


def _written(graph: Graph, file: Path) -> View:
    picture = _picture(graph)
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Complaint(f"{file} cannot be written: {error.strerror}", Exit.USAGE) from error
    return View({"file": str(file), "graph": document.of(graph)}, lambda _: None, remark=f"{file} is drawn")
