"""As much of JSON Schema as docs/reference/operator.schema.json and SARIF's use; a keyword that isn't known here is an error."""

from __future__ import annotations

import json
from typing import Any

KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "type", "const", "enum", "properties", "required"}
KNOWN |= {"additionalProperties", "items", "anyOf", "pattern", "minimum"}
KNOWN |= {"id", "definitions", "default", "format", "maximum", "minItems", "uniqueItems", "oneOf"}  # a format isn't looked at
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "null": type(None)}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> list[str]:
    """What of *value* isn't as the schema says; [] if all is."""
    root = schema if root is None else root
    assert KNOWN.issuperset(schema), schema.keys() - KNOWN
    if "$ref" in schema:
        _, folder, name = schema["$ref"].split("/")
        return problems(value, root[folder][name], root, at)
    if "anyOf" in schema:
        tried = [problems(value, one, root, at) for one in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "oneOf" in schema and sum(not problems(value, one, root, at) for one in schema["oneOf"]) != 1:
        return [f"{at}: isn't just one of {len(schema['oneOf'])} things"]
    if "const" in schema and (value != schema["const"] or type(value) is not type(schema["const"])):
        return [f"{at}: {json.dumps(value)[:60]} isn't {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {json.dumps(value)[:60]} is none of {schema['enum']}"]
    if "type" in schema and not any(_is(value, t) for t in _listed(schema["type"])):
        return [f"{at}: {json.dumps(value)[:60]} isn't {schema['type']}"]
    out: list[str] = []
    if "minimum" in schema and type(value) in (int, float) and value < schema["minimum"]:
        out.append(f"{at}: {value} is under {schema['minimum']}")
    if "maximum" in schema and type(value) in (int, float) and value > schema["maximum"]:
        out.append(f"{at}: {value} is over {schema['maximum']}")
    if type(value) is list and len(value) < schema.get("minItems", 0):
        out.append(f"{at}: {len(value)} items are too few")
    if type(value) is list and schema.get("uniqueItems") and len({json.dumps(v, sort_keys=True) for v in value}) < len(value):
        out.append(f"{at}: two items are the same")
    if type(value) is dict:
        known = schema.get("properties", {})
        out += [f"{at}: no {name}" for name in schema.get("required", ()) if name not in value]
        rest = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in known:
                out += problems(item, known[name], root, f"{at}.{name}")
            elif rest is False:
                out.append(f"{at}: {name} isn't known")
            elif rest is not True:
                out += problems(item, rest, root, f"{at}.{name}")
    if type(value) is list and "items" in schema:
        for number, item in enumerate(value):
            out += problems(item, schema["items"], root, f"{at}[{number}]")
    return out


def _listed(kinds: str | list[str]) -> list[str]:
    return kinds if isinstance(kinds, list) else [kinds]


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return type(value) is int
    if kind == "number":
        return type(value) in (int, float)
    if kind == "boolean":
        return type(value) is bool
    return type(value) is TYPES[kind]
