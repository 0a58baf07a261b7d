"""An audit as one page that needs nothing else: no script, no font, no picture from elsewhere.

Pictures are SVG in the page, made here, so that no plotting library has to be installed and a page of many
workloads stays small. It has a light and a dark face, as the reader's system says, and prints. Everything
that came from a cluster is escaped. Refuses to tell a saving without what was late for it.
"""

from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any, Final

from predictscale.cli import auditsvg
from predictscale.cli.audited import RANKED_BY, is_guessed, policy, saving
from predictscale.cli.figures import figure
from predictscale.simulate.audit import AS_IT_WAS, LEAST_DAYS, OURS

NAMES: Final = (
    (OURS, "predictscale"),
    ("stock-reactive", "plain HPA"),
    ("tuned-reactive", "tuned reactive"),
    ("static", "static"),
    ("clairvoyant", "perfect knowledge"),
)
"""Policies as the page calls them."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_DRAWN = (("static", "static"), ("stock-reactive", "plain HPA"), (OURS, "predictscale"))
_AGAINST = {RANKED_BY: "plain HPA", "static": "a static fleet", AS_IT_WAS: "today's fleet"}
_KINDS = {
    "always-on": "steady day and night; little to gain from scaling",
    "scheduled": "the clock tells: days or weeks repeat",
    "event-driven": "quiet, with bursts that no clock tells",
    "unpredictable": "moves much, in no pattern found",
    "unknown": "too little history to say",
}


def page(told: dict[str, Any]) -> str:
    """The whole page, from the document that `audited.document` makes."""
    style = resources.files("predictscale.cli").joinpath("audit.css").read_text(encoding="utf-8")
    title = "What scaling ahead would save"
    body = "".join((_head(told, title), _tiles(told), _ranking(told), *_sections(told), _foot(told)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv=Content-Security-Policy content="{_POLICY}">'
        f"<title>{title}</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(told: dict[str, Any], title: str) -> str:
    asked = told["asked"]
    return (
        f"<header><h1>{title}</h1><p>{_day(told['from'])} to {_day(told['until'])} UTC, read on bins of "
        f"{told['step_s']:g} s. Each past is lived through again by every policy; settings are chosen from "
        f"what was known at each hour. At most {asked['max_violation']:.2%} of demand may wait longer than "
        f"{asked['wait_s']:g} s.</p></header>"
    )


def _tiles(told: dict[str, Any]) -> str:
    tiles = [("workloads", f"{len(told['workloads'])}", _counted(told))]
    for versus, title in _AGAINST.items():
        whose = [each for each in told["workloads"] if saving(each, versus) is not None]
        found = [one for each in whose if (one := saving(each, versus)) is not None]
        if not found:
            continue
        hours = sum(one["per_30_days"]["replica_hours"] for one in found)
        note = f"replica-hours in 30 days, {_number(len(found), 'workload')}"
        if guessed := sum(map(is_guessed, whose)):
            note += f", {guessed} of them by an estimated capacity"
        if told["price_per_hour"] is not None:
            note = f"{hours * told['price_per_hour']:,.0f} {told['currency']} by {note}"
        tiles.append((f"saved against {title}", f"{hours:,.0f} h", note))
    inner = "".join(
        f"<div class=tile><span>{escape(name)}</span><strong>{escape(value)}</strong>"
        f"<small>{escape(note)}</small></div>"
        for name, value, note in tiles
    )
    return f"<section class=tiles aria-label=Summary>{inner}</section>"


def _counted(told: dict[str, Any]) -> str:
    kinds = [each["kind"]["kind"] for each in told["workloads"]]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in _KINDS if kind in kinds)


def _ranking(told: dict[str, Any]) -> str:
    if not told["workloads"]:
        return ""
    scales = {versus: _scale(told, versus) for versus in _AGAINST}
    rows = "".join(_ranked(each, scales) for each in told["workloads"])
    heads = "".join(
        f"<th scope=col class={where}>{title}</th>"
        for title, where in (
            ("Workload", "l"), ("Kind", "l"), ("Forecast skill", "r"), ("Late", "r"),
            ("Saved against plain HPA", "l"), ("against static", "l"), ("against today", "l"),
        )
    )  # fmt: skip
    return (
        "<section><h2>Ranking</h2><p class=hint>Replica-hours in 30 days. Whiskers reach from the 10th to "
        f"the 90th percentile had other days come; they are missing where fewer than {LEAST_DAYS} whole days "
        "were replayed. Late is the share of demand that would have waited too long under predictscale; what "
        "it costs the others to be as rarely late is told below.</p>"
        "<div class=scroll tabindex=0 role=region aria-label=Ranking><table class=ranking>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _scale(told: dict[str, Any], versus: str) -> tuple[float, float]:
    """The least and the highest saving of a column, zero included."""
    months = [one["per_30_days"] for each in told["workloads"] if (one := saving(each, versus)) is not None]
    seen = [value for month in months for value in month.values() if value is not None]
    return min([*seen, 0.0]), max([*seen, 0.0])


def _ranked(workload: dict[str, Any], scales: dict[str, tuple[float, float]]) -> str:
    skill, ours = workload["forecast"].get("skill"), policy(workload, OURS)
    cells = [
        f'<th scope=row class=l><a href="#{_anchor(workload)}">{escape(workload["workload"])}</a></th>',
        f"<td class=l>{_chip(workload)}</td>",
        f"<td class=r>{'–' if skill is None else f'{skill:.0%}'}</td>",
        f"<td class=r>{'–' if ours is None else _late(ours['violation'], workload)}</td>",
    ]
    for versus, (least, most) in scales.items():
        found = saving(workload, versus)
        if found is None:
            cells.append("<td class=l>–</td>")
            continue
        month = found["per_30_days"]
        bar = auditsvg.interval(*month.values(), least=least, most=most)
        cells.append(f"<td class=l>{bar}<span class=n>{_amount(found)}</span></td>")
    return f"<tr>{''.join(cells)}</tr>"


def _sections(told: dict[str, Any]) -> Iterator[str]:
    yield from (_section(each) for each in told["workloads"])


def _section(workload: dict[str, Any]) -> str:
    kind, replay = workload["kind"], workload["replay"]
    history, plots = workload["history"], workload["plots"]
    fleets = plots["fleets"]
    train_until_s = None if fleets is None else fleets["from_train_until_s"]
    demand = auditsvg.demand(plots["demand"], unit=workload["unit"], train_until_s=train_until_s)
    evidence = "".join(f"<li>{escape(line)}</li>" for line in kind["because"])
    parts = [
        f'<article id="{_anchor(workload)}"><h2>{escape(workload["workload"])} {_chip(workload)}</h2>',
        f"<p class=hint>{escape(_KINDS[kind['kind']]).capitalize()}. {_facts(workload)}</p>",
        f"<figure class=wide tabindex=0>{demand}</figure>",
        f"<p class=hint>Demand, {history['days']:.0f} days, {history['known_share']:.0%} known.</p>",
        f"<div class=two><figure>{auditsvg.clock(plots['clock'])}",
        f"<figcaption>By day and time of day ({escape(workload['time_zone'])}).</figcaption></figure>",
        f"<div><h3>Why {escape(kind['kind'])}</h3><ul>{evidence}</ul>{_forecast(workload)}</div></div>",
    ]
    if fleets is None:
        parts.append(f"<p class=missing>Not replayed: {escape(str(replay.get('why_not')))}</p>")
    else:
        parts += _replayed(workload)
    parts += [_next(workload), "</article>"]
    return "".join(parts)


def _facts(workload: dict[str, Any]) -> str:
    lead, capacity = workload["lead_time"], workload.get("capacity")
    facts = [
        f"Backend {escape(str(workload['backend']))}",
        f"lead time {lead['seconds']:g} s ({lead['source']})",
    ]
    if capacity is not None:
        facts.append(
            f"{figure(capacity['per_replica'])} {escape(workload['unit'])} a replica ({capacity['source']})"
        )
    return ", ".join(facts) + "."


def _forecast(workload: dict[str, Any]) -> str:
    told = workload["forecast"]
    if why := told.get("why_not"):
        return f"<h3>How forecastable</h3><p>Not known: {escape(str(why))}.</p>"
    skill = "demand never moved, so there is nothing to be better at"
    if told["skill"] is not None:
        better = "less" if told["skill"] >= 0 else "more"
        skill = (
            f"<strong>{told['skill']:.0%}</strong>: {escape(told['forecaster'])} loses "
            f"{abs(told['skill']):.0%} {better} than who says that it stays as it is"
        )
    covered = ", ".join(f"{float(level):.0%}: {share:.0%}" for level, share in told["coverage"].items())
    return (
        f"<h3>How forecastable</h3><p>Skill {skill}, {told['lead_s']:g} s ahead on the last third of the "
        f"history ({told['origins']} forecasts). Peaks at or below each quantile: {covered}.</p>"
    )


def _replayed(workload: dict[str, Any]) -> list[str]:
    replay, fleets = workload["replay"], workload["plots"]["fleets"]
    legend = "".join(
        f"<span class=key><i class={name}></i>{title}</span>" for name, title in reversed(_DRAWN)
    )
    legend += "<span class=key><i class=load></i>what demand is worth</span>"
    points = [(row["policy"], row["violation"], row["replica_hours"]) for row in reversed(replay["policies"])]
    picture = auditsvg.frontier(replay["frontier"], points, asked=replay["asked"]["max_violation"])
    return [
        f"<figure class=wide tabindex=0>{auditsvg.fleets(fleets, _DRAWN)}</figure><p class=hint>{legend}</p>",
        f"<div class=two><figure>{picture}<figcaption>",
        "Dots: operated, settings chosen from the past. Lines: the best settings in hindsight.</figcaption>",
        f"{_savings(replay)}</figure><div>{_policies(workload)}</div></div>",
    ]


def _policies(workload: dict[str, Any]) -> str:
    replay = workload["replay"]
    rows = "".join(
        f"<tr><th scope=row class=l><span class=key><i class={name}></i>{title}</span></th>"
        f"<td class=r>{_late(row['violation'], workload)}</td><td class=r>{row['replica_hours']:,.1f}</td>"
        f"<td class=r>{row['cost_to_clairvoyant']:.2f}×</td><td class=r>{_equal(replay, name)}</td></tr>"
        for name, title in NAMES
        if (row := policy(workload, name)) is not None
    )
    hours = replay["as_it_was"]["replica_hours"]
    if hours is not None:
        rows += (
            "<tr><th scope=row class=l>as it was</th><td class=r>not on record</td>"
            f"<td class=r>{hours:,.1f}</td><td></td><td></td></tr>"
        )
    return (
        f"<h3>{replay['days']:.1f} days replayed</h3>"
        "<div class=scroll tabindex=0 role=region aria-label=Policies><table><thead><tr>"
        "<th scope=col class=l>Policy</th><th scope=col class=r>Late</th>"
        "<th scope=col class=r>Replica-hours</th><th scope=col class=r>to perfect</th>"
        f"<th scope=col class=r>as rarely late</th></tr></thead><tbody>{rows}</tbody></table></div>"
        "<p class=hint>As rarely late: what a family's best settings in hindsight cost at predictscale's "
        "lateness. To perfect: replica-hours over the cheapest plan that knew all beforehand.</p>"
    )


def _savings(replay: dict[str, Any]) -> str:
    """A row for each other policy: what was saved in a month, how sure that is, a bar of both."""
    months = [one["per_30_days"] for one in replay["savings"]]
    seen = [value for month in months for value in month.values() if value is not None]
    least, most = min([*seen, 0.0]), max([*seen, 0.0])
    rows = "".join(
        f"<tr><th scope=row class=l>{escape(dict(NAMES).get(one['versus'], one['versus']))}</th>"
        f"<td class=r>{_amount(one)}<span class=n>{_range(one)}</span></td>"
        f"<td class=l>{auditsvg.interval(*month.values(), least=least, most=most)}</td></tr>"
        for one, month in zip(replay["savings"], months, strict=True)
    )
    few = ""
    if replay["savings"] and replay["savings"][0]["low"] is None:
        days = _number(replay["savings"][0]["days"], "whole day")
        few = f"<p class=hint>{days} replayed: too few to say how sure this is; {LEAST_DAYS} would do.</p>"
    return (
        "<h3>Saved in 30 days against</h3><div class=scroll tabindex=0 role=region aria-label=Savings>"
        f"<table><tbody>{rows}</tbody></table></div>{few}"
    )


def _equal(replay: dict[str, Any], name: str) -> str:
    if name not in replay["at_equal_lateness"]:
        return ""
    hours = replay["at_equal_lateness"][name]
    return "never" if hours is None else f"{hours:,.1f}"


def _next(workload: dict[str, Any]) -> str:
    parts = [f"<h3>What to do next</h3><p>{escape(workload['next']['advice'])}</p>"]
    if (capacity := workload.get("capacity")) is not None and capacity["source"] == "estimated":
        parts.append(f"<p class=missing>Its capacity is {escape(capacity['because'])}.</p>")
    if trigger := workload.get("trigger"):
        parts.append(
            "<details><summary>The trigger to paste into its ScaledObject</summary>"
            f"<pre tabindex=0>{escape(trigger)}</pre></details>"
        )
    if command := workload["replay"].get("command"):
        parts.append(
            "<details><summary>The same numbers again, from the history that --traces writes</summary>"
            f"<pre tabindex=0>{escape(command)}</pre></details>"
        )
    return "".join(parts)


def _foot(told: dict[str, Any]) -> str:
    lists = [
        ("Failed", [f"{each['workload']}: {each['because']}" for each in told["failed"]]),
        ("Not done when it was interrupted", told["unfinished"]),
        ("Seen, and not read", told["left_out"]),
    ]
    inner = "".join(
        f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        for title, lines in lists
        if lines
    )
    return (
        f"<footer>{inner}<p>Made by predictscale {escape(told['version'])} at {escape(told['at'])}. Replays "
        "assume that demand does not depend on the fleet, and see no queue; savings are of the days "
        "replayed, scaled to 30.</p></footer>"
    )


def _chip(workload: dict[str, Any]) -> str:
    told = workload["kind"]
    kind, sure = escape(told["kind"]), f" {told['confidence']:.0%}" if told["confidence"] > 0 else ""
    return (
        f'<span class="chip {kind}" title="{escape(_KINDS[told["kind"]])}">{kind}<small>{sure}</small></span>'
    )


def _late(violation: float, workload: dict[str, Any]) -> str:
    asked = workload["replay"]["asked"]["max_violation"]
    return f"<span class={'ok' if violation <= asked else 'bad'}>{violation:.2%}</span>"


def _amount(found: dict[str, Any]) -> str:
    # No minus before a zero.
    hours, share = round(found["per_30_days"]["replica_hours"]) + 0, round(found["share"], 2) + 0.0
    text = f"{hours:,} h ({share:.0%})"
    if (money := found["money_per_30_days"]) is not None:
        text += f" · {money['replica_hours']:,.0f} {found['currency']}".rstrip()
    return escape(text)


def _range(found: dict[str, Any]) -> str:
    month = found["per_30_days"]
    return "" if month["low"] is None else f"{month['low']:,.0f} to {month['high']:,.0f}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _anchor(workload: dict[str, Any]) -> str:
    return escape(workload["workload"].replace("/", "--"))


def _day(at: str) -> str:
    return escape(at[:16].replace("T", " "))
