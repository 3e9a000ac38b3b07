"""Two accounts and the official SDK: from nothing but access keys to an HTTP answer through a VPC endpoint, and back.

    sidegate account create shop -o json > shop.json
    sidegate account create payments -o json > payments.json
    python examples/vpc_endpoint.py shop.json payments.json

As root on the gateway's machine, for it also plays the machines in the two VPCs: network namespaces by the names that
the operator's default attachment says (`--networks`), both with the addresses of 10.0.0.0/24. Nothing of it is left.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpc import v2 as vpc
from huaweicloudsdkvpcep import v1 as vpcep

SECONDS = 60.0
MACHINE, ENDPOINT = "10.0.0.10", "10.0.0.100"


class Account:
    """All that the account's programs need to know is in the file that `sidegate account create -o json` writes."""

    def __init__(self, file: Path, ca: Path) -> None:
        known = json.loads(file.read_text())
        ca.write_text(known["ca"])
        config = HttpConfig.get_default_config()
        config.ssl_ca_cert = str(ca)
        key = BasicCredentials(known["access_key"], known["secret_key"], known["project_id"])
        self.name, where = known["account"], known["http_api"]["https"]
        self.vpc, self.vpcep = (
            kind.new_builder().with_credentials(key).with_endpoint(where).with_http_config(config).build()
            for kind in (vpc.VpcClient, vpcep.VpcepClient)
        )

    def network(self) -> tuple[str, str]:
        """A VPC with one subnet; gives the ids of both."""
        option = vpc.CreateVpcOption(name="example", cidr="10.0.0.0/24")
        made = self.vpc.create_vpc(vpc.CreateVpcRequest(vpc.CreateVpcRequestBody(vpc=option))).vpc
        part = vpc.CreateSubnetOption(name="main", vpc_id=made.id, cidr="10.0.0.0/24", gateway_ip="10.0.0.1")
        request = vpc.CreateSubnetRequest(vpc.CreateSubnetRequestBody(subnet=part))
        return made.id, self.vpc.create_subnet(request).subnet.id

    def port(self, subnet_id: str, address: str) -> str:
        option = vpc.CreatePortOption(network_id=subnet_id, fixed_ips=[vpc.FixedIp(ip_address=address)])
        return str(self.vpc.create_port(vpc.CreatePortRequest(vpc.CreatePortRequestBody(port=option))).port.id)

    def publish(self, vpc_id: str, port_id: str) -> str:
        """Port 80 of every endpoint leads to port 8080 of the machine."""
        body = vpcep.CreateEndpointServiceRequestBody(
            vpc_id=vpc_id,
            port_id=port_id,
            server_type="VM",
            service_name="web",
            approval_enabled=True,
            ports=[vpcep.PortList(client_port=80, server_port=8080, protocol="TCP")],
        )
        return str(self.vpcep.create_endpoint_service(vpcep.CreateEndpointServiceRequest(body=body)).id)

    def permit(self, service_id: str, account: str) -> None:
        body = vpcep.AddOrRemoveServicePermissionsRequestBody(permissions=[f"iam:domain::{account}"], action="add")
        request = vpcep.AddOrRemoveServicePermissionsRequest(vpc_endpoint_service_id=service_id, body=body)
        self.vpcep.add_or_remove_service_permissions(request)

    def request(self, service_id: str, vpc_id: str, subnet_id: str) -> str:
        body = vpcep.CreateEndpointRequestBody(
            endpoint_service_id=service_id, vpc_id=vpc_id, subnet_id=subnet_id, port_ip=ENDPOINT
        )
        return str(self.vpcep.create_endpoint(vpcep.CreateEndpointRequest(body=body)).id)

    def decide(self, service_id: str, endpoint_id: str, action: str) -> None:
        body = vpcep.AcceptOrRejectEndpointRequestBody(action=action, endpoints=[endpoint_id])
        request = vpcep.AcceptOrRejectEndpointRequest(vpc_endpoint_service_id=service_id, body=body)
        self.vpcep.accept_or_reject_endpoint(request)

    def status(self, endpoint_id: str) -> str:
        request = vpcep.ListEndpointInfoDetailsRequest(vpc_endpoint_id=endpoint_id)
        return str(self.vpcep.list_endpoint_info_details(request).status)

    def give_up(self, endpoint_id: str) -> None:
        self.vpcep.delete_endpoint(vpcep.DeleteEndpointRequest(vpc_endpoint_id=endpoint_id))
        until("the endpoint to be gone", lambda: missing(lambda: self.status(endpoint_id)))

    def unpublish(self, service_id: str) -> None:
        self.vpcep.delete_endpoint_service(vpcep.DeleteEndpointServiceRequest(vpc_endpoint_service_id=service_id))

    def clear(self, vpc_id: str, subnet_id: str, port_id: str = "") -> None:
        """An endpoint's address is free a moment after the endpoint is gone: until then the subnet is in use."""
        if port_id:
            self.vpc.delete_port(vpc.DeletePortRequest(port_id=port_id))
        request = vpc.DeleteSubnetRequest(vpc_id=vpc_id, subnet_id=subnet_id)
        until("the subnet to be free", lambda: not in_use(lambda: self.vpc.delete_subnet(request)))
        self.vpc.delete_vpc(vpc.DeleteVpcRequest(vpc_id=vpc_id))


def until(what: str, is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"waited {SECONDS:g} s for {what}")
        time.sleep(0.2)


def missing(ask: Callable[[], object]) -> bool:
    return refused(ask, 404)


def in_use(delete: Callable[[], object]) -> bool:
    return refused(delete, 409)


def refused(call: Callable[[], object], status: int) -> bool:
    try:
        call()
    except ClientRequestException as error:
        if error.status_code != status:
            raise
        return True
    return False


@contextmanager
def machine(network: str) -> Iterator[None]:
    """A machine at 10.0.0.10: the gateway attaches the namespace as soon as it is there."""
    subprocess.run(["ip", "netns", "add", network], check=True)
    try:
        device = ["ip", "-n", network, "address", "add", f"{MACHINE}/24", "dev", "sidegate0"]
        until("the gateway's device", lambda: subprocess.run(device, capture_output=True, check=False).returncode == 0)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", network], check=True)


@contextmanager
def web_server(network: str, directory: str) -> Iterator[None]:
    Path(directory, "index.html").write_text("payments here\n")
    command = ["ip", "netns", "exec", network, sys.executable, "-m", "http.server", "8080", "-d", directory]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait()


def answer(network: str) -> str:
    """What a client in the VPC gets from the endpoint; empty where it gets nothing."""
    ask = f"import urllib.request as r; print(r.urlopen('http://{ENDPOINT}/', timeout=2).read().decode().strip())"
    command = ["ip", "netns", "exec", network, sys.executable, "-c", ask]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def story(shop: Account, payments: Account, networks: str, directory: str) -> None:
    (here, here_subnet), (there, there_subnet) = shop.network(), payments.network()
    client, server = (networks.replace("{vpc_id}", id_) for id_ in (here, there))
    port = payments.port(there_subnet, MACHINE)
    with machine(client), machine(server), web_server(server, directory):
        service = payments.publish(there, port)
        payments.permit(service, shop.name)
        endpoint = shop.request(service, here, here_subnet)
        print(f"endpoint {ENDPOINT} is {shop.status(endpoint)}: {answer(client) or 'no answer'}", flush=True)
        payments.decide(service, endpoint, "receive")
        until("the endpoint to be accepted", lambda: shop.status(endpoint) == "accepted")
        until("an answer", lambda: answer(client))
        print(f"endpoint {ENDPOINT} is {shop.status(endpoint)}: {answer(client)}", flush=True)
        payments.decide(service, endpoint, "reject")
        shop.give_up(endpoint)
        payments.unpublish(service)
    payments.clear(there, there_subnet, port)
    shop.clear(here, here_subnet)
    print("nothing is left", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shop", type=Path, help="the consumer's file, of `sidegate account create -o json`")
    parser.add_argument("payments", type=Path, help="the provider's")
    parser.add_argument("--networks", default="sidegate-{vpc_id}", help="as `sidegate attachment list-defaults` has it")
    told = parser.parse_args()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        ca = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ca.pem"
        story(Account(told.shop, ca), Account(told.payments, ca), told.networks, directory)


if __name__ == "__main__":
    main()
