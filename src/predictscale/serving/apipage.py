"""docs/api.md, written from the API's own description and the recorded examples.

A reader finds each call with its parameters, a command that makes it, and what came back when it
was recorded. Refuses to say what the description does not: a test compares the page with it.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from predictscale.serving.openapi import operations, recorded

HOST = "http://127.0.0.1:8080"
"""Where commands of the page ask; the default port."""
TOKEN = "$TOKEN"  # noqa: S105 - the name of a variable of the reader's shell

_JSON = "application/json"
_HEAD = f"""\
# The API

This page is written by `predictscale.serving.apipage` from the service's OpenAPI document and from recorded
examples; a test compares them. The service itself tells the same document at `/openapi.json`.

Examples were recorded by `scripts/record-api-examples` from the demo's world with a few more settings, at a
fixed instant of a clock that is moved by hand. Their long lists are cut to the first entries; a service
answers all of them.

## What holds for every call

- Reading needs no token. Writing needs one of the file that `http.write_token_file` names, sent as
  `Authorization: Bearer`; without that file nobody writes. Commands below take it from `{TOKEN}`.
- Instants are ISO 8601 in UTC, durations are seconds and their names end with `_s`, rates are per second.
  `null` is what is not known; it is never sent as 0.
- Errors are `application/problem+json` (RFC 9457): `title`, `status`, and `detail` in words for a person.
- A parameter that a call does not know is one (422), and its `detail` names those that are known.
- Each read under `/api/v1` answers an `ETag` that stays the same as long as nothing but ages has changed.
  Sent back as `If-None-Match` it is answered with 304 and no body. `Age` is the time since the newest
  decision that an answer tells, in seconds. Nothing may be kept without asking again
  (`Cache-Control: no-cache`).
- `HEAD` answers what `GET` would, without the body. There is no CORS: pages of other origins cannot read it.
- Lists that grow are paged: pass `next` of a page to get the one that follows. `null` is the end.
"""


def api_markdown(described: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        described: The OpenAPI document.
    """
    parts = [_HEAD]
    for tag in described["tags"]:
        calls = [call for call in operations(described) if tag["name"] in call[2]["tags"]]
        if calls:
            parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
            parts += ["\n".join(_call(path, method, operation)) for path, method, operation in calls]
    return "\n".join(parts)


def command(path: str, method: str) -> str:
    """The command that makes the recorded call, for a shell."""
    example = recorded()[f"{method.upper()} {path}"]
    given = dict(example["parameters"])
    for name in list(given):
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(str(given.pop(name)), safe=""))
    asked = urlencode([(name, one) for name, value in given.items() for one in _each(value)], safe="/:,")
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    line = [*words, shlex.quote(HOST + path + (f"?{asked}" if asked else ""))]
    if example["token"]:
        line.append(f'-H "Authorization: Bearer {TOKEN}"')
    if "body" in example:
        line.append(f"--json {shlex.quote(json.dumps(example['body']))}")
    return " \\\n  ".join([" ".join(line[: 1 + len(words)]), *line[1 + len(words) :]]).replace(
        "curl ", "curl -sS ", 1
    )


def _call(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}"
    yield ""
    yield operation["description"]
    yield ""
    yield from _parameters(operation.get("parameters", ()))
    example = recorded().get(f"{method.upper()} {path}")
    if example is not None:
        yield from ("```sh", command(path, method), "```", "")
        yield from _answer(example)
    refusals = [
        f"{status}: {_sentence(answer['description'])}"
        for status, answer in operation["responses"].items()
        if int(status) >= 300
    ]
    if refusals:
        yield f"Also: {'; '.join(refusals)}."
        yield ""


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "| parameter | in | meaning | allowed |"
    yield "|---|---|---|---|"
    for each in parameters:
        meaning = each.get("description", "").replace("|", "\\|")
        required = ", required" if each.get("required") and each["in"] != "path" else ""
        yield f"| `{each['name']}` | {each['in']}{required} | {meaning} | {_allowed(each['schema'])} |"
    yield ""


def _allowed(schema: Mapping[str, Any]) -> str:
    """What a parameter may be, in words."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    parts = [_kind(kind) for kind in kinds]
    if schema.get("default") not in (None, ""):
        parts.append(f"default `{schema['default']}`")
    return "; ".join(parts)


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"a `{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"any number of: {_kind(schema['items'])}"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "up to characters:"))
        if key in schema
    ]
    return " ".join([f"{schema.get('format', schema.get('type', 'anything'))}", *limits])


def _answer(example: Mapping[str, Any]) -> Iterator[str]:
    yield f"Answers {example['status']}" + (":" if example["answer"] is not None else ", without a body.")
    yield ""
    if example["answer"] is not None:
        yield from ("```json", json.dumps(example["answer"], indent=2, ensure_ascii=False), "```", "")


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
