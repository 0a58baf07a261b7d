// The JSON of the routes that only this view reads, as the service's own models define it.

import type { Instant, Maybe } from "../api";

export interface Starts {
  start_s: Maybe<number>;
  bound: boolean;
  ready: number;
  pending: number;
}

export interface LeadTime {
  in_force_s: number;
  is_measured: boolean;
  configured_s: number;
  because: string;
  measurement: Maybe<{
    at: Instant;
    measured_s: Maybe<number>;
    starts: Starts;
    node_present: Starts;
    node_bought: Starts;
    delays: { scrape_s: number; poll_s: number; hpa_sync_s: number; rate_limit_s: number };
    refused: number;
    failed: number;
    problem: string;
    /** How long each start took that became ready, the oldest first. */
    samples_s: number[];
  }>;
}

export interface Bound {
  limit: string;
  replicas: number;
  because: string;
}

export interface Capacity {
  origin: string;
  unit: string;
  per_replica: Maybe<number>;
  why_not_learned: string;
  targets: Maybe<{ itl_s: number; ttft_p95_s: Maybe<number>; queue_s: number }>;
  mix: Maybe<{ input_tokens: number; output_tokens: number; cached_share: number }>;
  peakedness: Maybe<number>;
  law: Maybe<{
    empty_s: number;
    per_output_s: number;
    per_input_s: number;
    mape: number;
    windows: number;
    left_out: Record<string, number>;
    span_s: number;
    highest_utilization: number;
  }>;
  binding: Maybe<string>;
  because: string;
  bounds: Bound[];
  curve: { share: number; demand: number; replicas: number; binding: string }[];
  latencies: {
    utilization: number;
    itl_s: number;
    ttft_p95_s: Maybe<number>;
    output_per_s: number;
    boundary: boolean;
  }[];
}

export interface Pools {
  seen: boolean;
  need: Maybe<number>;
  pools: {
    name: string;
    kind: string;
    wanted_replicas: number;
    published_replicas: Maybe<number>;
    available: boolean;
    ready_replicas: Maybe<number>;
    because: string;
  }[];
  zones: {
    zone: string;
    ready: number;
    pending: number;
    noticed: number;
    at_risk: number;
    lost: Maybe<number>;
    failed_launches: number;
    offered: Maybe<boolean>;
  }[];
  steps: { stage: string; value: number; because: string }[];
}

export interface Cost {
  labels: Record<string, string>;
  cost: Maybe<{
    currency: string;
    per_hour: number;
    replicas: number;
    gpus: Maybe<number>;
    per_1000_requests: Maybe<number>;
    per_million_output_tokens: Maybe<number>;
    per_million_tokens: Maybe<number>;
  }>;
  carbon: Maybe<{
    g_per_hour: number;
    g_per_million_output_tokens: Maybe<number>;
    g_per_kwh: number;
    accounting: string;
    source: string;
  }>;
  budget: Maybe<{
    per_month: number;
    currency: string;
    since: Instant;
    until: Instant;
    spent: Maybe<number>;
    allowed_replicas: Maybe<number>;
    limited: boolean;
    because: string;
  }>;
}

export interface Savings {
  since: Instant;
  until: Instant;
  known_s: number;
  unknown_s: number;
  utilisation: number;
  wait_s: number;
  currency: Maybe<string>;
  ways: { way: string; replica_hours: number; money: Maybe<number>; late_share: Maybe<number> }[];
  saved: { versus: string; replica_hours: number; money: Maybe<number>; avoided_shortage: Maybe<number> }[];
}

export interface Knobs {
  kind: string;
  quantile: number;
  margin: number;
  limit: Maybe<number>;
  headroom: number;
  hold_s: number;
}

export interface Tuning {
  slo: { max_violation: number; wait_s: number; window_s: number };
  knobs: Knobs;
  since: Maybe<Instant>;
  because: string;
  notches: number;
  violation: number;
  budget_spent: number;
  known_s: number;
  next_at: Instant;
  choice: Maybe<{
    at: Instant;
    because: string;
    asked: number;
    replayed_s: number;
    compared: number;
    scores: { knobs: Knobs; violation: number; replica_hours: number }[];
  }>;
}

export interface Events {
  time_zone: Maybe<string>;
  note: string;
  events: {
    id: Maybe<string>;
    name: string;
    start: Instant;
    end: Instant;
    multiplier: Maybe<number>;
    demand: Maybe<number>;
    repeat: string;
    next_start: Maybe<Instant>;
    next_end: Maybe<Instant>;
    added_by: Maybe<string>;
  }[];
}
