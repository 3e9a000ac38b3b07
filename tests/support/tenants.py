"""A tenant of the HTTPS API: an account with a network that is really there, and the official SDK to speak for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpcep import v1 as sdk

from tests.support.namespaces import Namespace
from tests.support.signed import Key
from tests.support.standalone import Standalone

R = TypeVar("R")


@dataclass
class Tenant:
    """`ports` are those of its machines 10.0.0.10 and 10.0.0.11."""

    sidegate: Standalone
    key: Key
    namespace: Namespace
    vpc: str
    subnet: str
    ports: Sequence[str]

    @property
    def account(self) -> str:
        return self.key.account

    @cached_property
    def client(self) -> Any:
        return sdk_client(self.sidegate, self.key)

    def publish(self, **what: Any) -> Any:
        """A service on the first machine."""
        body: dict[str, Any] = {
            "port_id": self.ports[0],
            "vpc_id": self.vpc,
            "server_type": "VM",
            "approval_enabled": False,
            "ports": [{"client_port": 80, "server_port": 8080, "protocol": "TCP"}],
        }
        body = sdk.CreateEndpointServiceRequestBody(**{**body, **what})
        return self.client.create_endpoint_service(sdk.CreateEndpointServiceRequest(body=body))

    def permit(self, service: str, *permissions: str) -> Any:
        body = sdk.AddOrRemoveServicePermissionsRequestBody(permissions=list(permissions), action="add")
        request = sdk.AddOrRemoveServicePermissionsRequest(vpc_endpoint_service_id=service, body=body)
        return self.client.add_or_remove_service_permissions(request)

    def connect(self, service: str, **what: Any) -> Any:
        body = {"endpoint_service_id": service, "vpc_id": self.vpc, "subnet_id": self.subnet, **what}
        request = sdk.CreateEndpointRequest(body=sdk.CreateEndpointRequestBody(**body))
        return self.client.create_endpoint(request)

    def endpoint(self, id_: str) -> Any:
        return self.client.list_endpoint_info_details(sdk.ListEndpointInfoDetailsRequest(vpc_endpoint_id=id_))

    def service(self, id_: str) -> Any:
        return self.client.list_service_details(sdk.ListServiceDetailsRequest(vpc_endpoint_service_id=id_))

    def decide(self, service: str, endpoint: str, action: str) -> Any:
        body = sdk.AcceptOrRejectEndpointRequestBody(action=action, endpoints=[endpoint])
        request = sdk.AcceptOrRejectEndpointRequest(vpc_endpoint_service_id=service, body=body)
        return self.client.accept_or_reject_endpoint(request)

    def becomes(self, endpoint: str, status: str) -> Any:
        return eventually(lambda: found if (found := self.endpoint(endpoint)).status == status else None, status)

    def delete_endpoint(self, id_: str) -> None:
        self.client.delete_endpoint(sdk.DeleteEndpointRequest(vpc_endpoint_id=id_))

    def delete_service(self, id_: str) -> None:
        self.client.delete_endpoint_service(sdk.DeleteEndpointServiceRequest(vpc_endpoint_service_id=id_))


def sdk_client(sidegate: Standalone, key: Key) -> Any:
    """The official SDK's client, as its documentation makes one; TLS is verified."""
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = str(Path(sidegate.ready["ca"]))
    credentials = BasicCredentials(key.access, key.secret, key.project_id)
    built = sdk.VpcepClient.new_builder().with_http_config(config).with_credentials(credentials)
    return built.with_endpoint(sidegate.https).build()


def eventually(ask: Callable[[], R | None], what: str, seconds: float = 30.0) -> R:
    """The first answer that is one; the SDK blocks, and so does this."""
    deadline = time.monotonic() + seconds
    while (found := ask()) is None:
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
    return found


def refusal(ask: Callable[[], Any]) -> tuple[int, str]:
    """Status and code of a call that is refused."""
    try:
        answer = ask()
    except ClientRequestException as error:
        assert error.request_id
        assert error.error_msg
        return error.status_code, error.error_code
    raise AssertionError(f"it was answered with {answer}")


def is_gone(ask: Callable[[], Any]) -> bool | None:
    """True once the call is answered with 404; None as long as it is answered."""
    try:
        ask()
    except ClientRequestException as error:
        assert error.status_code == 404, error
        return True
    return None
