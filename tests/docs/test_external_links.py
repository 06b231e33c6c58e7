"""Links to the internet have a form that works: https, a known host, and nothing that belongs to the sentence."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOSTS = set(yaml.safe_load((ROOT / "docs" / "external_hosts.yaml").read_text(encoding="utf-8")))
_LINK = re.compile(r"<a\b[^>]*?\bhref=\"([a-z]+:[^\"]*)\"", re.IGNORECASE)
_CHARACTERS = re.compile(r"[A-Za-z0-9/._~%#?=&+-]+")
"""Of paths, queries and sections; a bracket, a quote or a comma belongs to the sentence around the link."""


def find_fault(link: str) -> str | None:
    parts = urlsplit(link)
    if parts.scheme != "https":
        return "it is not https"
    if parts.netloc not in HOSTS:
        return f"docs/external_hosts.yaml does not list the host {parts.netloc}"
    rest = link.removeprefix(f"https://{parts.netloc}")
    if rest and not _CHARACTERS.fullmatch(rest):
        return "it has a character that belongs to the sentence"
    return "it ends with a mark that belongs to the sentence" if rest.endswith((".", "?", "#", "&")) else None


def test_every_external_link_has_a_form_that_works(documentation: Path) -> None:
    links = {
        (page.name, unescape(link))
        for page in documentation.rglob("*.html")
        for link in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert len(links) > 20
    assert {(name, link): fault for name, link in sorted(links) if (fault := find_fault(link))} == {}


@pytest.mark.parametrize(
    "link",
    [
        "http://github.com/jupyterhub/oauthenticator",
        "https://elsewhere.example.org/",
        "https://user@github.com/jupyterhub",
        "https://github.com:444/jupyterhub",
        "https://github.com/jupyterhub/oauthenticator).",
        "https://github.com/jupyterhub/oauthenticator.",
        "https://github.com/jupyterhub, ",
        "mailto:someone@github.com",
    ],
)
def test_a_wrong_form_would_be_found(link: str) -> None:
    assert find_fault(link) is not None


def test_the_form_of_a_right_one() -> None:
    assert find_fault("https://github.com/jupyterhub/ldapauthenticator#configuration") is None
