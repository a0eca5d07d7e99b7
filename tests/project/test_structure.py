"""The shape of the project: what every app must say of itself, and what no file may say."""

import re
import subprocess
import sys
import tomllib

import pytest

import dev
from tests.project.running import ROOT

APPS = (
    "access",
    "webhooks",
    "conditions_dsl",
    "contracts",
    "outcomes",
    "settlement",
    "invoicing",
    "payments",
    "handover",
    "portal",
    "simulation",
    "workbench",
    "workplace",
    "billing_project",
)
SOURCES = [
    path
    for path in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    if (ROOT / path).is_file()
]


@pytest.mark.parametrize("app", APPS)
def test_each_app_says_what_it_owns_and_does_not(app: str) -> None:
    text = (ROOT / app / "README.md").read_text()
    assert re.search(r"\bOwns\b", text), f"{app}/README.md does not say what it owns"
    assert re.search(r"\b[Dd]oes not own\b", text), f"{app}/README.md does not say what it does not own"
    assert len(text.splitlines()) < 120, "one page"


def test_the_import_rules_name_every_app() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    linter = settings["tool"]["importlinter"]
    layers = next(contract for contract in linter["contracts"] if contract["type"] == "layers")["layers"]
    named = {name for layer in layers for name in layer.split(" | ")}
    assert named == set(APPS) == set(linter["root_packages"])
    packages = {path.split("/")[0] for path in SOURCES if path.endswith("/__init__.py")}
    assert packages - {"tests", "benchmarks"} == set(APPS)


@pytest.mark.parametrize("domain", [p for p in SOURCES if re.match(r"(conditions_dsl|\w+/domain)/.*\.py$", p)])
def test_nothing_pure_reads_a_clock(domain: str) -> None:
    text = (ROOT / domain).read_text()
    assert not re.search(r"\b(datetime\.now|utcnow|time\.time|timezone\.now|date\.today)\b", text)


def test_what_every_process_pays_for_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No grammar in one that reads no condition; and compiled modules, whatever the caller's environment says."""
    code = "import sys, conditions_dsl.parser as parser; sys.exit(parser.grammar.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in dev.environment()


def test_no_file_names_a_package_index_or_this_machine() -> None:
    # Put together here, so that this file does not name them either.
    names = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "/work/" + "main", "/opt/" + "wheels")
    binary = (".gz", ".png", ".pdf", ".otf", ".ttf", ".woff2")
    texts = {path: (ROOT / path).read_text(errors="replace") for path in SOURCES if not path.endswith(binary)}
    assert [(path, name) for path, text in texts.items() for name in names if name in text] == []


def test_the_locks_carry_hashes_and_no_index() -> None:
    for name in ("base", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[a-zA-Z0-9._\[\]-]+==", text, re.MULTILINE)
        assert len(pins) > 30
        assert text.count("--hash=sha256:") >= len(pins)
        assert "http" not in text
        assert not re.search(r"^--", text, re.MULTILINE)


def test_the_documentation_links_to_files_that_exist() -> None:
    broken = []
    for path in [p for p in SOURCES if p.endswith(".md")]:
        here = (ROOT / path).parent
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / path).read_text()):
            if not target.startswith(("http", "mailto")) and not (here / target).resolve().exists():
                broken.append(f"{path}: {target}")
    assert broken == []
