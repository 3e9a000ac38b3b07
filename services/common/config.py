"""Settings of the programs: flags, or environment variables named SIDEGATE_<FLAG>; flags win."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.name_servers import AllowedServers, name_servers_of

NAME = r"^[a-z0-9][a-z0-9-]{0,31}$"
FLOW_LOG, FLOW_LOG_TO = r"^(off|full|1/[1-9][0-9]{0,8})$", r"^(nats|file:.+)$"


class ProgramSettings(BaseSettings):
    """What every program is told."""

    model_config = SettingsConfigDict(
        env_prefix="SIDEGATE_",
        cli_parse_args=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    tls: Path = Field(description="the directory of its certificate: ca.pem, cert.pem and key.pem")
    ready_file: Path | None = Field(None, description="written when the program serves: JSON with its address")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")
    log_file: Path | None = Field(None, description="logs go there instead of stderr, in files of 10 MB, 4 at most")
    metrics: str = Field(
        "127.0.0.1:0",
        description="host:port of the metrics for Prometheus; port 0 takes a free one, which the ready file names; "
        "empty for none",
    )


class NatsSettings(ProgramSettings):
    """What every program is told that talks by NATS."""

    nats_url: str = Field(description="where NATS is: nats://HOST:PORT, several with commas between")
    nats_credential: Path | None = Field(
        None, description="the file of its user of NATS; without it, nats.creds beside its certificate"
    )

    @field_validator("nats_url")
    @classmethod
    def _shows_no_secret(cls, url: str) -> str:
        if "@" in url:
            raise ValueError("users of NATS have credentials in files: a URL with a user or token in it is of no use")
        return url

    @property
    def nats_user(self) -> Path:
        """The file of its user of NATS."""
        return self.nats_credential or self.tls / "nats.creds"


class ServiceSettings(NatsSettings):
    """What every control-plane service is told."""

    listen: str = Field("127.0.0.1:0", description="host:port of the public interface; port 0 takes a free one")
    internal_listen: str = Field(
        "127.0.0.1:0", description="host:port for our own programs and gateways, which show certificates"
    )
    region: str = Field("local", pattern=NAME, description="this region: in services' full names, tokens, certificates")
    access_log: Path | None = Field(
        None, description="calls that were refused go there, in files of 4 MB, 4 at most; the newest are kept anyway"
    )
    database: SecretStr = Field(
        description="its event store: the path of a SQLite file, or postgresql://USER:PASSWORD@HOST/NAME"
        " (keep a password in the environment)"
    )
    evidence: Path | None = Field(
        None, description="the directory of its signing key and of the heads that it signs; without it none are signed"
    )
    watch_history: int = Field(1_000_000, ge=0, description="how many events back a watch may begin")
    watchers: int = Field(5_000, ge=1, description="who may watch at once")
    watchers_per_account: int = Field(500, ge=1, description="who may watch at once of one account")


class RegistrySettings(ServiceSettings):
    """The registry."""

    endpoint_address: str = Field(description="host:port of the endpoint service's internal interface")
    master_key: Path = Field(
        description="the key that secrets are kept encrypted with, mode 0600; made where it is missing"
    )
    previous_master_key: Path | None = Field(
        None,
        description="the key that --master-key replaces: secrets are encrypted anew at the start, and tokens that it"
        " signed are still valid; to be left out again a quarter of an hour later",
    )
    operator_credential: Path = Field(
        description="where the operator's first access key is left, mode 0600, when there is no operator yet"
    )
    default_namespaces: str = Field(
        "",
        pattern=r"^(([A-Za-z0-9_][A-Za-z0-9_.-]*)?\{vpc_id\}[A-Za-z0-9_.-]*)?$",
        max_length=36,
        description="network namespaces, {vpc_id} in the name, that VPCs of tenants are attached to in a cell that"
        " never had a default attachment; afterwards `sidegate attachment set-default` says it. Empty: none",
    )
    default_cell: str = Field("default", pattern=NAME, description="the cell of --default-namespaces")
    service_quota: int = Field(20, ge=-1, description="endpoint services of a project; -1 is unlimited")
    allowed_forwarders: str = Field(
        "",
        description="name servers that resolvers of VPCs may ask for other names, from the gateways' machines:"
        " addresses or ranges with commas between, each with a port where it is not 53, such as"
        " 9.9.9.9,192.0.2.0/24:5353,[fd00:53::/64]:53. Empty: none",
    )
    name_servers: str = Field(
        "",
        description="name servers that the registry asks for TXT records of private names, such as"
        " 9.9.9.9,192.0.2.1:5353; empty: those of /etc/resolv.conf",
    )

    @field_validator("allowed_forwarders")
    @classmethod
    def _names_ranges(cls, text: str) -> str:
        AllowedServers.of(text)
        return text

    @field_validator("name_servers")
    @classmethod
    def _names_servers(cls, text: str) -> str:
        name_servers_of(text)
        return text


class EndpointSettings(ServiceSettings):
    """The endpoint service."""

    registry_address: str = Field(description="host:port of the registry's internal interface")
    endpoint_quota: int = Field(50, ge=-1, description="endpoints of a project; -1 is unlimited")
    lease_seconds: float = Field(30, gt=0, description="a gateway silent for so long counts as lost")
    fence_seconds: float = Field(3600, gt=0, description="a gateway cut off for so long forwards no more")
    creation_deadline_seconds: float = Field(120, gt=0, description="an endpoint CREATING for longer becomes FAILED")
    tests_per_minute: int = Field(12, ge=1, description="reachability tests of a project in a minute")


class GatewaySettings(NatsSettings):
    """A gateway agent."""

    gateway_id: str = Field(pattern=NAME, description="this gateway; the same after every restart")
    cell: str = Field("default", pattern=NAME, description="the cell that it is a member of")
    endpoint_address: str = Field(description="host:port of the endpoint service's internal interface")
    socket: Path = Field(description="the unix socket on which it shows its table")
    bpffs: Path = Field(Path("/sys/fs/bpf"), description="a BPF file system to pin in; mounted where there is none")
    max_sessions: int = Field(131_072, ge=1024, le=8_388_608, description="sessions that fit in the kernel's map")
    metrics_endpoints: int = Field(
        1000,
        ge=0,
        description="endpoints of which the metrics tell what has passed, those with the most; sums tell all",
    )
    flow_log: str = Field(
        "off",
        pattern=FLOW_LOG,
        description="tell of sessions when they are over, and of refused ones: off, full, or 1/N for one in N",
    )
    flow_log_to: str = Field(
        "nats",
        pattern=FLOW_LOG_TO,
        description="where to: nats, for the projects that they are of, or file:PATH, JSON lines in files of 64 MB,"
        " 5 at most",
    )
    haproxy: str = Field(
        "haproxy",
        description="the program HAProxy, 2.4 or later, which ports with PROXY protocol need; by name or path",
    )
    uninstall: bool = Field(False, description="remove everything of this gateway from the kernel, and end")
    uninstall_on_stop: bool = Field(
        False, description="do so when told to stop: for a container, whose network ends with it"
    )


class HttpApiSettings(ProgramSettings):
    """The HTTPS API."""

    listen: str = Field("127.0.0.1:8443", description="host:port of the API; port 0 takes a free one")
    registry_address: str = Field(description="host:port of the registry's public interface")
    registry_internal_address: str = Field(description="host:port of the registry's internal interface")
    endpoint_address: str = Field(description="host:port of the endpoint service's public interface")
    region: str = Field("local", pattern=NAME, description="this region: what clients call its one project by")
    socket: Path = Field(description="the unix socket on which it says how it is doing")
    head_bytes: int = Field(32_768, ge=1024, description="of a request's line and headers")
    head_seconds: float = Field(10, gt=0, description="in which a request's head has to come")
    body_bytes: int = Field(262_144, ge=1024, description="of a request's body")
    body_seconds: float = Field(20, gt=0, description="in which a request's body has to come")
    send_seconds: float = Field(20, gt=0, description="in which a client has to read a part of an answer")
    connections: int = Field(800, ge=1, description="connections that may be open at once")
    connections_per_address: int = Field(400, ge=1, description="connections of one address")
    in_flight: int = Field(256, ge=1, description="requests that are answered at once")
    in_flight_per_address: int = Field(128, ge=1, description="requests of one address that are answered at once")
    in_flight_per_key: int = Field(64, ge=1, description="requests of one access key that are answered at once")
    rate_per_address: float = Field(
        1000, gt=0, description="requests of one address in a second; twice as many at once"
    )
    rate_per_key: float = Field(200, gt=0, description="requests of one access key in a second; twice as many at once")
    streams_per_project: int = Field(20, ge=1, description="event streams of one project, SSE and WebSocket together")


class ConsoleSettings(ProgramSettings):
    """The web console."""

    listen: str = Field("127.0.0.1:8444", description="host:port of the pages; port 0 takes a free one")
    public_url: str = Field(
        "",
        pattern=r"^(https://[^/\s]+)?$",
        description="how browsers call it, https://HOST[:PORT], where that is another than what they ask for: behind a"
        " proxy, and for redirects from an OpenID provider",
    )
    registry_address: str = Field(description="host:port of the registry's public interface")
    endpoint_address: str = Field(description="host:port of the endpoint service's public interface")
    gateway_socket: Path | None = Field(
        None, description="the unix socket of a gateway agent on this machine, whose table operators may see"
    )
    region: str = Field("local", pattern=NAME, description="this region: in services' full names")
    socket: Path = Field(description="the unix socket on which it says how it is doing")
    session_idle_minutes: float = Field(30, gt=0, description="a session ends when nothing was asked in it for so long")
    sessions: int = Field(2000, ge=1, description="sessions at once; the oldest makes room")
    sessions_per_key: int = Field(20, ge=1, description="sessions of one access key at once")
    session_hours: float = Field(
        12, gt=0, description="a session ends so long after signing in, whatever is done in it"
    )
    sign_ins_per_address: int = Field(20, ge=1, description="attempts in vain to sign in from one address in a minute")
    sign_ins_per_key: int = Field(5, ge=1, description="attempts in vain with one access key in a minute")
    oidc_issuer: str = Field(
        "",
        pattern=r"^(https://\S+)?$",
        description="the OpenID provider that people may sign in with, by its issuer URL; empty: access keys alone",
    )
    oidc_name: str = Field(
        "", max_length=40, description="what people call the OpenID provider, on the button; its host's name otherwise"
    )
    oidc_ca: Path | None = Field(
        None, description="what the OpenID provider's certificate is verified with (PEM), instead of the system's"
    )
    oidc_client_id: str = Field("", description="what the OpenID provider knows the console by")
    oidc_client_secret_file: Path | None = Field(
        None, description="the file of the console's secret at the OpenID provider, mode 0600"
    )
    oidc_accounts: Path | None = Field(
        None, description="the file that says who of the OpenID provider is whom in Sidegate, mode 0600"
    )
    head_bytes: int = Field(32_768, ge=1024, description="of a request's line and headers")
    head_seconds: float = Field(10, gt=0, description="in which a request's head has to come")
    body_bytes: int = Field(262_144, ge=1024, description="of a request's body")
    body_seconds: float = Field(20, gt=0, description="in which a request's body has to come")
    send_seconds: float = Field(20, gt=0, description="in which a browser has to read a part of an answer")
    connections: int = Field(800, ge=1, description="connections that may be open at once")
    connections_per_address: int = Field(400, ge=1, description="connections of one address")
    in_flight: int = Field(256, ge=1, description="requests that are answered at once")
    in_flight_per_address: int = Field(128, ge=1, description="requests of one address that are answered at once")

    @model_validator(mode="after")
    def _names_all_of_the_provider(self) -> Self:
        told = [self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret_file, self.oidc_accounts]
        if any(told) and not all(told):
            names = "--oidc-issuer, --oidc-client-id, --oidc-client-secret-file and --oidc-accounts"
            raise ValueError(f"an OpenID provider needs all of {names}")
        return self
