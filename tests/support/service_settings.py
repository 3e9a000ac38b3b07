"""What services ask of gateways: strategies for hypothesis, of values as they may be."""

from dataclasses import replace

from hypothesis import strategies as st

from services.common.service_settings import USUAL, Affinity, HealthCheck, HealthProtocol, SessionSettings

session_settings = st.just(USUAL) | st.builds(
    SessionSettings,
    st.integers(60, 86_400),
    st.integers(5, 300),
    st.integers(1, 120),
    st.integers(10, 3_600),
    st.integers(5, 300),
    st.sampled_from(Affinity),
    st.booleans(),
)
_tcp = st.integers(1, 300).flatmap(
    lambda interval: st.builds(
        HealthCheck,
        port=st.integers(1, 65_535),
        interval=st.just(interval),
        timeout=st.integers(1, min(60, interval)),
        healthy_after=st.integers(1, 10),
        unhealthy_after=st.integers(1, 10),
    )
)
_paths = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=127).map("/{}".format)
_statuses = st.tuples(st.integers(100, 599), st.integers(100, 599)).map(lambda ends: (min(ends), max(ends)))
_http = st.builds(
    lambda check, path, statuses: replace(check, protocol=HealthProtocol.HTTP, path=path, statuses=statuses),
    _tcp,
    _paths,
    _statuses,
)
health_checks = _tcp | _http
"""Checks that name the port."""
