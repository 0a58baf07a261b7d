"""PromQL of other people: bounded, read, and confined to one namespace.

Whoever may add a trigger may write a query, and Prometheus knows every tenant's
series. So each selector of such a query gets an equality matcher on the
namespace, and what is sent is the text written from the parsed tree, never the
text that came: a reader that understands it differently has nothing to find.

It refuses, before any parser, what could exhaust one: a nested query can crash
promql-parser and with it the process. It refuses `or` inside braces, which
would offer a way around the matcher, and `info()`, whose second selector is
implied. `label_replace` and the like are harmless: they rename, they read nothing.
"""

import re
from collections.abc import Iterator

import promql_parser as pp

from predictscale.config.problems import show
from predictscale.errors import Problem, SettingsError, TenancyError

MAX_BYTES = 4096
"""Length of a query [bytes]; at this length no query was found that crashes the parser."""

_MAX_BRACKETS = 100
_MAX_REGEXES = 10
_MAX_NODES = 150
_NAMESPACE = "namespace"
# In PromQL a brace stands before a digit only inside a string: a counted repetition, and \pL{99} a
# hundred times compiles for seconds.
_COUNTED = re.compile(r"\{\s*[0-9]")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def parse(query: str, *, where: str, max_bytes: int = MAX_BYTES) -> pp.Expr:
    """Read a query that gives one number at any instant.

    Args:
        query: PromQL.
        where: The setting, for the message.
        max_bytes: The longest that is read [bytes].

    Raises:
        SettingsError: It is too long, too deep, no PromQL, or gives a range or a text.
    """
    tree = _read(query, where=where, max_bytes=max_bytes)
    if isinstance(tree, pp.MatrixSelector | pp.SubqueryExpr | pp.StringLiteral):
        kind = "a text" if isinstance(tree, pp.StringLiteral) else "a range"
        raise _problem(where, f"gives {kind}", "must give one number, such as sum(rate(...[2m]))")
    return tree


def confine(query: str, namespace: str, *, where: str, max_bytes: int = MAX_BYTES) -> str:
    """The query with every selector bound to `namespace`, written anew on one line.

    Raises:
        SettingsError: As `parse`, and for what cannot be confined.
        TenancyError: A selector names another namespace, or several.
    """
    tree = parse(query, where=where, max_bytes=max_bytes)
    for node in _nodes(tree):
        _refuse_unconfinable(node, where)

    def bind(node: pp.Expr) -> pp.Expr | None:
        return _bound(node, namespace, where) if isinstance(node, pp.VectorSelector) else None

    bound = pp.transform(tree, None, bind).prettify()
    text = " ".join(line.strip() for line in bound.split("\n"))
    _prove(text, bound, namespace, where)
    return text


def parse_selector(text: str, namespace: str, *, where: str, label: str = _NAMESPACE) -> str:
    """Label matchers such as `model_name="x",job=~"y"`, bound to a namespace and safe inside braces.

    Args:
        text: Matchers without braces; may be empty.
        namespace: The only one they may read.
        where: The setting, for the message.
        label: The label that holds the namespace in the metrics that are selected.

    Raises:
        SettingsError: It is something else than matchers.
        TenancyError: It names another namespace.
    """
    wants = 'write label matchers without braces, such as model_name="llama",job=~"chat.*"'
    tree = _read(f"m{{{text}}}", where=where, max_bytes=MAX_BYTES, wants=wants)
    # Text that closes the brace itself shows as more than the one plain selector that was opened.
    if not isinstance(tree, pp.VectorSelector) or tree.offset is not None or tree.at is not None:
        raise _problem(where, "is more than label matchers", wants)
    _refuse_unconfinable(tree, where)
    matchers = tree.matchers.matchers
    _refuse_other_namespaces(matchers, namespace, where, label)
    own = [f"{m.name}{_operator(m)}{quote_label(m.value)}" for m in matchers if m.name != label]
    return ",".join([f"{label}={quote_label(namespace)}", *own])


def quote_label(value: str) -> str:
    """A label's value as a PromQL string, whatever is in it.

    Raises:
        ValueError: It cannot be written as UTF-8.
    """
    value.encode()
    quoted = "".join(_escaped(character) for character in value)
    return f'"{quoted}"'


def unconfined(query: str, namespace: str, *, label: str = _NAMESPACE) -> list[str]:
    """The selectors of a query that could read beyond `namespace`, as text.

    Raises:
        SettingsError: As `parse`.
    """
    return _open_selectors(parse(query, where="query"), namespace, label)


def _prove(text: str, bound: str, namespace: str, where: str) -> None:
    """Read what was written once more: the last word before text goes to Prometheus."""
    try:
        tree: pp.Expr | None = pp.parse(text)
    except ValueError:
        tree = None
    if tree is None or tree.prettify() != bound or _open_selectors(tree, namespace, _NAMESPACE):
        raise _problem(where, "cannot be bound to one namespace", "write it with plain label names")


def _open_selectors(tree: pp.Expr, namespace: str, label: str) -> list[str]:
    return [
        node.prettify()
        for node in _nodes(tree)
        if isinstance(node, pp.VectorSelector) and not _is_confined(node, namespace, label)
    ]


def _read(query: str, *, where: str, max_bytes: int, wants: str = "must be PromQL") -> pp.Expr:
    _guard(query, where, max_bytes)
    try:
        tree: pp.Expr = pp.parse(query)
    except ValueError as error:
        why = str(error).split("\n", maxsplit=1)[0][:120]
        raise SettingsError([Problem(where, "is not PromQL", wants, why)]) from None
    nodes = sum(1 for _ in _nodes(tree))
    if nodes > _MAX_NODES:
        raise _problem(where, f"has {nodes} parts", f"must have {_MAX_NODES} or fewer")
    for node in _nodes(tree):
        if isinstance(node, pp.Call) and node.func.name == "info":
            raise _problem(where, "calls info()", "join with `* on (...) group_left (...)` instead")
    return tree


def _guard(query: str, where: str, max_bytes: int) -> None:
    """Refuse what may not reach the parser. Looks at characters only: a lexer of its own could err."""
    size = len(query.encode(errors="replace"))
    if size > max_bytes:
        raise _problem(where, f"has {size} bytes", f"must have {max_bytes} or fewer")
    # Openings, not depth: depth would need to know what is inside a string.
    brackets = sum(query.count(opening) for opening in "([{")
    if brackets > _MAX_BRACKETS:
        raise _problem(where, f"opens {brackets} brackets", f"must open {_MAX_BRACKETS} or fewer")
    regexes = query.count("=~") + query.count("!~")
    if regexes > _MAX_REGEXES:
        raise _problem(where, f"has {regexes} regular expressions", f"must have {_MAX_REGEXES} or fewer")
    if _COUNTED.search(query):
        raise _problem(where, "repeats a part of a regular expression by count", "write it without {n}")
    odd = next((c for c in query if not c.isprintable() and c not in "\n\t"), None)
    if odd is not None:
        raise _problem(where, f"holds the character U+{ord(odd):04X}", "must hold printable characters only")


def _nodes(tree: pp.Expr) -> Iterator[pp.Expr]:
    """Every node, without recursion: promql-parser's own walk takes minutes where trees are deep."""
    waiting: list[pp.Expr] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def children(node: pp.Expr) -> list[pp.Expr]:
    """The parts of an expression that are expressions themselves, in the order in which they stand."""
    match node:
        case pp.VectorSelector() | pp.NumberLiteral() | pp.StringLiteral():
            return []
        case pp.MatrixSelector():
            return [node.vector_selector]
        case pp.BinaryExpr():
            return [node.lhs, node.rhs]
        case pp.Call():
            return list(node.args)
        case pp.AggregateExpr():
            return [node.expr] if node.param is None else [node.expr, node.param]
        case pp.ParenExpr() | pp.UnaryExpr() | pp.SubqueryExpr():
            return [node.expr]
        case _:
            # A node that is not known here could hide a selector.
            raise NotImplementedError(
                f"promql-parser has a node {type(node).__name__} that is not known here"
            )


def _refuse_unconfinable(node: pp.Expr, where: str) -> None:
    """Refuse what would not survive being written anew, or offers a way around a matcher."""
    if isinstance(node, pp.StringLiteral):
        texts = [node.val]
    elif isinstance(node, pp.VectorSelector):
        if node.matchers.or_matchers:
            raise _problem(where, "has `or` inside braces", "write two selectors with `or` between them")
        texts = [m.value for m in node.matchers.matchers]
        if odd := next((m.name for m in node.matchers.matchers if not _LABEL.fullmatch(m.name)), None):
            raise _problem(
                where, f"uses the label name {show(odd)}", "must use plain label names: a-z, 0-9 and _"
            )
    else:
        return
    if not all(text.isprintable() for text in texts):
        raise _problem(where, "holds an escaped control character", "must hold printable characters only")


def _bound(node: pp.VectorSelector, namespace: str, where: str) -> pp.Expr | None:
    matchers = node.matchers.matchers
    _refuse_other_namespaces(matchers, namespace, where, _NAMESPACE)
    if _is_confined(node, namespace, _NAMESPACE):
        return None
    own = f"{_NAMESPACE}={quote_label(namespace)}"
    # A name has no brace, so the first one opens the matchers; str() would not escape their values.
    text = node.prettify()
    if "{" in text:
        head, rest = text.split("{", 1)
        text = f"{head}{{{own},{rest}"
    else:
        head = node.name or ""
        text = f"{head}{{{own}}}{text.removeprefix(head)}"
    bound: pp.Expr = pp.parse(text)
    return bound


def _refuse_other_namespaces(matchers: list[pp.Matcher], namespace: str, where: str, label: str) -> None:
    for matcher in matchers:
        if matcher.name == label and (matcher.op != pp.MatchOp.Equal or matcher.value != namespace):
            got = f"selects {label}{_operator(matcher)}{show(matcher.value)}"
            wants = f"leave {label} out, or write {label}={quote_label(namespace)}"
            raise TenancyError([Problem(where, got, wants, "a workload reads its own namespace only")])


def _is_confined(node: pp.VectorSelector, namespace: str, label: str) -> bool:
    held = [m for m in node.matchers.matchers if m.name == label]
    plain = all(m.op == pp.MatchOp.Equal and m.value == namespace for m in held)
    return bool(held) and plain and not node.matchers.or_matchers


def _operator(matcher: pp.Matcher) -> str:
    operators = (
        (pp.MatchOp.Equal, "="),
        (pp.MatchOp.NotEqual, "!="),
        (pp.MatchOp.Re, "=~"),
        (pp.MatchOp.NotRe, "!~"),
    )
    return next(text for op, text in operators if matcher.op == op)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _problem(where: str, got: str, wants: str) -> SettingsError:
    return SettingsError([Problem(where, got, wants)])
