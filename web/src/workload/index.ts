// One workload: why this many, how well it was foreseen, what it costs, and how any of it was before.

import "./workload.css";
import { type DecisionView, type Fleet, type ForecastView, Lost, type Overrides, Problem, type Row, type Timeline } from "../api";
import type { Context } from "../context";
import { fill, h, setText } from "../dom";
import { clock, epoch, iso } from "../format";
import { bookCards } from "./books";
import type { Card } from "./cards";
import { changesCard } from "./changes";
import { timeCharts } from "./charts";
import { foreseenCards, madeOf } from "./foreseen";
import { head, lapsedWords, stateOf } from "./head";
import { hasLapsed, sliderStep, span, type Span } from "./model";
import { orders } from "./orders";
import { HOUR, type Range, rangeButtons, rangeOf } from "./ranges";
import { replicaCards } from "./replicas";
import { pastBar, slider } from "./slider";
import { whySection } from "./stairs";
import { TimelineReader } from "./timeline";

/** Cards change slowly; they are asked for no more often than this [ms of the browser's clock]. */
const CARDS_MS = 15_000;
/** A slider that moves asks once it rests so long [ms]. */
const REST_MS = 90;
/** An instant that was not answered is asked for again after so long [ms]. */
const AGAIN_MS = 3000;
const DEFAULT_TICK_S = 15;
const OF_NOW = "Cards marked “now” tell of the present, whatever instant the slider shows.";

/** Shows one workload. Returns how to take it down. */
export function mountWorkload(root: HTMLElement, ctx: Context): () => void {
  const view = new WorkloadPage(root, ctx);
  return () => view.unmount();
}

class WorkloadPage {
  private readonly path: string;
  private at: number | null;
  private range: Range;
  private now = 0;
  /** Where the charts end while the past is shown: what is looked at does not move away. */
  private anchor = 0;
  private tick_s = DEFAULT_TICK_S;
  private decision: DecisionView | null = null;
  /** Of which instant the decision is, as `at`. */
  private decisionAt: number | null = null;
  private forecast: ForecastView | null = null;
  private whyNoForecast = "The forecast is being read.";
  private row: Row | null = null;
  private overrides: Overrides | null = null;
  private asking = new AbortController();
  private rest: ReturnType<typeof setTimeout> | undefined;
  private cardsAt = -Infinity;

  private readonly head;
  private readonly orders = orders();
  private readonly why = whySection();
  private readonly charts = timeCharts();
  private readonly slider = slider((at) => this.look(at));
  private readonly past = pastBar(() => {
    this.look(null);
    this.slider.focus(); // its own button is gone
  });
  private readonly made = madeOf();
  private readonly groups: [string, Card[]][] = [
    ["Forecast", foreseenCards()],
    ["Replicas", replicaCards()],
    ["Money and data", bookCards()],
  ];
  private readonly changes;
  private readonly trouble = h("p", { class: "wl-trouble", role: "alert" });
  private readonly body = h("div", { class: "wl-body" });
  private readonly reader: TimelineReader;
  private readonly timelinePoll;
  private readonly livePolls;

  constructor(
    root: HTMLElement,
    private readonly ctx: Context,
  ) {
    const { namespace = "", name = "" } = ctx.params;
    this.path = ctx.api.workload(namespace, name);
    this.at = epoch(ctx.query().get("at"));
    this.range = rangeOf(ctx.query().get("range"));
    this.reader = new TimelineReader(ctx.api, this.path, ctx.signal);
    this.head = head(namespace, name, this.orders.root);
    this.changes = changesCard(ctx.api, this.path, ctx.signal, (at) => this.look(Math.min(at, this.now)));
    this.lay(root);
    ctx.title(`${namespace}/${name}`);
    this.livePolls = this.followNow();
    this.timelinePoll = ctx.poll<Timeline>(
      () => (this.now ? this.reader.path(this.window(), this.range.seconds, this.now) : null),
      (timeline) => {
        void this.reader.take(timeline, this.window().since, this.now).then((more) => more && this.drawTime());
        this.drawTime();
        this.changes.show(timeline, this.now, this.tick_s);
        if (this.at !== null) this.body.hidden = false; // something is kept, though not of this instant
      },
      () => undefined, // the head says what is wrong with the workload
    );
    ctx.onFleet((fleet) => this.tick(fleet));
    if (this.at !== null) void this.loadPast();
  }

  private tick(fleet: Fleet): void {
    const isFirst = this.now === 0;
    this.now = epoch(fleet.now) ?? this.now;
    this.tick_s = fleet.tick_s;
    if (isFirst || this.at === null) this.anchor = this.now;
    if (isFirst) this.timelinePoll.again(); // it waited to know what time it is
    this.drawHead();
    this.drawTime();
    void this.loadCards();
  }

  unmount(): void {
    clearTimeout(this.rest);
    this.asking.abort();
    this.charts.destroy();
  }

  private lay(root: HTMLElement): void {
    const ranges = rangeButtons(this.range, (range) => this.choose(range));
    const time = h(
      "section",
      { class: "card wl-when", "aria-labelledby": "wl-when" },
      h("div", { class: "wl-when-head" }, h("h2", { id: "wl-when" }, "Demand, forecast and replicas"), ranges),
      this.charts.root,
      this.slider.root,
    );
    const extra = [this.made.root, this.changes.root];
    const groups = this.groups.map(([title, cards], i) =>
      h("section", { class: "wl-group", "aria-label": title }, h("h2", null, title), extra[i], cards.map((each) => each.root)),
    );
    fill(this.body, this.why.root, time, h("div", { class: "wl-cards" }, h("p", { class: "wl-of-now" }, OF_NOW), groups));
    fill(root, h("div", { class: "wl" }, this.past.root, this.head.root, this.trouble, this.body));
    this.trouble.hidden = true;
    this.body.hidden = true;
  }

  /** Polls that rest while the past is shown. */
  private followNow(): { again(): void }[] {
    const only = (route: string) => () => (this.at === null ? `${this.path}${route}` : null);
    // What was asked before the past was looked at may be answered after it.
    const ifNow = <T>(call: (answer: T) => void) => (answer: T) => {
      if (this.at === null) call(answer);
    };
    return [
      this.ctx.poll<Row>(only(""), ifNow((row) => {
        this.row = row;
        this.drawHead();
      }), () => (this.row = null)),
      this.ctx.poll<DecisionView>(only("/decision"), ifNow((decision) => this.take(decision, null)), ifNow((error) => this.refuse(error))),
      this.ctx.poll<Overrides>(only("/overrides"), (overrides) => this.order(overrides), () => this.order(null)),
      this.ctx.poll<ForecastView>(
        only("/forecast"),
        ifNow((forecast) => this.foresee(forecast, "")),
        ifNow((error) => this.foresee(null, error.message)),
      ),
    ];
  }

  /** Looks at an instant, or at now with null. */
  private look(at: number | null): void {
    const was = this.at;
    this.at = at === null ? null : Math.round(at);
    if (at === null) this.anchor = this.now;
    this.ctx.setQuery({ at: this.at === null ? null : iso(this.at) });
    this.drawTime();
    clearTimeout(this.rest);
    this.asking.abort();
    this.asking = new AbortController();
    if (this.at === null) {
      if (was !== null) this.ctx.announce("Back to now.");
      this.row = null;
      this.timelinePoll.again();
      for (const each of this.livePolls) each.again();
      void this.followCards();
      return;
    }
    this.rest = setTimeout(() => void this.loadPast(), REST_MS);
  }

  private async loadPast(): Promise<void> {
    const at = this.at;
    if (at === null) return;
    const signal = this.askingSignal();
    const query = `?at=${encodeURIComponent(iso(at))}`;
    this.timelinePoll.again();
    const forecast = this.ctx.api.get<ForecastView>(`${this.path}/forecast${query}`, signal).then(
      (found) => ({ found, why: "" }),
      (error: Error) => {
        if (error instanceof Lost) throw error; // why there is none is not known
        return { found: null, why: error.message };
      },
    );
    try {
      const [decision, { found, why }] = await Promise.all([
        this.ctx.api.get<DecisionView>(`${this.path}/decision${query}`, signal),
        forecast,
      ]);
      if (signal.aborted) return;
      this.row = null;
      this.foresee(found, why);
      this.take(decision, at);
      const { state } = stateOf({ decision, row: null });
      const told = decision.published_replicas ?? "no number";
      const said = this.lapsedAt(decision) === null ? `KEDA was told ${told}; ${state}.` : lapsedWords(decision);
      this.ctx.announce(`As it was at ${clock(at)} UTC: ${said}`);
    } catch (error) {
      if (signal.aborted) return;
      this.refuse(error as Error);
      // Nobody asks again of an instant that stands still, and what lost the connection is no answer.
      if (error instanceof Lost) {
        this.rest = setTimeout(() => void this.loadPast(), AGAIN_MS);
        return; // cards are asked with it: they would be lost one after the other, and stay as they are
      }
    }
    await this.followCards();
  }

  /** Ends with the view, and when another instant is looked at. */
  private askingSignal(): AbortSignal {
    return AbortSignal.any([this.asking.signal, this.ctx.signal]);
  }

  private take(decision: DecisionView, at: number | null): void {
    this.decision = decision;
    this.decisionAt = at;
    this.trouble.hidden = true;
    this.body.hidden = false;
    this.why.root.hidden = false;
    this.drawHead();
    this.why.show(decision);
    this.drawTime();
  }

  private order(overrides: Overrides | null): void {
    this.overrides = overrides;
    this.drawHead();
  }

  private foresee(forecast: ForecastView | null, why: string): void {
    this.forecast = forecast;
    this.whyNoForecast = why;
    this.drawTime();
  }

  private refuse(error: Error): void {
    this.decision = null;
    const problem = error instanceof Problem ? error : null;
    this.trouble.hidden = false;
    setText(this.trouble, problem ? problem.detail : error.message); // said once, not with each poll
    // What stands there is of another instant.
    this.head.clear();
    this.why.root.hidden = true;
    if (this.at === null) this.body.hidden = true;
  }

  private drawHead(): void {
    const isNow = this.at === null;
    this.orders.show(isNow ? this.overrides : null, this.now);
    // Until the answer comes, what stands there says itself of when it is.
    if (!this.decision || this.decisionAt !== this.at) return;
    const lapsedAt = this.lapsedAt(this.decision);
    this.head.show({ decision: this.decision, row: isNow ? this.row : null, now: isNow ? this.now : null, lapsedAt });
  }

  /** The instant that is looked at, if a decision says nothing of it. */
  private lapsedAt(decision: DecisionView): number | null {
    return this.at !== null && hasLapsed(decision, this.at, this.tick_s) ? this.at : null;
  }

  private drawTime(): void {
    const { forecast, decision, now, at } = this;
    const { timeline } = this.reader;
    this.past.show(at, now);
    this.body.classList.toggle("wl-is-past", at !== null);
    this.made.show(forecast, decision?.policy.lead_time_s ?? 0, this.whyNoForecast);
    if (!now) return;
    const { since, until } = this.window();
    this.charts.show({ timeline, older: this.reader.older(since, now), forecast, decision, now, at, since, until });
    const oldest = epoch(timeline?.oldest) ?? since;
    const ahead = forecast ? (epoch(forecast.starts[forecast.starts.length - 1]) ?? until) : until;
    this.slider.show({
      since,
      until,
      end: Math.max(until, ahead),
      step_s: sliderStep(until - Math.max(since, oldest), this.tick_s),
      endsNow: until === this.anchor,
      now,
      at,
      oldest,
    });
  }

  private window(): Span {
    return span(this.range.seconds, this.anchor, this.at);
  }

  private async loadCards(): Promise<void> {
    if (performance.now() - this.cardsAt < CARDS_MS) return;
    this.cardsAt = performance.now();
    await this.load((each) => !each.follows, null, this.ctx.signal);
    if (this.at === null) await this.followCards(); // the past does not change
  }

  /** Has the cards that can tell the instant that is looked at tell it. */
  private followCards(): Promise<void> {
    return this.load((each) => each.follows, this.at, this.askingSignal());
  }

  private async load(which: (card: Card) => boolean, at: number | null, signal: AbortSignal): Promise<void> {
    for (const each of this.groups.flatMap(([, cards]) => cards).filter(which)) {
      if (signal.aborted) return;
      await each.load(this.ctx.api, this.path, at, signal).catch(() => undefined);
    }
  }

  private choose(range: Range): void {
    this.range = range;
    this.anchor = this.now;
    this.ctx.setQuery({ range: range === HOUR ? null : range.name });
    this.timelinePoll.again();
    this.drawTime();
  }
}
