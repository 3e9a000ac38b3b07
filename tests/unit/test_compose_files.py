"""docker-compose.yml and what belongs to it, read without an engine: names that must be the same in several places."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.compose.base_images import REPOSITORY, STOOD_IN_FOR, base_images
from tests.compose.cluster import ENDPOINT

COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()
SECRETS = re.compile(r"^SIDEGATE_[A-Z_]+=[0-9a-f]{48}$")


def deploy_secrets(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([REPOSITORY / "deploy/secrets", file], capture_output=True, text=True, check=True)


def test_every_base_image_can_be_stood_in_for() -> None:
    assert base_images() == set(STOOD_IN_FOR)


def test_secrets_are_drawn_once_for_the_owner_alone(tmp_path: Path) -> None:
    file, other = tmp_path / "env", tmp_path / "other"
    deploy_secrets(file)
    deploy_secrets(other)
    drawn = file.read_text()
    assert all(SECRETS.match(line) for line in drawn.splitlines())
    assert len(set(drawn.split()) | set(other.read_text().split())) == 2 * len(drawn.splitlines())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert "stays" in deploy_secrets(file).stderr
    assert file.read_text() == drawn


def test_the_secrets_that_are_drawn_are_those_that_the_cluster_needs(tmp_path: Path) -> None:
    deploy_secrets(tmp_path / "env")
    drawn = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert drawn == set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert not re.search(r"\$\{\w+(:?-|\})", COMPOSE), "a secret with a default, or without a word where it is missing"


def test_ports_are_published_on_the_loopback_alone_where_the_command_line_looks_for_them() -> None:
    published = re.findall(r'ports: \["(\S+):7400"\]', COMPOSE)
    written = re.findall(r'"grpc": "(\S+)"', (REPOSITORY / "deploy/operator").read_text())
    assert published == written == ["127.0.0.1:7401", "127.0.0.1:7402"]
    https = re.findall(r'ports: \["(\S+):8443"\]', COMPOSE)
    written = re.findall(r'"https": "https://(\S+)"', (REPOSITORY / "deploy/operator").read_text())
    console = re.findall(r'ports: \["(\S+):8444"\]', COMPOSE)
    assert https + console == written == ["127.0.0.1:7443", "127.0.0.1:7444"]
    assert COMPOSE.count("ports:") == 4


def test_the_authoritys_key_and_a_programs_are_in_volumes_that_no_other_program_has() -> None:
    mounted = re.findall(r"(authority|registry-tls|endpoint-tls|http-tls|console-tls|gateway-tls):(\S+)", COMPOSE)
    by_volume = {name: [place.rstrip('",]') for volume, place in mounted if volume == name] for name, _ in mounted}
    assert by_volume == {
        "authority": ["/authority"],
        "registry-tls": ["/authority/registry", "/etc/sidegate/tls:ro"],
        "endpoint-tls": ["/authority/endpoint", "/etc/sidegate/tls:ro"],
        "http-tls": ["/authority/http_api", "/etc/sidegate/tls:ro"],
        "console-tls": ["/authority/console", "/etc/sidegate/tls:ro"],
        "gateway-tls": ["/authority/compose-1", "/etc/sidegate-tls:ro"],
    }


@pytest.mark.parametrize("file", ["docker-compose.yml", "README.md", "docs/design/compose.md"])
def test_the_one_curl_is_the_same_everywhere(file: str) -> None:
    assert f"docker compose exec client curl http://{ENDPOINT}/" in (REPOSITORY / file).read_text()
