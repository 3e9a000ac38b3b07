"""`sidegate topology` as people and programs type it."""

import asyncio
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def make(fake: FakeSidegate, name: str) -> str:
    async def create() -> str:
        async with fake.client() as sidegate:
            return (await sidegate.vpcs.create(name, ["10.0.0.0/24"])).id

    return asyncio.run(create())


def test_where_nothing_is_the_way_to_something_is_named(cli: CommandLine) -> None:
    assert "sidegate vpc create" in cli.text("topology")


def test_each_form_is_what_its_name_says(cli: CommandLine, fake: FakeSidegate) -> None:
    id_ = make(fake, "shop")
    assert "VPC shop" in cli.text("topology")
    assert [each["id"] for each in cli.answer("topology")["vpcs"]] == [id_]
    assert cli.text("topology", "--format", "dot").startswith("digraph")
    assert cli.text("topology", "--dot") == cli.text("topology", "--format", "dot")
    assert cli.text("topology", "--format", "svg").startswith("<svg ")
    assert cli.text("topology", "--format", "json").startswith("{")


def test_a_picture_goes_into_the_file_that_is_named(cli: CommandLine, fake: FakeSidegate, tmp_path: Path) -> None:
    make(fake, "shop")
    file = tmp_path / "drawn.svg"
    assert cli.answer("topology", "--svg", str(file))["file"] == str(file)
    assert "VPC shop" in file.read_text()
    assert "cannot be written" in cli.error("topology", "--svg", str(tmp_path / "no" / "such"), code=2)


def test_two_forms_at_once_are_refused(cli: CommandLine) -> None:
    assert "give one of them" in cli.error("topology", "--dot", "--format", "svg", code=2)


def test_another_vpc_is_not_there(cli: CommandLine) -> None:
    assert "vpc nowhere is not there" in cli.error("topology", "--vpc", "nowhere", code=3)


def test_without_graphviz_the_package_is_named(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the package graphviz" in cli.error("topology", "--format", "svg", code=5)
