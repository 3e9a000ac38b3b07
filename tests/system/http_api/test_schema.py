"""schemathesis against the served OpenAPI document, with every check on: what is answered is what is documented."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from sidegate.access import Tokens
from sidegate.credentials import Credential
from tests.support.signed import Key
from tests.support.standalone import Standalone

PROGRAM = str(Path(sys.executable).with_name("st"))
SEED = os.environ.get("SIDEGATE_SCHEMA_SEED", "20261126")
SOAKING = {"SIDEGATE_SERVICE_QUOTA": "-1", "SIDEGATE_ENDPOINT_QUOTA": "-1", "SIDEGATE_TESTS_PER_MINUTE": "100000"}

MEANINGS: Mapping[str, str] = {
    "AddEndpointServiceServerResource": "names ports, which must be there",
    "AddVpcExtendCidrV3": "the range must be one",
    "AssociateRouteTable": "names subnets of the VPC",
    "BatchAddOrRemoveResourceInstance": "no tags at all is a code of its own",
    "CreateEndpoint": "names a service, a VPC and a subnet: 400 where they are not there, as the API has it",
    "CreateEndpointService": "names a VPC and a port: 400 where they are not there, as the API has it",
    "CreatePort": "names a subnet",
    "CreateRouteTable": "names a VPC; what Sidegate would not do is refused",
    "CreateSubnet": "names a VPC, and its range must be a part of the VPC's",
    "CreateVpc": "the range must be one",
    "CreateVpcV3": "the range must be one",
    "ListHistory": "a position may be ahead of the log",
    "ListPorts": "a marker must be in the list",
    "ListRouteTables": "a marker must be in the list",
    "ListServiceDescribeDetails": "either a name or an id",
    "ListSubnets": "a marker must be in the list",
    "ListVpcs": "a marker must be in the list",
    "ListVpcsV3": "a marker must be in the list",
    "ShowDifferences": "a position may be ahead of the log",
    "ShowState": "a position may be ahead of the log",
    "UpdateEndpointService": "a port and an address exclude each other",
    "UpdatePort": "what Sidegate would not do is refused",
    "UpdateRouteTable": "a name is not empty; what Sidegate would not do is refused",
    "UpdateSubnet": "what Sidegate would not do is refused",
    "UpdateVpc": "a name is not empty; what Sidegate would not do is refused",
    "UpdateVpcV3": "a name is not empty; what Sidegate would not do is refused",
}
"""Operations that refuse with 400 what has the documented form, and why: no schema can say it."""


def config(project_id: str, examples: int, *, thorough: bool) -> str:
    operations = "\n".join(
        f'[[operations]]\ninclude-operation-id = "{operation}"\n'
        "checks.positive_data_acceptance.expected-statuses = "
        '["2xx", "3xx", 400, 401, 403, 404, 409, 412, 429, "5xx"]\n'
        for operation in MEANINGS
    )
    return f"""
seed = {SEED}
max-stream-events = 1
continue-on-failure = true
request-timeout = 30
suppress-health-check = ["all"]
[parameters]
"path.project_id" = "{project_id}"
"header.If-Match" = "*"
[generation]
max-examples = {examples}
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, 431, "5xx"]
[phases]
coverage.enabled = {str(thorough).lower()}
stateful.enabled = {str(thorough).lower()}
{operations}
"""


async def token_of(sidegate: Standalone, key: Key) -> str:
    """What the header X-Auth-Token takes."""
    credential = Credential(key.account, key.project, key.access, key.secret)
    tokens = Tokens(sidegate.ready["registry"]["grpc"], credential, grpc.ssl_channel_credentials(sidegate.ca))
    try:
        return await tokens.token()
    finally:
        await tokens.close()


async def run(sidegate: Standalone, key: Key, directory: Path, examples: int, *, thorough: bool) -> None:
    """Fails with all that schemathesis has found."""
    token = await token_of(sidegate, key)
    (directory / "schemathesis.toml").write_text(config(key.project_id, examples, thorough=thorough))
    arguments = [PROGRAM, "run", f"{sidegate.https}/openapi.json", "--checks", "all", "--warnings", "off"]
    found = await asyncio.to_thread(
        subprocess.run,
        [*arguments, "--tls-verify", sidegate.ready["ca"], "--header", f"X-Auth-Token: {token}"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"SIDEGATE_SCHEMA_SEED={SEED}\n{found.stdout}\n{found.stderr}"
    print(found.stdout[-600:])


@pytest.mark.asyncio(loop_scope="package")
async def test_answers_are_as_they_are_documented(sidegate: Standalone, tmp_path: Path) -> None:
    key = Key.of(await asyncio.to_thread(sidegate.answer, "account", "create", "schema"))
    await run(sidegate, key, tmp_path, 1, thorough=False)


@pytest_asyncio.fixture
async def unbounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standalone]:
    for name, value in SOAKING.items():
        monkeypatch.setenv(name, value)
    async with Standalone(tmp_path, rootless=True, http=True) as running:
        yield running


@pytest.mark.soak
async def test_answers_are_as_they_are_documented_however_long_one_asks(unbounded: Standalone, tmp_path: Path) -> None:
    key = Key.of(await asyncio.to_thread(unbounded.answer, "account", "create", "schema"))
    await run(unbounded, key, tmp_path, 30, thorough=True)
