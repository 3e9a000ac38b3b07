"""The registry whole: every use case on one store."""

from services.common.eventsourcing.sql_store import SqlStore
from services.common.watching.limits import WatchLimits
from services.common.watching.watching import Watching
from services.registry.application.allocation import Allocator
from services.registry.application.attachments import Attachments
from services.registry.application.defaults import Defaults
from services.registry.application.deletions import Deletions
from services.registry.application.endpoints import Endpoints
from services.registry.application.inventory import Inventory
from services.registry.application.names import LookUp, Names, nowhere
from services.registry.application.ports import Ports
from services.registry.application.publishing import Publishing
from services.registry.application.reservations import Reservations
from services.registry.application.resolvers import Resolvers
from services.registry.application.route_reservations import RouteReservations
from services.registry.application.route_tables import RouteTables
from services.registry.application.settings import Settings
from services.registry.application.streams import Streams
from services.registry.application.subnets import Subnets
from services.registry.application.vpcs import Vpcs
from services.registry.projections import Resources
from services.registry.wire.sights import sights_of

STANDARD = WatchLimits()


class Registry:
    """`store` is opened with `projections()`; `endpoints` is how the endpoint service is asked, and
    `look_up` how the DNS is."""

    def __init__(
        self,
        store: SqlStore,
        endpoints: Endpoints,
        settings: Settings,
        watching: WatchLimits = STANDARD,
        *,
        look_up: LookUp = nowhere,
    ) -> None:
        self.streams = Streams(store)
        self.resources = Resources(store)
        self.inventory = Inventory(self.resources)
        allocator = Allocator(self.streams)
        self.defaults = Defaults(self.streams, self.resources)
        self.vpcs = Vpcs(self.streams, self.inventory, self.resources, self.defaults)
        self.subnets = Subnets(self.streams, self.inventory, self.resources)
        self.route_tables = RouteTables(self.streams, self.inventory)
        self.ports = Ports(self.streams, self.inventory, allocator)
        self.attachments = Attachments(self.streams, self.inventory)
        self.publishing = Publishing(self.streams, self.inventory, self.resources, settings)
        self.names = Names(self.streams, self.inventory, look_up)
        self.resolvers = Resolvers(self.streams, self.inventory, self.resources, settings)
        self.deletions = Deletions(self.streams, self.resources, endpoints, settings)
        self.routes = RouteReservations(self.streams, self.resources, endpoints)
        self.reservations = Reservations(
            self.streams, self.resources, allocator, endpoints, routes=self.routes, region=settings.region
        )
        self.watching = Watching(store, sights_of, watching)
