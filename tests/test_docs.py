"""What is written for readers is true: blocks run as pasted, links lead somewhere, laws are held by tests."""

import re
from typing import Any

import pytest
import typer

from converge.cli import app
from tests.documents import DOCS, PAGES, ROOT, anchors, blocks, commands, links, prints, ran
from tests.test_exports import FACES

README = blocks(ROOT / "README.md")
ELSEWHERE = {"how-to/temporal.md"}  # run beside a server of its own, by test_temporal_server
RUN_HERE = [page for page in PAGES[1:] if blocks(page) and page.relative_to(DOCS).as_posix() not in ELSEWHERE]
LAWS = DOCS / "LAWS.md"


def named(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("number", range(len(README)))
def test_a_block_of_the_readme_runs_as_pasted_and_prints_what_stands_under_it(number, tmp_path):
    """Nothing to add, nothing to install but the project; the text block is its output, letter for letter."""
    code, shown = README[number]
    [output] = ran([code], tmp_path)
    assert prints(shown, output), output


@pytest.mark.parametrize("page", RUN_HERE, ids=named)
def test_the_blocks_of_a_page_run_one_after_the_other_and_print_what_stands_under_them(page, tmp_path, request):
    """A page is read from its top: a block may use what those above it define."""
    several = blocks(page)
    server = _server(request) if any("PostgresStore(" in block.code for block in several) else {}
    outputs = ran([block.code for block in several], tmp_path, server)
    for (code, shown), output in zip(several, outputs, strict=True):
        assert prints(shown, output), f"{code}\nprints\n{output}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_a_command_is_one_that_there_is_with_options_that_it_takes(page):
    """It is read as when it is typed, and not run."""
    group: Any = typer.main.get_command(app)
    for name, *arguments in commands(page):
        group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_link_leads_to_a_file_and_an_anchor_that_exist(page):
    """Links to other people's pages are theirs to keep."""
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_site_names_every_page_and_every_name_is_a_page():
    """What is not in the navigation is not found."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = re.findall(r"^ +- (?:[^:\n]+: )?([\w/.-]+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_face_has_a_page_of_reference():
    """What a page says of a face is made from its `__all__` and the docstrings: a new name appears by itself."""
    pages = [page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md")]
    shown = [name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)]
    assert sorted(shown) == sorted([*FACES, "converge.errors"])


def test_every_law_names_tests_that_exist():
    """A law that nothing holds is a wish."""
    sections = re.split(r"^## (\d+)\. ", LAWS.read_text("utf-8"), flags=re.MULTILINE)[1:]
    laws = dict(zip(map(int, sections[::2]), sections[1::2], strict=True))
    assert list(laws) == list(range(1, 17))
    for number, text in laws.items():
        held = re.findall(r"\[(test_\w+)::(test_\w+)\]\(\.\./tests/(test_\w+)\.py\)", text)
        assert held, f"law {number} names no test"
        assert [one for one in held if not _is_test(*one)] == []


def _is_test(name, test, file):
    path = ROOT / "tests" / f"{file}.py"
    return (
        name == file and path.exists() and re.search(rf"^(async )?def {test}\(", path.read_text("utf-8"), re.MULTILINE)
    )


def _server(request):
    """Return the environment in which libpq finds a server by itself, as on the reader's machine."""
    database = request.getfixturevalue("database")
    return {"PGHOST": database.host, "PGPORT": str(database.port), "PGUSER": "postgres"}
