"""The pictures of the panel: which page, who opens it, and how large the picture is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
WIDE, PHONE = 1280, 390
MAX_HEIGHT = 1000


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes
    ----------
    path : str
        Of the page, with the names of ids in braces.
    user : str
        Who opens it.
    """

    name: str
    path: str
    user: str
    theme: str = "light"
    width: int = WIDE
    max_height: int = MAX_HEIGHT


PICTURES = (
    Picture("home", "home", "alice", max_height=1120),
    Picture("person", "people/rita", "alice"),
    Picture("project", "projects/churn", "paul", max_height=1250),
    Picture("matrix", "projects/churn/matrix", "paul"),
    Picture("why", "why?who=rita&do=start+training+churn&in=churn", "paul", max_height=1100),
    Picture("request", "requests/{request}", "paul"),
    Picture("audit", "audit", "alice", theme="dark"),
    Picture("my-access", "me", "rita", width=PHONE),
)
