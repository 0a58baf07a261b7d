// The parts of the page that are arithmetic. What it looks like and how it behaves is tested in a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, type Row, type Spark } from "../src/api";
import { address, type Asked, firstPage, parse, select } from "../src/fleet/query";
import { oldText } from "../src/fleet/row";
import { paths } from "../src/fleet/sparks";
import { pricedText, shortfall } from "../src/fleet/tiles";
import * as format from "../src/format";
import { moved, walked } from "../src/keys";

const USUAL: Asked = { words: "", states: new Set(), namespace: "", sort: "state", down: true };

function row(name: string, of: Partial<Row> = {}): Row {
  const [namespace = "", workload = ""] = name.split("/");
  return { namespace, workload, state: "ok", demand: 1, target_replicas: 1, ready_replicas: 1, ...of } as Row;
}

function names(rows: Row[]): string[] {
  return rows.map((each) => `${each.namespace}/${each.workload}`);
}

function spark(of: Partial<Spark> = {}): Spark {
  const demand = Array.from({ length: 60 }, (_, i) => 10 + i);
  return {
    unit: "requests/s",
    step_s: 60,
    start: 0,
    demand,
    level: 0.9,
    ahead_start: 3600,
    ahead_step_s: 60,
    median: [70, 71, 72],
    high: [80, 81, 82],
    ...of,
  };
}

test("what is unknown is a word, and never 0", () => {
  for (const value of [null, undefined, NaN, Infinity])
    for (const write of [format.number, format.compact, format.count, format.duration, format.ago, format.percent])
      assert.equal(write(value), format.UNKNOWN);
  assert.equal(format.amount(null, "requests/s"), "unknown");
  assert.equal(format.money(null, "EUR"), "unknown");
  for (const write of [format.clock, format.day, format.instant]) assert.equal(write("soon"), "unknown");
});

test("numbers keep three digits that count, and no minus before nothing", () => {
  assert.deepEqual([1234.5, 41.26, 0.03124, 0, -0.0, -7.125].map((value) => format.number(value)), [
    "1,235",
    "41.3",
    "0.0312",
    "0",
    "0",
    "−7.13",
  ]);
  assert.equal(format.compact(12_345), "12.3k");
});

test("a cost names the replicas that it is of, and how many workloads have no price", () => {
  const euros = { currency: "EUR", amount: 80, replicas: 13, workloads: 2 };
  assert.equal(pricedText({ cost_per_hour: [euros], workloads: 2 }), "for 13 replicas");
  assert.equal(pricedText({ cost_per_hour: [euros], workloads: 1000 }), "for 13 replicas; 998 of 1,000 workloads not priced");
});

test("data grows old also where its row stays the same", () => {
  const row = { demand_at: "2026-03-02T07:00:00Z", demand_age_s: 30 };
  const measured = Date.parse(row.demand_at) / 1000;
  assert.equal(oldText(row, measured + 400), "6 min 40 s old");
  assert.equal(oldText(row, null), "30 s old");
});

test("an answer whose ages are shown is asked for anew, others only if they changed", async () => {
  const asked: (string | null)[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = async (_, init) => {
    const known = new Headers(init?.headers).get("If-None-Match");
    asked.push(known);
    return new Response(known ? null : '{"demand_age_s": 1}', { status: known ? 304 : 200, headers: { ETag: '"a"' } });
  };
  try {
    const api = new Api();
    const first = await api.get("/quality");
    assert.equal(await api.get("/quality"), first);
    assert.notEqual(await api.get("/quality", undefined, { fresh: true }), first);
    assert.deepEqual(asked, [null, '"a"', null]);
  } finally {
    globalThis.fetch = real;
  }
});

test("money names its currency, or the code if it is none", () => {
  assert.equal(format.money(12.4, "EUR"), "€12.40");
  assert.equal(format.money(-1240.6, "USD"), "−$1,241");
  assert.equal(format.money(3, "credits"), "credits 3.00");
  assert.equal(format.money(3, null), "3.00");
});

test("spans of time have at most two units", () => {
  const spans: [number, string][] = [
    [0.84, "0.84 s"],
    [59.6, "1 min"],
    [260, "4 min 20 s"],
    [7199.6, "2 h"],
    [97_200, "1 d 3 h"],
    [-90, "−1 min 30 s"],
  ];
  for (const [seconds, text] of spans) assert.equal(format.duration(seconds), text);
  assert.equal(format.ago(-240), "in 4 min");
});

test("instants are told in UTC, from text or epoch seconds", () => {
  assert.equal(format.instant("2026-03-02T12:00:05+02:00"), "2026-03-02 10:00:05 UTC");
  assert.equal(format.clock(0), "00:00:00");
  assert.equal(format.epoch("1970-01-01T00:01:00Z"), 60);
});

test("an address leads to what was asked for", () => {
  const asked: Asked = { words: "chat & co", states: new Set(["stale", "ok"]), namespace: "prod", sort: "name", down: false };
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(address(asked))) if (value) query.set(key, value);
  assert.deepEqual(parse(new URLSearchParams(query.toString())), asked);
  assert.deepEqual(Object.values(address(USUAL)).filter(Boolean), []);
});

test("what an address should not contain is left out", () => {
  assert.deepEqual(parse(new URLSearchParams("sort=<b>&state=nice,,OK&q=")), USUAL);
});

test("the first page is asked for as it will be shown", () => {
  const path = firstPage({ ...USUAL, states: new Set(["stale", "holding"]), words: " a/b " }, 100);
  const query = new URL(path, "http://scaler").searchParams;
  assert.deepEqual(query.getAll("state"), ["stale", "holding"]);
  assert.deepEqual([query.get("sort"), query.get("q"), query.get("limit")], ["-state", "a/b", "100"]);
});

test("rows are found by a part of their name, their state and their namespace", () => {
  const rows = [row("prod/chat"), row("prod/shop", { state: "stale" }), row("test/chat")];
  assert.deepEqual(names(select(rows, { ...USUAL, words: "PROD/C" })), ["prod/chat"]);
  assert.deepEqual(names(select(rows, { ...USUAL, states: new Set(["stale"]) })), ["prod/shop"]);
  assert.deepEqual(names(select(rows, { ...USUAL, namespace: "test" })), ["test/chat"]);
});

test("the worst stands first, and names settle ties", () => {
  const rows = [row("b/b"), row("a/z", { state: "unavailable" }), row("b/a"), row("c/c", { state: "holding" })];
  assert.deepEqual(names(select(rows, USUAL)), ["a/z", "c/c", "b/a", "b/b"]);
});

test("what is unknown sorts last, whichever way", () => {
  const rows = [row("a/none", { demand: null }), row("a/low", { demand: 0 }), row("a/high", { demand: 9 })];
  const by = (down: boolean) => names(select(rows, { ...USUAL, sort: "demand", down }));
  assert.deepEqual(by(true), ["a/high", "a/low", "a/none"]);
  assert.deepEqual(by(false), ["a/low", "a/high", "a/none"]);
});

test("one fleet's surplus fills no other's gap, and an unknown fleet is not an empty one", () => {
  const rows = [
    row("a/short", { target_replicas: 5, ready_replicas: 2 }),
    row("a/over", { target_replicas: 1, ready_replicas: 9 }),
    row("a/dark", { target_replicas: 7, ready_replicas: null }),
  ];
  assert.deepEqual(shortfall(rows), { wanted: 6, missing: 3, unknown: 1 });
});

test("a gap in demand is a gap in its line", () => {
  const whole = paths(spark(), 600).line;
  const demand = spark().demand.map((value, i) => (i === 20 ? null : value));
  assert.equal(whole.split("M").length - 1, 1);
  assert.equal(paths(spark({ demand }), 600).line.split("M").length - 1, 2);
});

test("a forecast is drawn no further than all rows reach", () => {
  const long = spark({ median: Array(30).fill(5), high: Array(30).fill(6) });
  assert.equal(paths(long, 600).median.split("L").length, 10);
  assert.equal(paths(long, 1800).median.split("L").length, 30);
});

test("without a forecast nothing is drawn ahead, and without demand nothing at all", () => {
  const none = { ahead_start: null, ahead_step_s: null, median: [], high: [] };
  assert.deepEqual([paths(spark(none), 600).median, paths(spark(none), 600).band], ["", ""]);
  assert.equal(paths(spark({ ...none, demand: Array(60).fill(null) }), 600).line, "");
  assert.ok(!/NaN|Infinity/.test(JSON.stringify(paths(spark({ demand: Array(60).fill(0), median: [0], high: [0] }), 600))));
});

test("keys never lead out of a grid or a chart", () => {
  const keys = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"];
  for (const key of keys)
    for (const at of [0, 4, 9]) {
      const to = walked(key, at, 10, 6);
      assert.ok(to !== null && to >= 0 && to <= 9, `${key} from ${at}`);
    }
  assert.equal(walked("Enter", 3, 10, 6), null);
  assert.equal(walked("ArrowDown", 0, 0, 6), null);
  assert.equal(moved({ key: "ArrowRight", shiftKey: true }, 95, 100), 99);
  assert.equal(moved({ key: "ArrowLeft", shiftKey: false }, null, 100), 99);
  assert.equal(moved({ key: "ArrowLeft", shiftKey: false }, 0, 0), null);
  assert.equal(moved({ key: "a", shiftKey: false }, 5, 100), null);
});
