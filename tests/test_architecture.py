"""What the house promises about itself: sizes, documents, words that must not appear."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from services.common import config
from services.standalone.settings import StandaloneSettings

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 350
MEDIAN_MODULE = 120
MEDIAN_FUNCTION = 8
LONGEST_FUNCTION_95 = 40


def modules() -> list[Path]:
    found = [*(ROOT / "services").rglob("*.py"), *(ROOT / "sidegate").rglob("*.py")]
    return sorted(path for path in found if ROOT / "sidegate" / "api" not in path.parents)


def functions() -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def lengths_of_functions() -> list[int]:
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions()]


def test_modules_are_small() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_MODULE


def test_functions_are_small() -> None:
    lengths = lengths_of_functions()
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert statistics.quantiles(lengths, n=20)[-1] <= LONGEST_FUNCTION_95


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


@pytest.mark.parametrize(
    "settings",
    [
        config.RegistrySettings,
        config.EndpointSettings,
        config.GatewaySettings,
        config.HttpApiSettings,
        config.ConsoleSettings,
        StandaloneSettings,
    ],
    ids=lambda settings: str(settings.__name__),
)
def test_every_setting_says_what_it_is_for(settings: type[BaseSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "helpers", "misc", "manager", "base", "impl"}
    assert [path for path in modules() if path.stem in vague] == []


def test_removing_a_field_from_the_contract_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "protos"
    subprocess.run(["cp", "-r", str(ROOT / "protos"), str(copy)], check=True)
    altered = copy / "sidegate/api/registry/v1/vpc.proto"
    text = altered.read_text()
    field = "  // The project that owns it.\n  string project = 2 [(google.api.field_behavior) = OUTPUT_ONLY];\n"
    assert field in text
    altered.write_text(text.replace(field, "", 1))
    buf = [str(ROOT / ".venv/bin/buf"), "breaking", str(copy), "--against", str(ROOT / "protos/released.binpb")]
    kept = subprocess.run([*buf[:2], str(ROOT / "protos"), *buf[3:]], capture_output=True, text=True, check=False)
    removed = subprocess.run(buf, capture_output=True, text=True, check=False)
    assert kept.returncode == 0, kept.stdout
    assert removed.returncode != 0
    assert "project" in removed.stdout


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PLACES = r"`((?:benchmarks|deploy|docs|examples|protos|services|sidegate|tests)/[a-z0-9_./*{},-]+)`"


def pointed_to(page: Path) -> Iterator[tuple[str, Path]]:
    """What a page links to, and the places of the tree that it names, as patterns below a directory."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            yield target, page.parent
    for place in re.findall(PLACES, text):
        before, braces, rest = place.partition("{")
        choices, _, after = rest.partition("}")
        for choice in choices.split(",") if braces else [""]:
            yield before + choice + after, ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    assert [target for target, where in pointed_to(page) if not any(where.glob(target.rstrip("/")))] == []


def test_what_operations_says_to_watch_is_a_metric() -> None:
    documented = re.findall(r"^\| `(sidegate_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    told = set(re.findall(r"\bsidegate_[a-z_]+", (ROOT / "docs" / "operations.md").read_text()))
    assert len(told) > 5
    assert {name.removesuffix("_bucket") for name in told} <= set(documented)
