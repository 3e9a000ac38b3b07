"""Numbers of a program for Prometheus. docs/metrics.md names every one; each module adds those of what it does.

Labels have few values, all known beforehand: no id, name or address of a tenant ever becomes one.
"""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# A second series for each counter, to say when the program began: process_start_time_seconds says it for all.
disable_created_metrics()  # type: ignore[no-untyped-call] # the one function of the client without annotations

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of histograms of times."""

BUILD = Info("sidegate_build", "The version that runs.", registry=REGISTRY)
BUILD.info({"version": version("sidegate")})
