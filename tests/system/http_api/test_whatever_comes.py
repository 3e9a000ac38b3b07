"""Whatever is sent to whichever operation, by whoever: it is answered, and never as a fault of ours."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from services.http_api.app import Ports, application
from services.http_api.limits import Limits
from tests.support.signed import Signing, trust
from tests.support.tenants import Tenant

pytestmark = pytest.mark.root

DOCUMENT: Mapping[str, Any] = application(Ports(None, "local", Limits())).openapi()  # type: ignore[arg-type] # nobody is called
ENDLESS = {"FollowEvents"}
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if operation["operationId"] not in ENDLESS
]
WRITES = [each for each in OPERATIONS if "requestBody" in each[2]]
EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TEXT = st.text(max_size=10) | st.sampled_from(["", "*", "\x00", "\ud800", "true", "10.0.0.0/8", "a" * 300, "-1", "<"])
SCALAR = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=True) | TEXT
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def like(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What the schema asks for, or something else in the place of any part of it."""
    return st.one_of(_as_asked(resolved(schema)), _as_asked(resolved(schema)), ANYTHING)


def _as_asked(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([_as_asked(resolved(option)) for option in options])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            required = {name: like(properties[name]) for name in schema.get("required", ())}
            others = {name: like(each) for name, each in properties.items() if name not in required}
            return st.fixed_dictionaries(required, optional=others)
        case "array":
            return st.lists(like(schema.get("items", {})), max_size=3)
        case "integer" | "number":
            return st.integers(-2, 70_000)
        case "boolean":
            return st.sampled_from([True, False, "true", "false", 0])
        case "string":
            return TEXT | st.sampled_from(["TCP", "web", "10.0.0.77", "iam:domain::x"])
        case _:
            return ANYTHING


@pytest.fixture(scope="module")
def http(shop: Tenant) -> Any:
    """Signs like the SDK, and goes on for ever with new connections."""
    with httpx.Client(
        base_url=shop.sidegate.https, auth=Signing(shop.key), verify=trust(shop.sidegate), timeout=60
    ) as client:
        yield client


def ask(
    http: httpx.Client, shop: Tenant, call: tuple[str, str], *, body: Any = None, query: Mapping[str, str] | None = None
) -> None:
    method, path = call
    named = dict.fromkeys(re.findall(r"{(\w+)}", path), shop.vpc)
    ids = {
        **named,
        "project_id": shop.key.project_id,
        "resource_type": "endpoint",
        "kind": "subnets",
        "log": "registry",
    }
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = http.request(method, path.format(**ids), content=content, params=query or {}, headers=headers)
    if answer.status_code >= 400:
        assert answer.status_code < 500, (answer.status_code, answer.text)
        assert set(answer.json()) == {"error_code", "error_msg"}


@pytest.mark.parametrize(("method", "path", "operation"), WRITES, ids=[each[2]["operationId"] for each in WRITES])
def test_whatever_a_body_is_it_is_answered(
    http: httpx.Client, shop: Tenant, method: str, path: str, operation: Mapping[str, Any]
) -> None:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]

    @EXAMPLES
    @given(body=like(schema))
    def answered(body: Any) -> None:
        note(repr(body))
        ask(http, shop, (method, path), body=body)

    answered()


LISTS = [each for each in OPERATIONS if any(one["in"] == "query" for one in each[2].get("parameters", ()))]


@pytest.mark.parametrize(("method", "path", "operation"), LISTS, ids=[each[2]["operationId"] for each in LISTS])
def test_whatever_a_query_is_it_is_answered(
    http: httpx.Client, shop: Tenant, method: str, path: str, operation: Mapping[str, Any]
) -> None:
    names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    letters = st.characters(exclude_categories=["Cs"])
    value = st.text(letters, max_size=8) | st.sampled_from(["", "0", "-1", "1000", "1001", "asc", "9" * 30, shop.vpc])

    @EXAMPLES
    @given(query=st.dictionaries(st.sampled_from(names), value))
    def answered(query: dict[str, str]) -> None:
        ask(http, shop, (method, path), query=query)

    answered()


def test_what_is_no_json_or_too_deep_is_refused(http: httpx.Client, shop: Tenant) -> None:
    path = f"/v1/{shop.key.project_id}/vpc-endpoints"
    policy = {"Version": "5.0", "Statement": [json.loads("[" * 300 + "]" * 300)]}
    deep = {"endpoint_service_id": shop.vpc, "vpc_id": shop.vpc, "subnet_id": shop.subnet, "policy_document": policy}
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, json.dumps(deep).encode()):
        answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (content[:20], answer.text)
    assert http.post(path).json()["error_code"] == "EndPoint.2002"
    null = http.post(path, content=b"null", headers={"Content-Type": "application/json"})
    assert null.json()["error_code"] == "EndPoint.2002"
