// The service's REST API, typed. Reads are conditional (ETag), so a page that is left open costs the service
// little; every failure is a `Problem` with the service's own words, or `Lost` when nobody answered.

export type State =
  | "ok"
  | "reactive"
  | "demoted"
  | "budget-bound"
  | "paused"
  | "holding"
  | "stale"
  | "unknown"
  | "unavailable";

/** What may hold of a decision beside its health. */
export type Mark = "demoted" | "budget-bound" | "paused" | "unavailable" | "at-ceiling" | "shadow";

export type Maybe<T> = T | null;
/** ISO 8601 in UTC. */
export type Instant = string;

export interface Fleet {
  version: string;
  now: Instant;
  tick_s: number;
  speed?: number | null;
  workloads: number;
  waiting: number;
  refused: number;
  states: Partial<Record<State, number>>;
  target_replicas: number;
  ready_replicas: Maybe<number>;
  current_replicas: Maybe<number>;
  cost_per_hour: { currency: string; amount: number; replicas: number; workloads: number }[];
  saved: { currency: string; money: number; versus: "reactive" | "static" }[];
  saved_replica_hours: Maybe<{ reactive: Maybe<number>; static: Maybe<number> }>;
  writable: boolean;
  generation: number;
}

export interface Row {
  namespace: string;
  workload: string;
  health: string;
  mode: "live" | "shadow";
  model: Maybe<string>;
  demand: Maybe<number>;
  unit: string;
  demand_age_s: Maybe<number>;
  target_replicas: number;
  /** Null unless `available`. */
  published_replicas: Maybe<number>;
  available: boolean;
  reactive_replicas: number;
  current_replicas: Maybe<number>;
  ready_replicas: Maybe<number>;
  starting_replicas: Maybe<number>;
  active: boolean;
  decided_at: Instant;
  state: State;
  state_because: string;
  policy_quantile: number;
  expected_peak: Maybe<number>;
  lead_time_s: number;
  max_replicas: number;
  at_ceiling: boolean;
  saved_replica_hours: Maybe<number>;
  saved_money: Maybe<number>;
  currency: Maybe<string>;
  demand_at: Maybe<Instant>;
  valid_until: Instant;
}

export interface Refused {
  namespace: string;
  scaled_object: string;
  problems: string[];
  since: Instant;
}

export interface Rows {
  workloads: Row[];
  waiting: string[];
  refused: Refused[];
  total: number;
  next: Maybe<string>;
  as_of: Instant;
}

export interface Spark {
  unit: string;
  step_s: number;
  start: number;
  demand: Maybe<number>[];
  level: number;
  ahead_start: Maybe<number>;
  ahead_step_s: Maybe<number>;
  median: Maybe<Maybe<number>[]>;
  high: Maybe<Maybe<number>[]>;
}

export interface Sparks {
  sparks: Record<string, Spark>;
  unknown: string[];
}

export interface StepView {
  stage: string;
  value: number;
  unit: string;
  because: string;
}

export interface PolicyView {
  capacity_per_replica: Maybe<number>;
  capacity: {
    origin: string;
    binding: Maybe<string>;
    because: Maybe<string>;
    bounds: { limit: string; replicas: number; because: string }[];
    guards: string[];
  };
  lead_time_s: number;
  configured_lead_time_s: Maybe<number>;
  quantile: number;
  margin: number;
  limit: Maybe<number>;
  headroom: number;
  min_replicas: number;
  max_replicas: number;
  warm_replicas: number;
  drain_s: number;
  hold_s: number;
  fresh_s: number;
  stale_after_s: number;
  on_stale: string;
  cooldown_s: number;
  landing: string;
  mode: "live" | "shadow";
}

/** What `Row` adds to the plain view of a workload is missing here. */
export type WorkloadView = Omit<
  Row,
  | "state"
  | "state_because"
  | "policy_quantile"
  | "expected_peak"
  | "lead_time_s"
  | "max_replicas"
  | "at_ceiling"
  | "saved_replica_hours"
  | "saved_money"
  | "currency"
  | "demand_at"
  | "valid_until"
>;

export interface DecisionView extends WorkloadView {
  /** An archive of before does not tell it. */
  state?: State;
  state_because?: string;
  steps: StepView[];
  reactive_steps: StepView[];
  policy: PolicyView;
  rates: Maybe<{
    requests_rps: Maybe<number>;
    input_tokens_per_s: Maybe<number>;
    output_tokens_per_s: Maybe<number>;
    waiting_requests: Maybe<number>;
    kv_usage: Maybe<number>;
    mix: Maybe<{ input_tokens: number; output_tokens: number; cached_share: number }>;
  }>;
  at_ceiling: boolean;
  budget_bound: Maybe<string>;
  notes: string[];
  valid_until: Instant;
}

export interface ForecastView {
  namespace: string;
  workload: string;
  model: string;
  unit: string;
  origin: Instant;
  age_s: number;
  step_s: number;
  levels: number[];
  starts: Instant[];
  values: number[][];
  peaks: Maybe<number[][]>;
  components: Maybe<Record<"level" | "day" | "week" | "events" | "correction", number[]>>;
  rates: { rate: string; model: string; levels: number[]; starts: Instant[]; values: number[][] }[];
  outcomes: { lead_s: number; levels: number[]; coverage: number[]; pinball: number[]; scored: number }[];
  notes: string[];
}

export interface History {
  namespace: string;
  workload: string;
  decisions: DecisionView[];
  next: Maybe<Instant>;
  oldest: Maybe<Instant>;
}

type Column = Maybe<number>[];

export interface Timeline {
  namespace: string;
  workload: string;
  unit: string;
  step_s: number;
  since: Instant;
  until: Instant;
  oldest: Maybe<Instant>;
  lead_time_s: number;
  level: number;
  at: number[];
  demand: Column;
  median: Column;
  p90: Column;
  p95: Column;
  p99: Column;
  high: Column;
  target: Column;
  published: Column;
  reactive: Column;
  plain: Column;
  replicas: Column;
  ready: Column;
  health: Maybe<string>[];
  /** What else held at any time of a step. */
  marks: Maybe<Mark[]>[];
}

export interface DemandBins {
  unit: string;
  step_s: number;
  start: number;
  values: Column;
}

export interface Accuracy {
  horizons: {
    lead_s: number;
    levels: number[];
    coverage: number[];
    pinball: number[];
    scored: number;
    verdict: "too few" | "honest" | "too narrow" | "too wide";
    because: string;
  }[];
  notes: string[];
}

export interface Models {
  serving: Maybe<string>;
  because: string[];
  fitted_until: Maybe<Instant>;
  next_fit_at: Maybe<Instant>;
  quick: boolean;
  candidates: {
    name: string;
    loss: Maybe<number>;
    serving: boolean;
    judged_at: Maybe<Instant>;
    lost: number;
    asked_again_at: Maybe<Instant>;
    because: string;
  }[];
  skipped: { name: string; because: string }[];
}

export interface Quality {
  known_share: Record<"1h" | "24h" | "7d" | "all", Maybe<number>>;
  history_s: number;
  oldest: Maybe<Instant>;
  newest: Maybe<Instant>;
  demand_age_s: Maybe<number>;
  fresh_s: number;
  stale_after_s: number;
  partial: boolean;
  gaps: { start: Instant; end: Instant; duration_s: number }[];
  gaps_total: number;
  signals: { name: string; known: boolean; age_s: Maybe<number>; query: Maybe<string> }[];
  notes: string[];
}

export interface Floors {
  floor: number;
  min_replicas: number;
  warm_replicas: number;
  because: string;
  rules: {
    name: string;
    replicas: number;
    days: unknown;
    from: string;
    to: string;
    zone: string;
    active: boolean;
    next_start: Maybe<Instant>;
    next_end: Maybe<Instant>;
  }[];
  standby?: { kind: string; wake_s: number; replicas: number; because: string }[];
}

export interface Overrides {
  paused_until: Maybe<Instant>;
  paused_since: Maybe<Instant>;
  mode: Maybe<"live" | "shadow">;
  by: Maybe<string>;
  at: Maybe<Instant>;
  reason: Maybe<string>;
  settings_mode: Maybe<"live" | "shadow">;
  in_force: {
    kind: "pause" | "mode";
    mode: Maybe<"live" | "shadow">;
    since: Instant;
    until: Maybe<Instant>;
    by: string;
    reason: string;
  }[];
}

/** The service answered, and said no. `detail` is in its words. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail);
  }
}

/** Nobody answered, or not in time. */
export class Lost extends Error {}

const PATIENCE_MS = 10_000;
const MOST_KEPT = 64;

interface Kept {
  etag: string;
  body: unknown;
}

/** Reads and writes. One is shared by the whole page, so that it knows whether the connection holds. */
export class Api {
  private readonly kept = new Map<string, Kept>();
  private lost = false;
  private readonly watchers = new Set<(lost: boolean) => void>();

  /** The root of one workload: `/api/v1/workloads/prod/chat`. */
  workload(namespace: string, name: string): string {
    return `/api/v1/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  }

  /**
   * What `path` answers. An answer that has not changed is the very same object as before, and so are the ages in
   * it: who shows those asks for a `fresh` one.
   *
   * Throws `Problem`, `Lost`, or the `AbortError` of `signal`.
   */
  async get<T>(path: string, signal?: AbortSignal, { fresh = false } = {}): Promise<T> {
    const before = fresh ? undefined : this.kept.get(path);
    // What is absent is no error here, and should be none in the browser's console.
    const headers: Record<string, string> = { Prefer: "problem=ok" };
    if (before) headers["If-None-Match"] = before.etag;
    const answer = await this.ask(path, { headers, signal });
    if (answer.status === 304 && before) return before.body as T;
    const body = (await read(answer)) as T;
    const etag = answer.headers.get("ETag");
    this.keep(path, etag === null ? null : { etag, body });
    return body;
  }

  /** Writes; `token` is the bearer token of people who may. What is kept of reads is forgotten. */
  async send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown, token?: string): Promise<T> {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await this.ask(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    this.kept.clear();
    return (await read(answer)) as T;
  }

  /** Calls back when the connection is lost and when it is back. */
  onConnection(call: (lost: boolean) => void): () => void {
    this.watchers.add(call);
    return () => this.watchers.delete(call);
  }

  private async ask(path: string, init: RequestInit): Promise<Response> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const signal = init.signal ? AbortSignal.any([init.signal, late]) : late;
    try {
      const answer = await fetch(path, { ...init, signal, cache: "no-store" });
      this.noticed(answer.status >= 502 && answer.status <= 504);
      return answer;
    } catch (error) {
      if (init.signal?.aborted) throw error;
      this.noticed(true);
      throw new Lost(error instanceof Error ? error.message : String(error));
    }
  }

  private noticed(lost: boolean): void {
    if (lost === this.lost) return;
    this.lost = lost;
    for (const call of this.watchers) call(lost);
  }

  private keep(path: string, what: Kept | null): void {
    this.kept.delete(path);
    if (what) this.kept.set(path, what);
    const oldest = this.kept.keys().next();
    if (this.kept.size > MOST_KEPT && !oldest.done) this.kept.delete(oldest.value);
  }
}

async function read(answer: Response): Promise<unknown> {
  const text = await answer.text();
  let body: unknown = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(answer.status, answer.statusText, `the answer is not JSON: ${text.slice(0, 80)}`);
  }
  const isProblem = answer.headers.get("Content-Type")?.startsWith("application/problem+json");
  if (answer.ok && !isProblem) return body;
  const told = (body ?? {}) as { status?: number; title?: string; detail?: string };
  throw new Problem(told.status ?? answer.status, told.title ?? answer.statusText, told.detail ?? `status ${answer.status}`);
}
