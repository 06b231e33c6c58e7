"""Validation of the responses of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from aizen_hub.api_models.schema import ResponseModel
from aizen_hub.client.errors import InvalidResponse

M = TypeVar("M", bound=ResponseModel)


def parse_response(model: type[M], document: Mapping[str, Any] | Any) -> M:
    """Validate a response.

    Parameters
    ----------
    model : type
        The expected type.
    document : Any
        The JSON value of the body.

    Raises
    ------
    InvalidResponse
        The response does not fit; it is never read as a permission.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        locations = ", ".join(".".join(map(str, item["loc"])) or "the document" for item in error.errors()[:5])
        raise InvalidResponse(f"the access service sent an unexpected response at {locations}") from None
