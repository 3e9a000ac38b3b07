"""The use cases, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from services.common.clock import now
from services.common.eventsourcing.sql_store import SqlStore
from services.common.history.history import History
from services.common.watching.limits import WatchLimits
from services.common.watching.watching import Watching
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.backend_health import BackendHealths
from services.endpoint.application.cells import Cells
from services.endpoint.application.connections import Connections
from services.endpoint.application.endpoints import Endpoints
from services.endpoint.application.expiries import Expiries
from services.endpoint.application.feed import Feed
from services.endpoint.application.forwarding import Forwarding
from services.endpoint.application.gateways import Gateways
from services.endpoint.application.growth import Growth
from services.endpoint.application.limits import Limits
from services.endpoint.application.names import Names
from services.endpoint.application.past import PAST
from services.endpoint.application.probes import Probes
from services.endpoint.application.reachability import Reachability
from services.endpoint.application.registry import Registry
from services.endpoint.application.requests import Requests
from services.endpoint.application.resolvers import Resolvers
from services.endpoint.application.routes import Routes
from services.endpoint.application.rows import Rows
from services.endpoint.application.sources import Sources, random_marker
from services.endpoint.application.streams import Streams
from services.endpoint.application.traffic import Traffic, TrafficReports
from services.endpoint.domain.demand import Demand
from services.endpoint.domain.names import zone_of
from services.endpoint.domain.traffic_board import Board
from services.endpoint.wire.sights import Change, sights_of

WATCHING = WatchLimits()


@dataclass(frozen=True, slots=True)
class EndpointApplication:
    requests: Requests
    endpoints: Endpoints
    connections: Connections
    cells: Cells
    forwarding: Forwarding
    sources: Sources
    demand: Demand
    growth: Growth
    feed: Feed
    history: History
    agenda: Agenda
    expiries: Expiries
    watching: Watching[Change]
    probes: Probes
    reachability: Reachability
    health: BackendHealths
    board: Board
    reports: TrafficReports
    traffic: Traffic
    gateways: Gateways

    @classmethod
    async def open(
        cls,
        store: SqlStore,
        registry: Registry,
        limits: Limits,
        clock: Callable[[], int] = now,
        marker: Callable[[], int] = random_marker,
        *,
        watch_limits: WatchLimits = WATCHING,
        region: str = "local",
    ) -> "EndpointApplication":
        """On a store that was opened with the projection TABLE."""
        streams, rows, agenda, demand = Streams(store), Rows(store), Agenda(), Demand()
        history = History(store, PAST.reducer)
        watching = Watching(store, sights_of, watch_limits)
        resolvers, names = Resolvers(streams, rows, clock), Names(store, registry, zone_of(region))
        await resolvers.begin()
        board = Board(clock())
        cells = await Cells.open(
            streams, rows, agenda, demand, limits=limits, clock=clock, resolvers=resolvers, board=board
        )
        routes = Routes(store, streams, rows, registry, clock)
        forwarding = Forwarding(store, streams, rows, registry, resolvers=resolvers, routes=routes, clock=clock)
        sources = Sources(store, streams, rows, clock)
        expiries = Expiries(streams, rows, cells, clock)
        probes = Probes()
        requests = Requests(
            store=store,
            streams=streams,
            registry=registry,
            cells=cells,
            forwarding=forwarding,
            sources=sources,
            agenda=agenda,
            expiries=expiries,
            limits=limits,
            marker=marker,
            names=names,
        )
        return cls(
            requests=requests,
            endpoints=Endpoints(
                streams, rows, cells, expiries, watching=watching, names=names, routes=routes, agenda=agenda
            ),
            connections=Connections(streams, rows, expiries, watching),
            cells=cells,
            forwarding=forwarding,
            sources=sources,
            demand=demand,
            growth=Growth(streams, sources, demand, clock),
            feed=Feed(store, history),
            history=history,
            agenda=agenda,
            expiries=expiries,
            watching=watching,
            probes=probes,
            health=BackendHealths(rows, cells),
            board=board,
            reports=TrafficReports(board, rows, cells, clock),
            traffic=Traffic(board, rows, clock),
            gateways=Gateways(cells, board, clock),
            reachability=Reachability(streams, cells, probes, limits.tests),
        )
