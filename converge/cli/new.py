"""`converge new`: a project to begin with: an engine of thirty lines, facts for it, and a test."""

__all__ = ["new"]

from keyword import iskeyword
from pathlib import Path
from typing import Annotated

import typer

from converge.cli.console import AsJson, data, news, write_json, write_line
from converge.cli.usage import OptionInvalid
from converge.errors import ConvergeError, StoreUnavailable


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the project; a folder of this name is made.")],
    as_json: AsJson = False,
) -> None:
    """Write a project that runs: NAME/NAME.py with kinds, agents and an engine, facts for it, and a test.

    It decides from reports where to help first, without a model or a key. Nothing that is there is written over.

    Example: converge new triage
    """
    folder = _checked(name)
    files = {f"{name}.py": _PROGRAM, "facts.jsonl": _FACTS, f"test_{name}.py": _TEST}
    _write(folder, {file: text.replace("NAME", name) for file, text in files.items()})
    commands = [
        f"cd {name}",
        f"converge run {name}:engine --facts facts.jsonl --job first",
        "converge why first",
        "pytest",
    ]
    if as_json:
        write_json(_told(name, [*files], commands))
        return
    for file in files:
        write_line(data(), f"{folder / file}")
    write_line(news(), ("to begin with:", "dim"))
    for command in commands:
        write_line(news(), (f"  {command}", "dim"))


def _told(name: str, files: list[str], commands: list[str]) -> dict[str, object]:
    """Return JSON data of this shape; commands: what to type next.

    {"folder", "target": text, "files", "commands": [text]}
    """
    return {"folder": name, "target": f"{name}:engine", "files": files, "commands": commands}


def _checked(name: str) -> Path:
    """Return the folder to make. Raises OptionInvalid."""
    if not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        perhaps = "".join(sign if sign.isalnum() else "_" for sign in name).strip("_").lower()
        hint = f": did you mean {perhaps}?" if perhaps.isidentifier() and not iskeyword(perhaps) else ""
        raise OptionInvalid("NAME", f"{name!r} is no name of a Python module{hint}")
    if name in _TAKEN:
        raise OptionInvalid("NAME", f"{name!r} is a module that the project needs: choose another name")
    folder = Path(name)
    if folder.exists():
        raise OptionInvalid("NAME", f"{name} is there already: choose another name, or remove it")
    return folder


_TAKEN = ("converge", "converge_agents", "converge_stores", "pytest", "json", "asyncio")


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, "utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ConvergeError:
    return StoreUnavailable(str(folder), (error.strerror or str(error)).lower())


_PROGRAM = '''"""NAME: where to help first. Run it with `converge run NAME:engine --facts facts.jsonl`."""

from converge import Engine, Fact, View, agent


class Report(Fact, policy="many"):  # given from outside
    place: str
    people: int


class Alarm(Fact, key="place"):  # two different alarms for one place would contest each other
    place: str
    severity: int


class First(Fact):  # the answer
    place: str


@agent(reads=Report, writes=Alarm, replaces=True)  # with a new report, the alarms are counted anew
def assess(view: View):
    """Each place is as urgent as all reports of it together."""
    for place in sorted({report.place for report in view.new(Report)}):
        reports = [report for report in view.new(Report) if report.place == place]
        yield Alarm(place, severity=sum(report.people for report in reports)).because(*reports)


@agent(reads=Alarm, writes=First, when="settled")  # runs when nothing can change what it reads
def choose(view: View):
    """The most urgent place comes first; an older choice falls when another place is more urgent."""
    worst = view.best(Alarm, by=lambda alarm: alarm.severity)
    return First(worst.place) if worst else None


engine = Engine([assess, choose])
intent = "decide where to help first"
'''
_FACTS = """{"kind": "Report", "fact": {"place": "harbour", "people": 3}}
{"kind": "Report", "fact": {"place": "station", "people": 2}}
{"kind": "Report", "fact": {"place": "station", "people": 4}}
"""
_TEST = '''"""What NAME promises: run it with pytest."""

from converge import run
from NAME import Alarm, First, Report, engine, intent

HARBOUR, STATION, MORE = Report("harbour", 3), Report("station", 2), Report("station", 4)


def test_the_place_with_most_people_comes_first():
    outcome = run(engine, intent, [HARBOUR, STATION, MORE])
    assert outcome.converged
    assert outcome.context.live(First) == (First("station"),)


def test_the_choice_rests_on_what_was_reported():
    outcome = run(engine, intent, [HARBOUR, STATION, MORE])
    assert set(outcome.why(Alarm("station", 6)).premises()) == {STATION, MORE}


def test_no_report_means_no_choice():
    outcome = run(engine, intent)
    assert outcome.context.live(First) == ()
    assert "nothing to read" in str(outcome.why_not(First))
'''
