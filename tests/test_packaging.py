"""What is shipped: three typed packages, a lock without addresses, an `import converge` that stays light."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT, ROOT / "agents", ROOT / "stores"]

# Written so that this file does not match itself.
ADDRESS = re.compile(
    r"python[h]osted\.org|//(test\.)?py[p]i\.org|npm[j]s\.(org|com)|gola[n]g\.org/"
    r"|^\s*--([i]ndex-url|extra-[i]ndex-url|[f]ind-links)",
    re.MULTILINE,
)


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout: clone the repository to have its tracked files read")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_holds_the_address_of_a_registry():
    """A lock or a setting with an address would install from one place only, and not from a mirror."""
    texts = {path.name: path.read_text("utf-8", errors="replace") for path in tracked_files()}
    assert [name for name, text in texts.items() if ADDRESS.search(text)] == []


@pytest.mark.parametrize("lock", ["dev.txt", "runtime.txt", "llmock.txt", "docs.txt"])
def test_a_lock_holds_versions_and_hashes_and_no_address(lock: str):
    """Every requirement is pinned and hashed, and nothing says where it comes from."""
    text = (ROOT / "requirements" / lock).read_text("utf-8")
    pinned = re.findall(r"^[\w.-]+==\S+(?: ;.*)? \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > 10
    assert "://" not in text


def test_the_runtime_depends_on_seven_packages_and_nothing_else():
    """A further dependency is an extra, imported where it is used."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=~! ]", requirement)[0] for requirement in project["dependencies"]}
    assert names == {"aiosqlite", "anyio", "openai", "pydantic", "rich", "tenacity", "typer"}


@pytest.mark.parametrize("package", ["converge", "converge_agents", "converge_stores"])
def test_each_import_package_imports(package: str):
    """The three packages of the distribution are there under their own names."""
    assert importlib.import_module(package).__doc__


@pytest.mark.parametrize("face", ["agents", "stores"])
def test_a_face_shows_exactly_what_its_package_shows(face: str):
    """`converge.stores` and `converge_stores` name the same objects, and so do the agents'."""
    shown, package = importlib.import_module(f"converge.{face}"), importlib.import_module(f"converge_{face}")
    assert sorted(shown.__all__) == sorted(package.__all__)
    assert all(getattr(shown, name) is getattr(package, name) for name in package.__all__)


def test_importing_converge_imports_no_model_client_driver_or_terminal():
    """The heavy parts wait until they are used: `import converge` is paid by every program."""
    heavy = ["openai", "aiosqlite", "typer", "rich", "opentelemetry", "mcp", "pydantic_ai", "converge.explain"]
    program = f"import converge, json, sys; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    assert json.loads(python("-c", program)) == []


def test_importing_converge_has_pydantic_build_nothing():
    """Our own kinds wait for their first fact: the first that is built has pydantic look for its plugins."""
    program = "import converge, json, sys; print(json.dumps('pydantic.plugin._loader' in sys.modules))"
    assert json.loads(python("-c", program)) is False


def test_what_runs_jobs_waits_for_the_first_job():
    """A process that only declares kinds, agents and an engine loads no event loop, and no store but memory."""
    later = ["asyncio", "converge.job", "converge.machine", "converge_stores.postgres", "converge_stores.sqlite"]
    program = (
        "import json, sys\nfrom converge import Engine, Fact, agent\n"
        "class Signal(Fact):\n    text: str\n"
        "Engine([agent(reads=Signal, name='look')(lambda view: None)])\n"
        f"print(json.dumps([m for m in {later} if m in sys.modules]))"
    )
    assert json.loads(python("-c", program)) == []


@pytest.mark.parametrize(
    ("program", "extra"),
    [
        ("import converge.telemetry", "otel"),
        ("import converge.mcp", "mcp"),
        ("from converge.agents import PydanticAI; PydanticAI('test')", "pydantic-ai"),
    ],
)
def test_what_needs_an_extra_names_it_in_one_sentence(program: str, extra: str):
    """And what comes before it is imported without."""
    missing = {"otel": "opentelemetry", "mcp": "mcp", "pydantic-ai": "pydantic_ai"}[extra]
    tried = (
        f"import sys; sys.modules[{missing!r}] = None; import converge.agents, converge.stores\n"
        f"try:\n    exec({program!r})\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert python("-c", tried).strip().endswith(f"needs the extra {extra}: pip install 'converge-runtime[{extra}]'")


@pytest.mark.parametrize("folder", ["agents", "stores"])
def test_the_folder_of_a_package_is_not_a_package(folder: str):
    """`agents` and `stores` as import packages would collide with other people's."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.slow
def test_the_wheel_holds_three_typed_packages_and_the_data_of_the_teams(tmp_path: Path):
    """Whatever a package has in the tree is in the wheel, under the name it is imported by."""
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in (ROOT / "converge", ROOT / "agents/converge_agents", ROOT / "stores/converge_stores"):
        files = [path for path in package.rglob("*") if path.suffix in {".py", ".typed", ".jsonl", ".json"}]
        assert {path.relative_to(package.parent).as_posix() for path in files} <= names
        assert f"{package.name}/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "converge", "converge_agents", "converge_runtime", "converge_stores",
    }  # fmt: skip


def python(*arguments: str) -> str:
    """The output of a fresh interpreter that finds the three packages in this tree."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, SOURCES))}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
