// What is asked of the past: the timeline of decisions, and older demand than decisions are kept of.

import type { Api, DemandBins, Timeline } from "../api";
import { epoch, iso } from "../format";
import { before, type Older, type Span } from "./model";

const POINTS = 500;
/** The API tells no more of demand [h]. */
const MOST_HOURS = 672;

/** Holds the newest timeline of one workload, and says when and how to ask for the next. */
export class TimelineReader {
  timeline: Timeline | null = null;
  private asked = "";
  /** When what is shown came, on the service's clock; 0 while it does not answer what is asked. */
  private cameAt = 0;
  private bins: DemandBins | null = null;
  private hours = 0;

  constructor(
    private readonly api: Api,
    private readonly workload: string,
    private readonly signal: AbortSignal,
  ) {}

  /**
   * The path to ask for; whole steps, so that the answer stays the same while nothing new came. Null while a coarse
   * one is new enough: the service reads a week of decisions for it.
   */
  path({ since, until }: Span, range_s: number, now: number): string | null {
    const step = Math.ceil(range_s / POINTS / 60) * 60;
    const from = Math.floor(since / step) * step;
    const to = until < now ? `&until=${encodeURIComponent(iso(Math.ceil(until / step) * step))}` : "";
    const path = `${this.workload}/timeline?since=${encodeURIComponent(iso(from))}${to}&points=${POINTS}`;
    if (path === this.asked && this.cameAt > 0 && now - this.cameAt < step / 4) return null;
    if (path !== this.asked) this.cameAt = 0;
    this.asked = path;
    return path;
  }

  /** Takes an answer; resolves to whether older demand was read for it. */
  async take(timeline: Timeline, since: number, now: number): Promise<boolean> {
    this.timeline = timeline;
    this.cameAt = now;
    // After a start the history of demand is older than the decisions, by weeks. It is read once a range.
    const hours = Math.min(MOST_HOURS, Math.ceil((now - since) / 3600) + 1);
    if (hours <= this.hours || (epoch(timeline.oldest) ?? now) <= since) return false;
    this.hours = hours;
    try {
      this.bins = await this.api.get<DemandBins>(`${this.workload}/demand?hours=${hours}`, this.signal);
      return true;
    } catch {
      this.hours = 0; // asked again with the next timeline
      return false;
    }
  }

  /** Demand before the timeline begins; null if none is known. */
  older(since: number, now: number): Older | null {
    const { bins, timeline } = this;
    if (!bins || !timeline) return null;
    return before(bins, since, timeline.at[0] ?? now, timeline.step_s);
  }
}
