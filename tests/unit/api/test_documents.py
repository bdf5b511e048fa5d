"""The documents say what the code does: variables, commands, links, drawing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli import app
from api.settings import load_settings, variable_names

ROOT = Path(__file__).parents[3]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = (
    *READMES,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/accuracy.md",
    "docs/architecture.md",
    "docs/friends.md",
    "docs/glossary.md",
    "docs/observability.md",
    "docs/outreach.md",
    "docs/privacy.md",
    "deploy/README.md",
    "deploy/README.zh-CN.md",
    "SECURITY.md",
)
ALIASES = {"WECOM_AES_KEY"}
"""Second names of variables: read, but told only once."""

REGISTRIES = re.compile(r"(?i)pypi\.org|pythonhosted\.|test\.pypi|registry\.npm|anaconda\.org|index-url[ =]+http")
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:home|work|Users|root)/[\w.]")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project: what is in the folder and not in .gitignore, with or without git at hand."""
    ignored = {line.rstrip("/") for line in read(".gitignore").splitlines() if line} | {".git"}

    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if any(fnmatch(path.name, pattern) for pattern in ignored):
                continue
            if path.is_dir():
                yield from walk(path)
            else:
                yield path

    return tuple(walk(ROOT))


def example_lines() -> list[tuple[str, str, str]]:
    """Name, value and the line above of every variable in .env.example."""
    lines = ["", *read(".env.example").splitlines()]
    found = [(re.match(r"([A-Z_]+)=(.*)", line), above) for above, line in pairwise(lines)]
    return [(match[1], match[2], above) for match, above in found if match]


def test_the_example_holds_every_variable_once() -> None:
    assert sorted(name for name, _, _ in example_lines()) == sorted(set(variable_names()) - ALIASES)


def test_every_variable_of_the_example_is_explained() -> None:
    assert [name for name, _, above in example_lines() if not re.match(r"# [\w企]", above)] == []


def test_the_example_holds_no_secret() -> None:
    secrets = {name: value for name, value, _ in example_lines() if re.search("SECRET|TOKEN|KEY|URL", name)}
    assert len(secrets) > 10
    assert set(secrets.values()) == {""}


def test_the_example_copied_as_it_is_changes_nothing(clean_environment: Path) -> None:
    unset = load_settings()
    (clean_environment / ".env").write_text(read(".env.example"), encoding="utf-8")
    assert load_settings() == unset


@pytest.mark.parametrize("document", READMES)
def test_the_tables_name_every_variable(document: str) -> None:
    cells = "".join(line for line in read(document).splitlines() if line.startswith("|"))
    assert set(variable_names()) - set(re.findall(r"`([A-Z_]+)`", cells)) == set()


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 200


def commands_in(document: str) -> list[str]:
    """Every command a document shows, in blocks and in the text."""
    text = read(document)
    blocks = re.findall(r"^ *```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line] + re.findall(r"`([^`\n]+)`", text)


def words_after(program: str, document: str) -> list[list[str]]:
    found = [re.match(rf"(?:\.venv/bin/)?{program}(?: +(.*))?$", command) for command in commands_in(document)]
    return [(match[1] or "").replace("[", " ").replace("]", " ").split() for match in found if match]


def problem_with(words: list[str]) -> str:
    """Say what of a `kefu` command line does not exist, nothing when all does."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"no command {name!r} in {words}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    return f"no option {unknown} in {words}" if unknown else ""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shown_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    shown = {word for words in words_after("make", document) for word in words if "=" not in word}
    assert shown - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shown_kefu_commands_exist(document: str) -> None:
    assert [problem for words in words_after("kefu", document) if (problem := problem_with(words))] == []


def test_the_check_of_commands_sees_what_does_not_exist() -> None:
    assert "frobnicate" in problem_with(["frobnicate"])
    assert "frob" in problem_with(["kb", "frob"])
    assert "--shiny" in problem_with(["kb", "import", "PATH…", "--shiny"])
    assert problem_with(["kb", "search", "QUESTION", "--top-k", "N"]) == ""


@pytest.mark.parametrize("document", READMES)
def test_every_command_is_in_the_readme(document: str) -> None:
    def leaves(command: Any, path: str) -> Iterator[str]:
        children = getattr(command, "commands", None)
        if children is None:
            yield path
            return
        for name, child in children.items():
            yield from leaves(child, f"{path} {name}")

    text = read(document)
    assert [path for path in leaves(typer.main.get_command(app), "kefu") if f"`{path}" not in text] == []


def test_relative_links_lead_somewhere() -> None:
    broken = []
    for path in project_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            place = target.partition("#")[0]
            if place and "://" not in place and not (path.parent / place).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_drawing_in_the_architecture_is_the_graph() -> None:
    drawing = read("tests/unit/graph/graph.mmd").strip()
    assert f"```mermaid\n{drawing}\n```" in read("docs/architecture.md")


def test_tests_named_in_the_documents_exist() -> None:
    defined = {
        name
        for path in project_files()
        if fnmatch(path.name, "test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", read("docs/architecture.md")))
    assert len(named) > 20
    assert named - defined == set()


def test_tables_named_in_the_architecture_are_those_of_the_migrations() -> None:
    sql = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "api" / "migrations").glob("*.sql")))
    made = set(re.findall(r"create table (\w+)", sql))
    section = read("docs/architecture.md").partition("## Tables")[2].partition("\n## ")[0]
    assert made - set(re.findall(r"`(\w+)`", section)) == set()


def test_the_glossary_holds_only_words_the_code_uses() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in project_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests"
    )
    rows = [line for line in read("docs/glossary.md").splitlines() if line.startswith("| `")]
    words = [word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(words) > 30
    assert [word for word in words if not re.search(rf"(?i)(?<![a-z]){word}", code)] == []


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in REGISTRIES.finditer(text)]
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATHS.finditer(text)]
    assert found == []


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = read("LICENSE")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
