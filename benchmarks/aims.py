"""What the figures should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figure, shown


@dataclass(frozen=True, slots=True)
class Aim:
    """For a figure's value, or for its ratio to what it is compared with."""

    name: str
    bound: Literal["at least", "at most"]
    number: float
    ratio_to: str = ""

    def met_by(self, figure: Figure) -> bool:
        found = self.found(figure)
        return found >= self.number if self.bound == "at least" else found <= self.number

    def found(self, figure: Figure) -> float:
        return figure.value if not self.ratio_to else figure.ratio or 0.0

    def is_about(self, figure: Figure) -> bool:
        return figure.name == self.name and self.ratio_to in ("", figure.compared_with)

    def told(self, figure: Figure) -> str:
        unit = f"x {self.ratio_to}" if self.ratio_to else figure.unit
        return f"{self.bound} {shown(self.number)} {unit}"


ROUTING, EMPTY = "plain routing", "an empty gateway"

AIMS = (
    Aim("store_append_1_sqlite", "at least", 3_000),
    Aim("store_append_64_sqlite", "at least", 15_000),
    Aim("store_append_1_postgresql", "at least", 800),
    Aim("store_append_64_postgresql", "at least", 7_000),
    Aim("store_scan_sqlite", "at least", 500_000),
    Aim("store_scan_postgresql", "at least", 150_000),
    Aim("verify", "at least", 300_000),
    Aim("commands_64_sqlite", "at least", 3_000),
    Aim("commands_64_sqlite_p99", "at most", 50.0),
    Aim("stored_get_p99", "at most", 10.0),
    Aim("stored_list_p99", "at most", 10.0),
    Aim("stored_get_p50", "at most", 1.2, ratio_to="1,000 stored"),
    Aim("stored_list_p50", "at most", 1.2, ratio_to="1,000 stored"),
    *(
        Aim(f"past_{what}_{database}", "at most", 10.0)
        for what in ("replay", "read_model")
        for database in ("sqlite", "postgresql")
    ),
    Aim("console_overview_first", "at most", 1000.0),
    Aim("console_overview_sent", "at most", 300.0),
    Aim("console_overview_news", "at most", 1000.0),
    Aim("console_list_p99", "at most", 200.0),
    Aim("console_past_redraw_p99", "at most", 500.0),
    Aim("past_state_p99", "at most", 3.0),
    Aim("commit_to_agent_p50", "at most", 1.2),
    Aim("commit_to_agent_p99", "at most", 2.0),
    *(
        Aim(f"{name}_{quantile}", "at most", milliseconds)
        for name in ("create_to_first_byte", "accept_to_first_byte", "delete_to_address_free")
        for quantile, milliseconds in (("p50", 10.0), ("p99", 50.0))
    ),
    *(
        Aim(name, "at least", times, ratio_to=other)
        for name, other, times in (
            ("bulk_1_stream", ROUTING, 1.0),
            ("bulk_8_streams", ROUTING, 1.0),
            ("bulk_mtu", ROUTING, 1.4),
            ("round_trips", ROUTING, 1.1),
            ("connections", ROUTING, 1.05),
            ("connections", "HAProxy", 1.7),
            ("connections", "nginx stream", 1.7),
        )
    ),
    Aim("round_trips_p99", "at most", 1.0, ratio_to=ROUTING),
    Aim("connections_10k_ranges", "at least", 0.95, ratio_to="a whitelist of one range"),
    Aim("packet_cost", "at most", 0.4, ratio_to=ROUTING),
    Aim("sessions_held", "at least", 10_000_000),
    Aim("sessions_of_an_endpoint", "at least", 1_000_000),
    Aim("fill_rate", "at least", 150_000),
    *(
        aim
        for crowd in ("100k_endpoints", "1m_sessions", "10m_sessions")
        for aim in (
            Aim(f"packet_cost_{crowd}", "at most", 1.05, ratio_to=EMPTY),
            *(
                Aim(f"{name}_{crowd}", "at least", 0.95, ratio_to=EMPTY)
                for name in ("round_trips", "connections", "bulk_1_stream")
            ),
        )
    ),
    *(Aim(f"endpoint_{what}_p50", "at most", 0.1) for what in ("add", "change", "remove")),
    Aim("reject_cut_p99", "at most", 5.0),
    Aim("agent_start_100k", "at most", 3.0),
    Aim("restart_loss", "at most", 0.0),
)


def about(figures: Iterable[Figure]) -> set[Aim]:
    """The aims that these figures say something of."""
    return {aim for figure in figures for aim in AIMS if aim.is_about(figure)}


def unmet(figures: Iterable[Figure]) -> list[tuple[Aim, Figure]]:
    """Each aim once, whatever its figure is compared with."""
    found = [(aim, figure) for figure in figures for aim in AIMS if aim.is_about(figure) and not aim.met_by(figure)]
    return [each for number, each in enumerate(found) if each[0] not in {aim for aim, _ in found[:number]}]
