"""The least that a command by gRPC can be: TLS and a token as for Sidegate, and the answer is what was asked.

Says where it listens and what its callers need: `address`, `ca` (PEM), `metadata`. It ends with SIGKILL.
"""

import asyncio
import json
from typing import Any, cast

import grpc

from services.common.identity.access_log import AccessLog
from services.common.identity.certificates import Certificates
from services.common.program import run
from services.common.rpc.auth import Admission, Doorman
from services.common.rpc.calls import Context
from services.common.rpc.recognition import Bearers
from services.common.rpc.server import OPTIONS
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from tests.support import identity

SERVICE = "sidegate.api.endpoint.v1.EndpointsService"


async def echo(request: rpc.UpdateEndpointRequest, _context: Context) -> endpoint_pb.Endpoint:
    return request.endpoint


async def main() -> None:
    admission = Admission(Doorman(Bearers(identity.verifier()), AccessLog()))
    server = grpc.aio.server(interceptors=[admission], options=OPTIONS)
    reading, writing = rpc.UpdateEndpointRequest.FromString, endpoint_pb.Endpoint.SerializeToString
    # The stubs describe the synchronous server's handlers.
    answering = grpc.unary_unary_rpc_method_handler(cast("Any", echo), reading, writing)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"UpdateEndpoint": answering}),))
    certificates = Certificates(identity.directory_of("endpoint"))
    port = server.add_secure_port("127.0.0.1:0", certificates.serving(client_needed=False))
    await server.start()
    facts = {"address": f"127.0.0.1:{port}", "ca": identity.ca().decode(), "metadata": identity.metadata("echo")}
    print(json.dumps(facts), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main())
