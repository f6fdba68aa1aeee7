"""What the API answers with, as pydantic models: the source of /openapi.json."""
