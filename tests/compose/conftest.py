"""An engine, and images that are built once."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.compose import base_images
from tests.compose.cluster import Cluster, cluster, cluster_of
from tests.compose.engine import Engine, NoEngine, engine

LABEL = "label=org.opencontainers.image.title=sidegate"  # of every stage that our Dockerfiles build


@contextmanager
def none_without_an_engine() -> Iterator[None]:
    """One sentence instead of every test's failure."""
    try:
        yield
    except NoEngine as error:
        pytest.exit(str(error), returncode=1)


def tell(config: pytest.Config, text: str) -> None:
    """What takes long is said while it is done."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(text)


@pytest.fixture(scope="session")
def running_engine() -> Iterator[Engine]:
    with none_without_an_engine(), engine() as found:
        yield found


@pytest.fixture(scope="session")
def built(
    running_engine: Engine, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """With the images of docker-compose.yml; those that were not there before go again."""
    before = images(running_engine)
    secrets = tmp_path_factory.mktemp("build") / "env"
    try:
        with none_without_an_engine():
            for what in base_images.provide(running_engine):
                tell(pytestconfig, what)
        tell(pytestconfig, "building the programs' images")
        cluster_of(running_engine, min(running_engine.composes), secrets).compose("build")
        yield running_engine
    finally:
        if not running_engine.ours:
            running_engine.docker("rmi", "--force", *(images(running_engine) - before), check=False)
            running_engine.docker("image", "prune", "--force", "--filter", LABEL)


def images(engine: Engine) -> set[str]:
    named = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "dangling=false")
    return set(named.stdout.split())


@pytest.fixture(scope="module")
def running(built: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, brought up by the oldest Compose that there is."""
    with cluster(built, min(built.composes), tmp_path_factory.mktemp("cluster") / "env") as made:
        yield made
