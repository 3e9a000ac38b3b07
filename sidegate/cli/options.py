"""Options and arguments that several verbs have."""

from typing import Annotated

import typer

from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, PortMapping
from sidegate.api.registry.v1.listing_pb2 import TagMatch
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.cli import completing, parsing

OneVpc = Annotated[
    str,
    typer.Argument(
        metavar="VPC", help="A VPC: its name, id, or 8 or more characters of the id.", autocompletion=completing.vpc
    ),
]
OneSubnet = Annotated[
    str,
    typer.Argument(
        metavar="SUBNET", help="A subnet: its name, id, or beginning of the id.", autocompletion=completing.subnet
    ),
]
OnePort = Annotated[
    str,
    typer.Argument(
        metavar="PORT", help="A port: its id, or 8 or more characters of it.", autocompletion=completing.port
    ),
]
OneAttachment = Annotated[
    str,
    typer.Argument(
        metavar="ATTACHMENT", help="An attachment: its id, or beginning of it.", autocompletion=completing.attachment
    ),
]
OneService = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE",
        help="A service of yours: its name, id, or beginning of the id.",
        autocompletion=completing.service,
    ),
]
OneEndpoint = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT", help="An endpoint: its name, id, or beginning of it.", autocompletion=completing.endpoint
    ),
]
OneConnection = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT",
        help="An endpoint: its name, id, or beginning of it.",
        autocompletion=completing.connection,
    ),
]

ManyConnections = Annotated[
    list[str],
    typer.Argument(
        metavar="ENDPOINT...",
        help="Endpoints: names, ids, or beginnings of them.",
        autocompletion=completing.connection,
    ),
]

InVpc = Annotated[
    str,
    typer.Option(
        "--vpc",
        metavar="VPC",
        help="The VPC, by name or id.",
        autocompletion=completing.vpc,
    ),
]
OfVpc = Annotated[
    str,
    typer.Option(
        "--vpc",
        metavar="VPC",
        help="Only those of this VPC.",
        autocompletion=completing.vpc,
    ),
]

Backends = Annotated[
    list[Backend] | None,
    typer.Option(
        "--backend",
        metavar="IP[=WEIGHT][/draining]",
        parser=parsing.backend,
        help="An address in the VPC, and its share of new sessions, 1 to 100 (1 if not said); once for each.",
    ),
]
BackendPorts = Annotated[
    list[Backend] | None,
    typer.Option(
        "--backend-port",
        metavar="PORT[=WEIGHT][/draining]",
        parser=parsing.backend_port,
        help="A port of the VPC, by id; once for each.",
    ),
]
BackendAddresses = Annotated[list[str], typer.Argument(metavar="IP...", help="Addresses of backends of the service.")]
PortMappings = Annotated[
    list[PortMapping] | None,
    typer.Option(
        "--port",
        metavar="CLIENT[:SERVER][/tcp|udp][+IDENTITY]",
        parser=parsing.port_mapping,
        help="Published: 80 stands for 80:80/tcp; once for each. +IDENTITY: what backends learn of clients there.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="CIDR", help="Clients that may connect; once for each. None: the whole VPC."),
]
Tags = Annotated[
    list[Tag] | None,
    typer.Option("--tag", metavar="KEY[=VALUE]", parser=parsing.tag, help="A tag; once for each, up to 20."),
]
NoTags = Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")]
Description = Annotated[str, typer.Option(metavar="TEXT", help="For people: up to 128 characters.", show_default=False)]
OtherDescription = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="Other words for people; '' for none.")
]
InStates = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only in this state, as lists show it; once for each."),
]
NameContains = Annotated[
    str, typer.Option("--name-contains", metavar="TEXT", help="Only with this in the name, whatever the case.")
]
NewestFirst = Annotated[bool, typer.Option("--newest-first", help="In order of creation the other way round.")]
WithTags = Annotated[
    list[TagMatch] | None,
    typer.Option(
        "--tag",
        metavar="KEY[=VALUE]",
        parser=parsing.tag_match,
        help="Only with this tag: with any value where none is named, with *VALUE in it where that is; once for each.",
    ),
]
ByChange = Annotated[bool, typer.Option("--by-change", help="In order of the last change.")]
From = Annotated[
    int | None,
    typer.Option(
        "--from", min=0, metavar="POSITION", help="What happened after this position of the log; 0 for all; else now."
    ),
]
Drain = Annotated[
    int | None,
    typer.Option(
        "--drain",
        metavar="TIME",
        parser=parsing.drain,
        help="Open no session from now on, and let those that are there go on for so long: 30s, 10m, up to 1h.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="End only when it is so; the exit code says whether it became so.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="How long to wait at most.")
]
