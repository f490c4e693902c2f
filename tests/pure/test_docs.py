"""What the documents name is there: files, sections, settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchmail.settings import CHECKOUT, Settings

DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def anchors(document: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_files_that_it_names_are_there(document: Path) -> None:
    for name in re.findall(
        r"(?<![\w/.])(?:deploy|docs|examples|tests|scripts|batchmail)/[\w./-]+", document.read_text()
    ):
        assert (CHECKOUT / name.rstrip("./")).exists() or (document.parent / name.rstrip(".")).exists(), name


@each_document
def test_settings_that_it_names_are_settings(document: Path) -> None:
    ours = {name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"\bBATCH_[A-Z_]*[A-Z]\b|\bSMTP_[A-Z_]*[A-Z]\b", document.read_text()))
    assert named <= ours


def test_the_tests_that_the_guarantees_name_are_there() -> None:
    named = re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / "guarantees.md").read_text())
    tests = "\n".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    assert named
    assert [name for name in named if not re.search(rf"\bdef {name}\(", tests)] == []
