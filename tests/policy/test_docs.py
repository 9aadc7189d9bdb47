"""What the docs tell a reader to type exists: commands, options, make targets, stages, files, links."""

import re
from pathlib import Path

import pytest
import typer.main
import yaml

from flows.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TEXT = {doc: doc.read_text(encoding="utf-8") for doc in DOCS}


def typed(pattern: str) -> list[str]:
    """What follows `pattern` in code blocks and code spans of all docs, up to the end or a comment."""
    found = []
    for text in TEXT.values():
        code = re.findall(r"```(?:sh)?\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+)`", text)
        found += [m.split("#  ")[0].split("  ")[0].strip() for block in code for m in re.findall(pattern, block)]
    return found


def test_every_rawmill_command_and_option_exists() -> None:
    lines = typed(r"(?:^|\n|bin/)rawmill ([a-z][^\n]+)")
    assert len(lines) > 5
    for line in lines:
        words = line.split()
        command = COMMANDS[words[0]]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {w for w in words if w.startswith("--")} <= options, line


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {line.split()[0] for line in typed(r"(?:^|\n)make ([^\n]+)")}
    assert {"repro", "test", "up"} <= named
    assert named <= targets


def test_every_stage_of_the_table_exists_and_none_is_left_out() -> None:
    stages = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", TEXT[ROOT / "README.md"], re.M)
    assert {name for row in rows for name in re.findall(r"[a-z_]+", row)} == stages


@pytest.mark.parametrize("doc", DOCS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(doc: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT[doc]):
        assert target.startswith("https://") or (doc.parent / target).exists(), target


@pytest.mark.parametrize("doc", DOCS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_every_source_file_named_exists(doc: Path) -> None:
    for name in re.findall(r"`((?:tasks|flows|tests|params)/[\w./]+\.\w+)`", TEXT[doc]):
        assert (ROOT / name).is_file(), name


def test_no_placeholder_is_left() -> None:
    for doc, text in TEXT.items():
        assert not re.findall(r"^[A-Z]{4,}$", text, re.M), doc
