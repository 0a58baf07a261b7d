"""Confinement: whatever a tenant writes, what is sent reads the tenant's namespace only."""

import subprocess
import threading
from pathlib import Path

import promql_parser as pp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from predictscale.config.promql import MAX_BYTES, confine, parse, parse_selector, quote_label, unconfined
from predictscale.errors import SettingsError, TenancyError

OWN = "own"
Texts = st.SearchStrategy[str]


def selectors_of(query: str) -> list[pp.VectorSelector]:
    """Every selector, found by the parser's own walk: another way than the one under test."""
    found: list[pp.VectorSelector] = []

    def note(node: pp.Expr) -> bool:
        if isinstance(node, pp.VectorSelector):
            found.append(node)
        return True

    pp.walk(pp.parse(query), note)
    return found


def is_bound(selector: pp.VectorSelector) -> bool:
    held = [m for m in selector.matchers.matchers if m.name == "namespace"]
    plain = all(m.op == pp.MatchOp.Equal and m.value == OWN for m in held)
    return bool(held) and plain and not selector.matchers.or_matchers


def _selector(draw: st.DrawFn) -> str:
    values = st.text(alphabet='ab{}()[]"\\,=~#` \né💥$', max_size=8)
    labels = st.sampled_from(["job", "pod", "model_name", "or", "by", "namespace"])
    count = draw(st.integers(0, 3))
    matchers = []
    for _ in range(count):
        label, value = draw(labels), draw(values)
        operator = draw(st.sampled_from(["=", "!="]))
        if label == "namespace":
            value, operator = draw(st.sampled_from([OWN, OWN, "other"])), "="
        matchers.append(f"{label}{operator}{quote_label(value)}")
    joiner = draw(st.sampled_from([",", ",", " , ", " or "]))
    name = draw(st.sampled_from(["up", "vllm:tokens_total", "namespace", "a:b"]))
    return name + (f"{{{joiner.join(matchers)}}}" if matchers else "")


instant_selectors: Texts = st.composite(_selector)()


def _grow(inner: Texts) -> Texts:
    ranged = st.builds("{}[{}]".format, instant_selectors, st.sampled_from(["5m", "1h30m"]))
    subquery = st.builds("({})[{}]".format, inner, st.sampled_from(["5m:1m", "1h:"]))
    return st.one_of(
        st.builds("rate({})".format, ranged),
        st.builds("max_over_time({})".format, st.one_of(ranged, subquery)),
        st.builds("{} offset 5m".format, instant_selectors),
        st.builds("{} @ end()".format, instant_selectors),
        st.builds("sum by (job) ({})".format, inner),
        st.builds("topk(scalar({}), {})".format, inner, inner),
        st.builds("absent({})".format, inner),
        st.builds('label_replace({}, "namespace", "other", "", "")'.format, inner),
        st.builds('count_values("namespace", {})'.format, inner),
        st.builds(
            "({} {} {})".format, inner, st.sampled_from(["+", "or", "unless", "and on (job)", "*"]), inner
        ),
        st.builds("-({})".format, inner),
        st.builds("({} # it's {{a comment}}\n)".format, inner),
    )


queries: Texts = st.recursive(instant_selectors, _grow, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(queries)
def test_every_selector_of_a_confined_query_reads_one_namespace(query: str) -> None:
    pp.parse(query)  # the strategy writes PromQL, or the test would show nothing
    try:
        text = confine(query, OWN, where="query")
    except SettingsError:
        return
    assert all(is_bound(selector) for selector in selectors_of(text))
    assert len(selectors_of(text)) == len(selectors_of(query))


@settings(max_examples=300, deadline=None)
@given(queries)
def test_a_query_is_refused_for_another_namespace_or_a_doubtful_text_only(query: str) -> None:
    foreign = any(
        m.name == "namespace" and (m.value != OWN or m.op != pp.MatchOp.Equal)
        for selector in selectors_of(query)
        for m in selector.matchers.matchers
    )
    doubtful = any(
        s.matchers.or_matchers or not all(m.value.isprintable() for m in s.matchers.matchers)
        for s in selectors_of(query)
    )
    assume(not foreign and not doubtful and sum(map(query.count, "([{")) <= 100)
    assert confine(query, OWN, where="query")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*list("ab:_ 5m(){}[]\"'`\\,=~!#\n+-*^@"), " or ", "sum", "namespace", "__name__"])
    ).map("".join)
)
def test_any_text_is_either_confined_or_refused(text: str) -> None:
    try:
        confined = confine(text, OWN, where="query")
    except SettingsError:
        return
    assert all(is_bound(selector) for selector in selectors_of(confined))


@settings(deadline=None)
@given(queries)
def test_confining_twice_changes_nothing(query: str) -> None:
    try:
        once = confine(query, OWN, where="query")
    except SettingsError:
        return
    assume(sum(map(once.count, "([{")) <= 100)
    assert confine(once, OWN, where="query") == once


@pytest.mark.parametrize(
    ("query", "confined"),
    [
        ("up", 'up{namespace="own"}'),
        ('up{job="x"}', 'up{job="x",namespace="own"}'),
        ('up{namespace="own"}', 'up{namespace="own"}'),
        ('{__name__=~".+"}', '{__name__=~".+",namespace="own"}'),
        ('{"up"}', '{__name__="up",namespace="own"}'),
        ("sum(rate(up[2m] offset 1m))", 'sum(rate(up{namespace="own"}[2m] offset 1m))'),
        ("max_over_time(rate(a[1m])[5m:1m])", 'max_over_time(rate(a{namespace="own"}[1m])[5m:1m])'),
        ('up{job="}, x{"} or b', 'up{job="}, x{",namespace="own"} or b{namespace="own"}'),
        ("topk(scalar(a), b)", 'topk(scalar(a{namespace="own"}), b{namespace="own"})'),
        ("vector(1)", "vector(1)"),
    ],
)
def test_a_query_is_written_anew_with_its_namespace(query: str, confined: str) -> None:
    assert confine(query, OWN, where="query") == confined


@pytest.mark.parametrize(
    "query",
    [
        'up{namespace="other"}',
        'up{namespace=~"own"}',
        'up{namespace=~".*"}',
        'up{namespace!="own"}',
        'up{namespace=""}',
        'up{namespace="own",namespace="other"}',
        'up{"namespace"="other"}',
        'a{namespace="own"} or b{namespace="other"}',
        'max_over_time(rate(a{namespace="other"}[1m])[5m:1m])',
        'sum(a) / scalar(sum(b{namespace=~"own|other"}))',
    ],
)
def test_another_namespace_is_a_matter_of_tenancy(query: str) -> None:
    with pytest.raises(TenancyError, match="own namespace only"):
        confine(query, OWN, where="query")


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ('up{job="a" or namespace="own"}', "`or` inside braces"),
        ('up{namespace="own" or namespace="other"}', "`or` inside braces"),
        ('info(up, {namespace="own"})', r"calls info\(\)"),
        ("up[5m]", "gives a range"),
        ("up[5m:1m]", "gives a range"),
        ('"up"', "gives a text"),
        ("sum(", "is not PromQL"),
        ("", "is not PromQL"),
        ('up{"a\\"} or b{c"="d"}', "label name"),
        ('up{job="\\x00"}', "control character"),
        ("up\x00", r"U\+0000"),
        ("up\u202e", r"U\+202E"),
        ("up\ud800", r"U\+D800"),
        ('up{job=~"a{99}"}', "by count"),
        ("up{" + ",".join(['a=~"b"'] * 11) + "}", "11 regular expressions"),
        (" or ".join(["up"] * 150), "299 parts"),
    ],
)
def test_what_cannot_be_confined_is_refused(query: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        confine(query, OWN, where="query")


@pytest.mark.parametrize(
    "query",
    [
        "(" * 10_000 + "a" + ")" * 10_000,
        "(" * 101 + "a" + ")" * 101,
        "a" * (MAX_BYTES + 1),
        "é" * (MAX_BYTES // 2 + 1),
    ],
)
def test_a_query_that_is_too_long_or_too_deep_never_reaches_the_parser(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []
    monkeypatch.setattr(pp, "parse", reached.append)
    with pytest.raises(SettingsError, match="or fewer"):
        parse(query, where="query")
    assert reached == []


@pytest.mark.parametrize(
    "query",
    [
        "-" * (MAX_BYTES - 1) + "a",
        "^".join(["a"] * (MAX_BYTES // 2)),
        "(" * 100 + "a" + ")" * 100,
        "a{" * 100,
    ],
)
def test_the_worst_text_that_reaches_the_parser_is_survived_in_a_thread(query: str) -> None:
    outcome: list[str] = []

    def attempt() -> None:
        try:
            outcome.append(confine(query, OWN, where="query"))
        except SettingsError as wrong:
            outcome.append(str(wrong))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(outcome) == 1


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_quoted_label_is_read_back_as_it_was(value: str) -> None:
    (selector,) = selectors_of(f"up{{job={quote_label(value)}}}")
    assert [m.value for m in selector.matchers.matchers] == [value]


def test_half_a_surrogate_is_no_label_value() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        quote_label("\ud800")


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("", 'namespace="own"'),
        ('model_name="x",job=~"y.*"', 'namespace="own",model_name="x",job=~"y.*"'),
        ('namespace="own", pod!="a"', 'namespace="own",pod!="a"'),
        ("pod!~'a\"b'", 'namespace="own",pod!~"a\\"b"'),
    ],
)
def test_a_selector_is_bound_to_its_namespace(written: str, bound: str) -> None:
    assert parse_selector(written, OWN, where="selector") == bound


def test_a_selector_is_bound_by_the_label_that_its_backend_uses() -> None:
    bound = parse_selector('ingress="shop"', OWN, where="selector", label="exported_namespace")
    assert bound == 'exported_namespace="own",ingress="shop"'
    with pytest.raises(TenancyError):
        parse_selector('exported_namespace="other"', OWN, where="selector", label="exported_namespace")


@pytest.mark.parametrize(
    "written",
    [
        'a="b"} or up{c="d"',
        'a="b"} offset 5m #',
        'a="b"}[5m] #',
        'a="b"} @ 5 #',
        "up",
        '{a="b"}',
        '__name__="up"',
        '__name__=~".+"',
        'a="b" or c="d"',
        'a="b" c="d"',
        "a=b",
        '"a\\"b"="c"',
        'a="b"}) or (up{c="d"',
    ],
)
def test_what_is_more_or_less_than_matchers_is_no_selector(written: str) -> None:
    with pytest.raises(SettingsError):
        parse_selector(written, OWN, where="selector")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*list('ab,="~!{}()[]#\\\n 5m@'), " or ", "namespace", '"x"', 'a="b"'])).map(
        "".join
    )
)
def test_any_selector_stays_inside_its_braces(text: str) -> None:
    try:
        bound = parse_selector(text, OWN, where="selector")
    except SettingsError:
        return
    (selector,) = selectors_of(f"up{{{bound}}}")
    assert is_bound(selector)
    assert (selector.offset, selector.at) == (None, None)


def test_a_parser_that_forgot_to_bind_is_caught_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pp, "transform", lambda tree, *_: tree)
    with pytest.raises(SettingsError, match="cannot be bound to one namespace"):
        confine("sum(up)", OWN, where="query")


def test_selectors_without_the_namespace_are_named() -> None:
    assert unconfined('a + b{namespace="own"} + c{namespace="x"}', OWN) == ['c{namespace="x"}', "a"]


def test_prometheus_itself_reads_what_was_written(tmp_path: Path) -> None:
    written = [
        confine(query, OWN, where="query")
        for query in (
            'sum(rate(up{job="a\\"b\\\\c",pod=~"x.+"}[5m] offset 1m)) by (job)',
            "max_over_time(rate(a[1m])[5m:1m] @ end() offset -3m) > bool 0.5",
            'label_replace(a, "x", "$1", "y", "(.*)") * on (x) group_left (y) -b ^ 2 % 1e-9',
            'histogram_quantile(0.95, sum by (le) (rate(x_bucket{e="ü"}[5m])))',
            "(clamp_min(sum(a) - sum(a offset 2m), 0) / 120) or topk without (b) (3, c @ 5.5)",
        )
    ]
    rules = "\n".join(f"  - record: r:{i}\n    expr: {quote_label(text)}" for i, text in enumerate(written))
    (tmp_path / "rules.yaml").write_text(f"groups:\n- name: g\n  rules:\n{rules}\n")
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
