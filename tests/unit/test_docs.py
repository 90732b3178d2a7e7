"""The documents hold together: their links lead somewhere."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
DOCUMENTS = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def links_of(document: Path) -> list[str]:
    """Those to files and headings; not those to other sites."""
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    return [link for link in links if "://" not in link]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for link in links_of(document):
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document

        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link
