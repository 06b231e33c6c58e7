from __future__ import annotations

from tests.accounts.conftest import house, make_house, peopled, shared_town, template, town

__all__ = ["house", "make_house", "peopled", "shared_town", "template", "town"]
