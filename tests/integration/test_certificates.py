"""Certificates while they are in use: made once, renewed in time, taken without a restart, and useless elsewhere."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2

from services.common.identity.access_log import AccessLog
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.identity.pki import Authority, Subject, Unfit, program_uri
from services.common.program import CannotListen
from services.common.rpc.auth import Doorman
from services.common.rpc.probe import is_healthy
from services.common.rpc.recognition import Programs
from services.common.rpc.server import Entrance, RpcServer
from services.standalone.certificates import keep, provide
from services.standalone.data_directory import DataDirectory
from sidegate import errors
from sidegate.access import Certified
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc
from sidegate.transport import Caller
from tests.support import identity
from tests.support.program import ROOT
from tests.support.registry_service import running_registry

SUBJECT = Subject("registry", program_uri("local", "registry"), ("localhost", "127.0.0.1"))


def certificate(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


def test_a_certificate_stays_until_it_is_near_its_end_or_for_somebody_else(tmp_path: Path) -> None:
    authority, place = Authority(tmp_path, "local"), tmp_path / "registry"
    authority.provide(place, SUBJECT)
    first = certificate(place)
    assert first.not_valid_after_utc - datetime.now(UTC) > timedelta(days=300)
    Authority(tmp_path, "local").provide(place, SUBJECT)
    assert certificate(place) == first
    authority.provide(place, Subject("registry", SUBJECT.uri, (*SUBJECT.hosts, "192.0.2.1")))
    assert certificate(place) != first
    (place / "cert.pem").write_text("nonsense")
    authority.provide(place, SUBJECT)
    assert certificate(place).issuer == first.issuer
    for private in ("ca.key", "registry/key.pem"):
        assert (tmp_path / private).stat().st_mode & 0o777 == 0o600


def test_an_authority_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    Authority(tmp_path, "local")
    (tmp_path / "ca.key").unlink()
    with pytest.raises(Unfit, match=r"restore ca\.key"):
        Authority(tmp_path, "local")


def test_a_program_without_a_certificate_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(NoCertificate, match=r"services\.common\.identity"):
        Certificates(tmp_path)


async def test_nothing_listens_on_a_network_without_a_certificate() -> None:
    doorman = Doorman(Programs("local"), AccessLog())
    with pytest.raises(CannotListen, match="certificate"):
        await RpcServer(Entrance("127.0.0.1:0", doorman), []).start()


async def test_a_server_takes_a_new_certificate_without_a_restart(tmp_path: Path) -> None:
    place, authority = tmp_path / "registry", identity.authority()
    authority.provide(place, SUBJECT)
    doorman = Doorman(Programs("local"), AccessLog())
    server = RpcServer(Entrance("127.0.0.1:0", doorman, Certificates(place)), [])
    address = await server.start()
    try:
        assert await healthy(address, identity.ca())
        other = Authority(tmp_path / "other", "local")
        other.provide(place, SUBJECT)
        ca = (tmp_path / "other" / "ca.pem").read_bytes()
        assert await healthy(address, ca)
        assert not await healthy(address, identity.ca())
        (place / "key.pem").unlink()
        assert await healthy(address, ca), "what cannot be read does not take the place of what works"
    finally:
        await server.stop(0)


async def healthy(address: str, ca: bytes) -> bool:
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca)) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            await check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return True


def test_a_certificate_that_is_for_calling_serves_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "local")
    authority.provide(tmp_path / "gw", Subject("gw-1", "spiffe://local/gw/default/gw-1"))
    usages = certificate(tmp_path / "gw").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage.dotted_string for usage in usages] == ["1.3.6.1.5.5.7.3.2"]


def test_the_command_makes_an_authority_and_certificates_once(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.common.identity",
        str(tmp_path / "authority"),
        "--copy-ca",
        str(tmp_path),
    ]
    wanted = ["--program", "registry=registry,192.0.2.7", "--gateway", "default/gw-1", "--owner", "65534"]
    for _ in range(2):
        subprocess.run([*command, *wanted], check=True, cwd=ROOT)
    names = certificate(tmp_path / "authority" / "registry").extensions
    san = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://local/svc/registry"]
    assert {"registry", "localhost"} <= set(san.get_values_for_type(x509.DNSName))
    assert (tmp_path / "authority" / "registry" / "key.pem").stat().st_uid == 65534
    assert (tmp_path / "authority" / "gw-1" / "key.pem").exists()
    assert (tmp_path / "ca.pem").read_bytes() == (tmp_path / "authority" / "ca.pem").read_bytes()
    assert not is_healthy("127.0.0.1:1", ca=(tmp_path / "ca.pem").read_bytes())


async def test_a_program_calls_with_its_new_certificate_without_a_restart(tmp_path: Path) -> None:
    authority, place = identity.authority(), tmp_path / "program"

    def become(program: str) -> None:
        authority.provide(place, Subject(program, program_uri(identity.REGION, program), ("127.0.0.1",)))

    become("endpoint")
    async with running_registry(tmp_path) as world:
        caller = Caller(world.internal_address, Certified(Certificates(place).calling))
        stub = internal_grpc.RegistryInternalServiceStub(caller.channel)
        request = internal_pb2.GetTokenTrustRequest()
        try:
            assert (await caller.ask(stub.GetTokenTrust, request)).keys
            become("registry")
            with pytest.raises(errors.NotFound):
                await caller.ask(stub.GetTokenTrust, request)
            become("endpoint")
            assert (await caller.ask(stub.GetTokenTrust, request)).keys
            (place / "key.pem").unlink()
            assert (await caller.ask(stub.GetTokenTrust, request)).keys, "the one before stays"
        finally:
            await caller.close()


async def test_standalone_makes_certificates_anew_that_are_near_their_end(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    settings = cast(Any, SimpleNamespace(region="local", listen="127.0.0.1", cell="east"))
    data.open()
    try:
        provide(data, settings)
        path, before = data.tls / "registry" / "cert.pem", certificate(data.tls / "registry")
        path.write_text("as if it were near its end")
        keeping = asyncio.create_task(keep(data, settings, every=0.01))
        async with asyncio.timeout(30):
            while "CERTIFICATE" not in path.read_text():
                await asyncio.sleep(0)
        keeping.cancel()
        assert certificate(data.tls / "registry").serial_number != before.serial_number
    finally:
        data.close()
