"""Which tokens of a user the hub lists to the service; tests/hub/running has the endpoint of a real hub."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.utils import utcnow
from sqlalchemy.orm import object_session

from aizen_hub.api_models.command_line import CLIENT_ID
from aizen_hub.api_models.hub_tokens import MAX_TOKENS
from aizen_hub.hub.spawn.user_tokens import list_tokens


@pytest.fixture
def user() -> Iterator[orm.User]:
    session = orm.new_session_factory("sqlite:///:memory:")()
    session.add(orm.User(name="ann"))
    for name in ("jupyterhub", CLIENT_ID, "service-aizen"):
        session.add(orm.OAuthClient(identifier=name, description=f"about {name}"))
    session.commit()
    yield orm.User.find(session, "ann")
    session.close()


def add_token(user: orm.User, note: str, client: str = "jupyterhub", **columns: Any) -> None:
    session = object_session(user)
    assert session is not None
    token = orm.APIToken(user=user, note=note, client_id=client, hashed=f"hash of {note}", prefix="p", **columns)
    session.add(token)
    session.commit()


def test_tokens_of_browsers_and_expired_ones_are_left_out(user: orm.User) -> None:
    now = utcnow(with_tz=False)
    add_token(user, "nightly", last_activity=datetime.fromisoformat("2030-01-01"), expires_at=now + timedelta(days=1))
    add_token(user, "panel", "service-aizen", session_id="s1")
    add_token(user, "command line", CLIENT_ID, session_id="s1")
    add_token(user, "over", expires_at=now - timedelta(seconds=1))
    listed = list_tokens(user)
    assert [token.note for token in listed.tokens] == ["command line", "nightly"]
    assert listed.tokens[1].last_used == "2030-01-01T00:00:00+00:00"
    assert listed.tokens[1].client == "about jupyterhub"
    assert not listed.more
    assert "hash" not in listed.model_dump_json()


def test_the_list_is_bounded_and_says_so(user: orm.User) -> None:
    for number in range(MAX_TOKENS + 1):
        add_token(user, f"n{number}")
    listed = list_tokens(user)
    assert (len(listed.tokens), listed.more) == (MAX_TOKENS, True)
    assert listed.tokens[0].note == f"n{MAX_TOKENS}"
