"""The OpenAPI document: `python -m api.openapi` writes docs/openapi.json anew."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.problem import MEDIA_TYPE
from schemas.api.base import ProblemDetails

REFERENCES = "#/components/schemas/{model}"
OPERATIONS = ("get", "put", "post", "delete", "patch")


def describe(app: FastAPI) -> None:
    """Make `app` serve a document in which every error is a problem."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # the way FastAPI documents


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document of `app`."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path in document["paths"].values():
        for method in OPERATIONS:
            if method in path:
                _with_problems(path[method])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= models_json_schema([(ProblemDetails, "serialization")], ref_template=REFERENCES)[1]["$defs"]
    return document


def _with_problems(operation: dict[str, Any]) -> None:
    schema = {"$ref": REFERENCES.format(model=ProblemDetails.__name__)}
    responses = operation["responses"]
    responses.pop("422", None)
    for status, description in (("4XX", "The request is wrong; `detail` names the fix."), ("5XX", "No answer was possible.")):
        responses[status] = {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
