// The page beside a made-up fleet, for work on its looks: a thousand workloads of one seed, each state and each
// missing number among them. Nothing of it is shipped, and no test takes its numbers for the service's.
//
//   node dev/serve.mjs [--port 8181] [--page DIR] [--workloads 1000] [--empty]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const { values: asked } = parseArgs({
  options: {
    port: { type: "string", default: "8181" },
    page: { type: "string", default: join(HERE, "../../src/predictscale/serving/web") },
    workloads: { type: "string", default: "1000" },
    empty: { type: "boolean", default: false },
  },
});
const CSP = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "img-src 'self' data:"]
  .concat(["script", "style", "connect", "font"].map((kind) => `${kind}-src 'self'`))
  .join("; ");
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html", ".txt": "text/plain" };
const TICK_S = 15;

/** A small generator of numbers in [0, 1): mulberry32. */
function seeded(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const KINDS = [
  ["chat", "output tokens/s", 400],
  ["search", "requests/s", 40],
  ["embed", "requests/s", 120],
  ["rerank", "requests/s", 60],
  ["vision", "requests/s", 8],
  ["speech", "requests/s", 3],
  ["batch", "messages/s", 20],
];
const STATES = [
  ["ok", 0.82, "demand is 12 s old, fourier forecasts"],
  ["reactive", 0.05, "demand is 9 s old, no forecast is used: fourier needs 86400 s of history, has 32400 s"],
  ["demoted", 0.04, "last-value forecasts, not fourier; fourier lost to last-value three times, last by 12 %"],
  ["budget-bound", 0.02, "the budget of EUR 40.00 an hour leaves 12 of the 16 wanted"],
  ["paused", 0.015, "the fleet does not shrink until 22 Nov 15:30:00 UTC"],
  ["holding", 0.025, "demand is 141 s old; the last good target holds until 22 Nov 14:12:00 UTC"],
  ["stale", 0.015, "demand is 960 s old, beyond the 600 s that a target is held; on_stale is floor, so only the floor of 2 stays"],
  ["unknown", 0.01, "demand was never seen: the query found no series"],
  ["unavailable", 0.005, "KEDA is told UNAVAILABLE: demand is 960 s old"],
];
const NAMESPACES = ["prod", "prod-eu", "prod-us", "staging", "research", "team-recommendations"];

function workload(i) {
  const random = seeded(7919 * (i + 1));
  const [kind, unit, per] = KINDS[i % KINDS.length];
  const namespace = NAMESPACES[Math.floor(random() * NAMESPACES.length)];
  let share = random();
  const [state, , because] = STATES.find(([, p]) => (share -= p) < 0) ?? STATES[0];
  return {
    namespace,
    name: `${kind}-${["eu", "us", "ap", "de", "fr"][Math.floor(random() * 5)]}-${String(i).padStart(3, "0")}`,
    unit,
    per,
    state,
    because,
    size: 1 + Math.floor(random() ** 4 * 60),
    phase: random() * 86400,
    wobble: 0.04 + random() * 0.12,
    shadow: random() < 0.06,
    priced: random() < 0.7,
    seed: i + 1,
  };
}
const all = asked.empty ? [] : Array.from({ length: Number(asked.workloads) }, (_, i) => workload(i));
const STATE_ORDER = STATES.map(([name]) => name);

function demand(w, at) {
  const slow = 1 + 0.55 * Math.sin(((at + w.phase) / 86400) * 2 * Math.PI) + 0.2 * Math.sin(((at + w.phase) / 5400) * 2 * Math.PI);
  const noise = seeded((w.seed * 2654435761 + Math.floor(at / 60)) | 0)() - 0.5;
  return Math.max(0, w.size * w.per * 0.7 * slow * (1 + w.wobble * noise * 2));
}

function row(w, now) {
  const seen = w.state !== "unknown";
  const here = demand(w, now);
  const peak = demand(w, now + 240) * 1.12;
  const most = w.size * 3;
  const target = Math.min(most, Math.max(1, Math.ceil((seen ? Math.max(here, peak) : w.per) / w.per)));
  const ready = w.state === "unknown" ? null : Math.max(0, target - (w.seed % 9 === 0 ? 1 + (w.seed % 3) : 0));
  return {
    namespace: w.namespace,
    workload: w.name,
    health: "ok",
    mode: w.shadow ? "shadow" : "live",
    model: ["reactive", "unknown"].includes(w.state) ? null : w.state === "demoted" ? "last-value" : "fourier",
    demand: seen ? here : null,
    unit: w.unit,
    demand_age_s: seen ? 12 : null,
    target_replicas: target,
    published_replicas: target,
    available: w.state !== "unavailable",
    reactive_replicas: Math.max(1, Math.ceil(here / w.per)),
    current_replicas: ready === null ? null : target,
    ready_replicas: ready,
    starting_replicas: ready === null ? null : target - ready,
    active: true,
    decided_at: iso(now),
    state: w.state,
    state_because: w.because,
    policy_quantile: 0.95,
    expected_peak: ["reactive", "unknown"].includes(w.state) ? null : peak,
    lead_time_s: 60 * (1 + (w.seed % 7)),
    max_replicas: most,
    at_ceiling: target === most,
    saved_replica_hours: w.seed % 11 === 0 ? null : (w.size * 30 - 40) * (0.5 + (w.seed % 5) / 5),
    saved_money: w.priced && w.seed % 11 ? (w.size * 30 - 40) * (0.5 + (w.seed % 5) / 5) * 2.1 : null,
    currency: w.priced ? "EUR" : null,
    demand_at: seen ? iso(now - 12) : null,
    valid_until: iso(now + 60),
  };
}

function spark(w, now) {
  const start = Math.floor(now / 60) * 60 - 3600;
  const past = Array.from({ length: 60 }, (_, i) => (w.seed % 13 === 0 && i > 20 && i < 28 ? null : demand(w, start + i * 60)));
  const ahead = Array.from({ length: 6 + (w.seed % 10) }, (_, i) => demand(w, now + i * 60));
  const foreseen = !["reactive", "unknown"].includes(w.state);
  return {
    unit: w.unit,
    step_s: 60,
    start,
    demand: w.state === "unknown" ? past.map(() => null) : past,
    level: 0.95,
    ahead_start: foreseen ? start + 3600 : null,
    ahead_step_s: foreseen ? 60 : null,
    median: foreseen ? ahead : null,
    high: foreseen ? ahead.map((v, i) => v * (1.06 + 0.02 * i)) : null,
  };
}

function fleet(now) {
  const rows = all.map((w) => row(w, now));
  const states = {};
  for (const r of rows) states[r.state] = (states[r.state] ?? 0) + 1;
  const sum = (key) => rows.reduce((total, r) => total + (r[key] ?? 0), 0);
  return {
    version: "0.0.0",
    now: iso(now),
    tick_s: TICK_S,
    speed: null,
    workloads: rows.length,
    waiting: rows.length ? 2 : 0,
    refused: rows.length ? 1 : 0,
    states,
    target_replicas: sum("target_replicas"),
    ready_replicas: sum("ready_replicas"),
    current_replicas: sum("current_replicas"),
    cost_per_hour: rows.length ? [{ currency: "EUR", amount: sum("current_replicas") * 2.1 }] : [],
    saved: rows.length
      ? [
          { currency: "EUR", money: sum("saved_money"), versus: "reactive" },
          { currency: "EUR", money: sum("saved_money") * 2.4, versus: "static" },
        ]
      : [],
    saved_replica_hours: { reactive: sum("saved_replica_hours"), static: sum("saved_replica_hours") * 2.4 },
    writable: false,
    generation: Math.floor(now / TICK_S),
  };
}

const VALUES = {
  state: (r) => STATE_ORDER.indexOf(r.state),
  target: (r) => r.target_replicas,
  ready: (r) => r.ready_replicas,
  demand: (r) => r.demand,
  saved: (r) => r.saved_replica_hours,
  age: (r) => r.demand_age_s,
};

function list(query, now) {
  const q = (query.get("q") ?? "").toLowerCase();
  const states = query.getAll("state");
  const sort = query.get("sort") ?? "name";
  const value = VALUES[sort.replace("-", "")];
  const rows = all
    .map((w) => row(w, now))
    .filter((r) => `${r.namespace}/${r.workload}`.includes(q))
    .filter((r) => !query.get("namespace") || r.namespace === query.get("namespace"))
    .filter((r) => !states.length || states.includes(r.state))
    .sort((a, b) => {
      const names = `${a.namespace}/${a.workload}` < `${b.namespace}/${b.workload}` ? -1 : 1;
      const by = value ? (value(a) ?? -1) - (value(b) ?? -1) : 0;
      return (by || names) * (sort.startsWith("-") ? -1 : 1);
    });
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 100);
  return {
    workloads: rows.slice(from, from + limit),
    waiting: all.length ? ["prod/new-model", "staging/translate"] : [],
    refused: all.length
      ? [{ namespace: "prod", scaled_object: "summarise", problems: ["scalerMetadata.maxReplicas: is missing; give a number", "scalerMetadata.leedTime: is not known; did you mean leadTime?"], since: iso(now - 5400) }]
      : [],
    total: rows.length,
    next: from + limit < rows.length ? String(from + limit) : null,
    as_of: iso(now),
  };
}

function sparks(query, now) {
  const found = {};
  for (const key of query.getAll("w")) {
    const w = all.find((each) => `${each.namespace}/${each.name}` === key);
    if (w) found[key] = spark(w, now);
  }
  return { sparks: found, unknown: query.getAll("w").filter((key) => !found[key]) };
}

function iso(at) {
  return new Date(Math.round(at) * 1000).toISOString().replace(".000Z", "Z");
}

async function answer(request, response) {
  const url = new URL(request.url, "http://page");
  const now = Math.floor(Date.now() / 1000 / TICK_S) * TICK_S;
  const routes = { "/api/v1/fleet": fleet, "/api/v1/workloads": list, "/api/v1/sparks": sparks };
  const route = routes[url.pathname];
  if (route) {
    const told = route === fleet ? fleet(now) : route(url.searchParams, now);
    return send(request, response, JSON.stringify(told), "application/json");
  }
  if (url.pathname.startsWith("/api/")) {
    response.writeHead(404, { "content-type": "application/problem+json" });
    return response.end(JSON.stringify({ type: "about:blank", title: "Not found", status: 404, detail: "the made-up fleet has no such route" }));
  }
  const name = url.pathname.startsWith("/assets/") ? url.pathname.slice(8).replaceAll("/", "") : "index.html";
  const body = await readFile(join(asked.page, name)).catch(() => null);
  if (body === null) return response.writeHead(404).end();
  return send(request, response, body, `${TYPES[extname(name)]}; charset=utf-8`);
}

function send(request, response, body, type) {
  let hash = 5381;
  for (const c of body.toString()) hash = (hash * 33 + c.charCodeAt(0)) | 0;
  const etag = `"${hash >>> 0}"`;
  const headers = { etag, "content-type": type, "cache-control": "no-cache", "content-security-policy": CSP };
  if (request.headers["if-none-match"] === etag) return response.writeHead(304, headers).end();
  return response.writeHead(200, headers).end(body);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
server.listen(Number(asked.port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
