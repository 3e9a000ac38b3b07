"""What standalone is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.config import FLOW_LOG, FLOW_LOG_TO, NAME


class StandaloneSettings(BaseSettings):
    """Runs all of Sidegate in one terminal: NATS, registry, endpoint service, HTTPS API, console; as root a gateway."""

    model_config = SettingsConfigDict(
        env_prefix="SIDEGATE_",
        cli_parse_args=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        extra="ignore",
        cli_prog_name="python -m services.standalone",
    )

    data_dir: Path = Field(Path("data"), description="where everything is kept; made where it is missing")
    ready_file: Path | None = Field(None, description="written when all is ready: JSON with every address")
    listen: str = Field("127.0.0.1", description="the address that the services listen on")
    registry_port: int = Field(0, ge=0, le=65535, description="the registry's gRPC port; 0 takes a free one")
    endpoint_port: int = Field(0, ge=0, le=65535, description="the endpoint service's gRPC port; 0 takes a free one")
    registry_database: SecretStr | None = Field(
        None, description="the registry's log as postgresql://...; without it, a SQLite file in the data directory"
    )
    endpoint_database: SecretStr | None = Field(
        None, description="the endpoint service's log as postgresql://...; without it, a SQLite file as above"
    )
    http: bool = Field(True, description="run the HTTPS API, for the Huawei Cloud SDK and Terraform")
    http_port: int = Field(0, ge=0, le=65535, description="the HTTPS API's port; 0 takes a free one")
    console: bool = Field(True, description="run the web console")
    console_port: int = Field(0, ge=0, le=65535, description="the web console's port; 0 takes a free one")
    nats_port: int = Field(0, ge=0, le=65535, description="NATS's port; 0 takes a free one")
    region: str = Field("local", pattern=NAME, description="the first part of services' full names")
    cell: str = Field("default", pattern=NAME, description="the cell of the gateway agent")
    default_namespaces: str = Field(
        "sidegate-{vpc_id}",
        description="network namespaces that VPCs of tenants are attached to, said at the first start; empty: none."
        " Afterwards `sidegate attachment set-default` says it",
    )
    allowed_forwarders: str = Field(
        "",
        description="name servers that resolvers of VPCs may ask for other names, such as 9.9.9.9,192.0.2.0/24:5353;"
        " empty: none",
    )
    name_servers: str = Field(
        "", description="name servers that TXT records of private names are looked up with; empty: /etc/resolv.conf's"
    )
    flow_log: str = Field(
        "off", pattern=FLOW_LOG, description="the gateway tells of sessions when they are over: off, full, or 1/N"
    )
    flow_log_to: str = Field("nats", pattern=FLOW_LOG_TO, description="where to: nats, or file:PATH (JSON lines)")
    keep_forwarding: bool = Field(False, description="when told to stop, leave established forwarding in the kernel")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what the programs log")
