// How numbers, spans of time and instants are written. What is unknown is written as a word, never as 0.

export const UNKNOWN = "unknown";

type Maybe = number | null | undefined;

const plain = new Map<string, Intl.NumberFormat>();

function formatter(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = JSON.stringify(options);
  const made = plain.get(key) ?? new Intl.NumberFormat("en", options);
  plain.set(key, made);
  return made;
}

/** A number with at most `digits` significant digits: `1,240`, `0.0312`. */
export function number(value: Maybe, digits = 3): string {
  if (!known(value)) return UNKNOWN;
  const isLong = Math.abs(value) >= 10 ** digits;
  const written = isLong ? formatter({ maximumFractionDigits: 0 }) : formatter({ maximumSignificantDigits: digits });
  return minus(written.format(value));
}

/** A number for narrow places, with at most `digits` significant digits: `1.24k`, `3.1M`. */
export function compact(value: Maybe, digits = 3): string {
  if (!known(value)) return UNKNOWN;
  return minus(formatter({ notation: "compact", maximumSignificantDigits: digits }).format(value)).replace("K", "k");
}

/** A count: `1,240`. */
export function count(value: Maybe): string {
  return known(value) ? minus(formatter({ maximumFractionDigits: 0 }).format(value)) : UNKNOWN;
}

/** Demand with its unit: `41.3 requests/s`. */
export function amount(value: Maybe, unit: string, digits = 3): string {
  return known(value) ? `${number(value, digits)} ${unit}` : UNKNOWN;
}

/** A share of one: `93 %`, `93.4 %`. */
export function percent(share: Maybe, digits = 0): string {
  return known(share) ? `${formatter({ maximumFractionDigits: digits }).format(share * 100)} %` : UNKNOWN;
}

/** What sums of fractions leave where there is nothing. */
export function isNothing(value: number): boolean {
  return Math.abs(value) < 1e-9;
}

/** Money: `€12.40`, `$1,240`; an unknown currency's code stands before the number. */
export function money(value: Maybe, currency: string | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  const digits = Math.abs(value) >= 1000 ? 0 : 2;
  const isTiny = !isNothing(value) && Math.abs(value) < 0.095; // less than ten cents never reads as nothing
  const shape = isTiny ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const sign = value < 0 && !isNothing(value) ? "−" : "";
  const size = Math.abs(value);
  if (!currency) return sign + formatter(shape).format(size);
  try {
    const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" } as const;
    return sign + formatter({ ...style, ...shape }).format(size);
  } catch {
    return `${sign}${currency} ${formatter(shape).format(size)}`; // not an ISO 4217 code
  }
}

/** A span of time with at most two units: `4 min 20 s`, `3 d 2 h`, `0.8 s`. */
export function duration(seconds: Maybe): string {
  if (!known(seconds)) return UNKNOWN;
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (size < 10) return `${sign}${number(size, 2)} s`;
  const whole = Math.round(size);
  const units: [string, number][] = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const first = units.findIndex(([, length]) => whole >= length);
  const [name, length] = units[first] ?? ["s", 1];
  const next = units[first + 1];
  const rest = next ? Math.floor((whole % length) / next[1]) : 0;
  const head = `${sign}${Math.floor(whole / length)} ${name}`;
  return next && rest ? `${head} ${rest} ${next[0]}` : head;
}

/** How long ago: `12 s ago`, `in 4 min`. */
export function ago(seconds: Maybe): string {
  if (!known(seconds)) return UNKNOWN;
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

/** An instant of the API (ISO 8601 or epoch seconds) as epoch seconds; null if it is none. */
export function epoch(instant: string | number | null | undefined): number | null {
  if (instant === null || instant === undefined) return null;
  const ms = typeof instant === "number" ? instant * 1000 : Date.parse(instant);
  return Number.isFinite(ms) ? ms / 1000 : null;
}

/** The time of day in UTC: `14:05:00`. */
export function clock(instant: string | number | null | undefined): string {
  const at = epoch(instant);
  return at === null ? UNKNOWN : new Date(at * 1000).toISOString().slice(11, 19);
}

/** The day in UTC: `2026-11-22`. */
export function day(instant: string | number | null | undefined): string {
  const at = epoch(instant);
  return at === null ? UNKNOWN : new Date(at * 1000).toISOString().slice(0, 10);
}

/** Day and time: `2026-11-22 14:05:00 UTC`. */
export function instant(of: string | number | null | undefined): string {
  return epoch(of) === null ? UNKNOWN : `${day(of)} ${clock(of)} UTC`;
}

/** An instant as the API takes it. */
export function iso(at: number): string {
  return new Date(at * 1000).toISOString().replace(".000Z", "Z");
}

/** `1 replica`, `2 replicas`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** The minus of typography, as wide as a digit; nothing is less than nothing by 0. */
function minus(text: string): string {
  return text === "-0" ? "0" : text.replace("-", "−");
}

/** Whether a number is one. */
export function known(value: Maybe): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
