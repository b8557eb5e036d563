"""The JSON schema of `audit.json`, made from the result's types.

python -m goldseam.audit.schema > docs/audit.schema.json
"""

import json
import sys
from typing import Any

import pydantic

from goldseam.audit.stage import HIDDEN, SCHEMA_VERSION
from goldseam.results import AuditResult


def audit_schema() -> dict[str, Any]:
    """JSON schema of version `SCHEMA_VERSION` of the report."""
    schema = pydantic.TypeAdapter(AuditResult).json_schema()
    properties = {k: v for k, v in schema["properties"].items() if k not in HIDDEN}
    required = [name for name in schema["required"] if name not in HIDDEN]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "audit.json",
        **schema,
        "properties": {"schema": {"const": SCHEMA_VERSION}, **properties},
        "required": ["schema", *required],
    }


if __name__ == "__main__":
    json.dump(audit_schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
