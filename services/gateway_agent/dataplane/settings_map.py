"""What a service asks beside its lists, as bytes: struct settings of bpf/maps.h."""

from dataclasses import astuple, dataclass, replace
from struct import Struct
from typing import ClassVar, Self

from services.gateway_agent.table import Affinity, HealthCheck, HealthProtocol, Limits, Service, Timeouts

_FLAGS = {Affinity.NONE: 0, Affinity.SOURCE_ADDRESS: 1}
_RESET_EXPIRED = 2
_KEEPS_SOURCE = 4
_PROTOCOLS = (None, HealthProtocol.TCP, HealthProtocol.HTTP)
LONGEST_PATH = 128
_HEALTH = Struct(f"<BBHHHHHBB{LONGEST_PATH}s10x")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a service asks beside its lists."""

    timeouts: Timeouts
    affinity: Affinity
    reset_expired: bool
    limits: Limits
    health_check: HealthCheck | None
    keeps_source: bool = False

    LAYOUT: ClassVar = Struct(f"<6I3Q{_HEALTH.size}s")

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(
            timeouts=service.timeouts,
            affinity=service.affinity,
            reset_expired=service.reset_expired,
            limits=service.limits,
            health_check=service.health_check,
            keeps_source=service.keeps_source,
        )

    def pack(self) -> bytes:
        flags = _FLAGS[self.affinity] | _RESET_EXPIRED * self.reset_expired | _KEEPS_SOURCE * self.keeps_source
        return self.LAYOUT.pack(*astuple(self.timeouts), flags, *astuple(self.limits), _pack_health(self.health_check))

    def given_to(self, service: Service) -> Service:
        return replace(
            service,
            timeouts=self.timeouts,
            affinity=self.affinity,
            reset_expired=self.reset_expired,
            limits=self.limits,
            health_check=self.health_check,
            keeps_source=self.keeps_source,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        *numbers, health = cls.LAYOUT.unpack(data)
        flags = numbers[5]
        affinity = Affinity.SOURCE_ADDRESS if flags & _FLAGS[Affinity.SOURCE_ADDRESS] else Affinity.NONE
        expired, keeps = bool(flags & _RESET_EXPIRED), bool(flags & _KEEPS_SOURCE)
        return cls(Timeouts(*numbers[:5]), affinity, expired, Limits(*numbers[6:]), _unpack_health(health), keeps)


def _pack_health(check: HealthCheck | None) -> bytes:
    if check is None:
        return bytes(_HEALTH.size)
    path = check.path.encode()
    return _HEALTH.pack(
        _PROTOCOLS.index(check.protocol),
        len(path),
        check.port,
        *check.statuses,
        check.interval,
        check.timeout,
        check.healthy_after,
        check.unhealthy_after,
        path,
    )


def _unpack_health(data: bytes) -> HealthCheck | None:
    protocol, length, port, first, last, interval, timeout, healthy, unhealthy, path = _HEALTH.unpack(data)
    kind = _PROTOCOLS[protocol]
    if kind is None:
        return None
    return HealthCheck(kind, port, path[:length].decode(), (first, last), interval, timeout, healthy, unhealthy)
