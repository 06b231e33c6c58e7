"""Wire types that the service, the hub side and the command line share."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from aizen_hub.api_models import logins, revocation, sessions
from aizen_hub.api_models.logins import HubUserModel, LoginReport, LoginResponse
from aizen_hub.api_models.revocation import RevocationRequest
from aizen_hub.api_models.schema import CompleteResponse, Schema, read_json
from aizen_hub.api_models.sessions import HeartbeatRequest, HeartbeatResponse, OpenSessionResponse
from aizen_hub.problems import BadInput, Problem


def classes(base: type[BaseModel]) -> list[type[BaseModel]]:
    modules = (logins, revocation, sessions)
    values = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [value for value in values if issubclass(value, base) and value is not base]


@pytest.mark.parametrize("model", classes(Schema))
def test_requests_reject_unknown_fields(model: type[BaseModel]) -> None:
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["strict"] is True


@pytest.mark.parametrize("model", classes(CompleteResponse))
def test_responses_are_documented_as_complete(model: type[BaseModel]) -> None:
    document = model.model_json_schema()
    assert document["required"] == list(model.model_fields)
    assert not [field for field in document["properties"].values() if "default" in field]


def test_a_response_of_a_newer_service_may_have_more_fields() -> None:
    response = LoginResponse.model_validate({"outcome": "admitted", "user": "alice", "added": 1})
    assert (response.outcome, response.user, response.hub_user) == ("admitted", "alice", None)


def test_a_response_of_an_older_service_may_have_fewer_fields() -> None:
    assert HeartbeatResponse.model_validate({}).former_admins == ()
    assert HubUserModel.model_validate({}) == HubUserModel(groups=(), admin=False)


def test_the_role_token_is_hidden() -> None:
    assert "a.b.c" not in repr(OpenSessionResponse(session="s", token="a.b.c", expires_in=300))


@pytest.mark.parametrize(
    ("model", "text", "pointer"),
    [
        (LoginReport, '{"provider": "Lab", "subject": "s", "name": "n"}', "/provider"),
        (LoginReport, '{"provider": "lab", "subject": "s", "name": "a\\u0000"}', "/name"),
        (LoginReport, '{"provider": "lab", "subject": "s", "name": "n", "refresh": 1}', "/refresh"),
        (HeartbeatRequest, '{"live": [{"user": "a", "server": 1}]}', "/live/0/server"),
        (RevocationRequest, '{"user": "a", "sign_out": true}', "/sign_out"),
        (RevocationRequest, '{"user": "a", "other": 1}', "/other"),
    ],
)
def test_an_invalid_request_names_the_location(model: type[Schema], text: str, pointer: str) -> None:
    with pytest.raises(Problem) as error:
        read_json(model, text.encode())
    assert isinstance(error.value, BadInput)
    assert [fault.pointer for fault in error.value.faults] == [pointer]


def test_the_values_of_an_invalid_request_are_not_quoted() -> None:
    body: dict[str, Any] = {"provider": "local", "name": "n", "password": "p" * 2000}
    with pytest.raises(Problem) as error:
        read_json(logins.PasswordCheck, logins.PasswordCheck.model_construct(**body).model_dump_json().encode())
    assert "ppp" not in str(error.value.to_json())
