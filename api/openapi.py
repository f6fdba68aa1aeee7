"""The OpenAPI document: `python -m api.openapi` writes docs/openapi.json anew."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.problem import MEDIA_TYPE
from schemas.api.base import ProblemDetails

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"
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


def committed() -> str:
    """What docs/openapi.json must hold."""
    from api.app import routed_app  # api.app imports this module

    return json.dumps(openapi(routed_app(importlib.metadata.version("tracewarden"))), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(committed())
