"""Schemas of the OpenID AuthZEN Authorization API 1.0; it requires that unknown members are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from aizen_hub.api_models.schema import Name, ResponseModel, Schema

_Properties = Annotated[dict[str, Any], Field(max_length=100)]


class _Extensible(Schema):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class EntityBody(_Extensible):
    """A subject or a resource."""

    type: Name
    id: Name
    properties: _Properties | None = None


class EntityType(_Extensible):
    """A subject or a resource that is searched for."""

    type: Name
    properties: _Properties | None = None


class Action(_Extensible):
    name: Annotated[str, Field(min_length=1, max_length=160)]
    properties: _Properties | None = None


class Evaluation(_Extensible):
    """One evaluation request."""

    subject: EntityBody
    action: Action
    resource: EntityBody
    context: _Properties | None = None


class PartialEvaluation(_Extensible):
    """One of several evaluation requests; missing members are taken from the enclosing document."""

    subject: EntityBody | None = None
    action: Action | None = None
    resource: EntityBody | None = None
    context: _Properties | None = None


class EvaluationsOptions(_Extensible):
    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class Evaluations(PartialEvaluation):
    """Several evaluation requests."""

    evaluations: Annotated[tuple[PartialEvaluation, ...], Field(max_length=100, strict=False)] = ()
    options: EvaluationsOptions = EvaluationsOptions()


class PageRequest(_Extensible):
    token: Annotated[str, Field(max_length=1024)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class SubjectSearch(_Extensible):
    subject: EntityType
    action: Action
    resource: EntityBody
    context: _Properties | None = None
    page: PageRequest = PageRequest()


class ResourceSearch(_Extensible):
    subject: EntityBody
    action: Action
    resource: EntityType
    context: _Properties | None = None
    page: PageRequest = PageRequest()


class ActionSearch(_Extensible):
    subject: EntityBody
    resource: EntityBody
    context: _Properties | None = None
    page: PageRequest = PageRequest()


class EvaluationResponse(ResponseModel):
    decision: bool
    context: dict[str, Any] | None = None


class EvaluationsResponse(ResponseModel):
    """One response for each request, or the response to a single one."""

    evaluations: list[EvaluationResponse] | None = None
    decision: bool | None = None


class SearchResponse(ResponseModel):
    results: list[dict[str, str]]
    page: dict[str, Any] | None = None


class Metadata(ResponseModel):
    policy_decision_point: str
    access_evaluation_endpoint: str
