// The rows of the fleet, brought page by page: the first page as it is asked for, so that it can be drawn at once,
// then the rest. When decisions were published all pages are asked for again; those that did not change cost a 304.

import { type Api, Lost, type Refused, type Row, type Rows } from "../api";
import { type Asked, firstPage, keyOf } from "./query";

const FIRST = 100;
const FURTHER = 250;

export interface Beside {
  waiting: readonly string[];
  refused: readonly Refused[];
}

/** Keeps the rows of every workload, beginning with those that a view before it had. */
export class RowKeeper {
  readonly rows: Map<string, Row>;
  beside: Beside;
  /** Whether all were brought at least once. */
  complete = false;
  /** Whether the last walk broke off: what is kept may be old. */
  broken = false;
  private walking = false;
  private again = false;

  constructor(
    private readonly api: Api,
    private readonly signal: AbortSignal,
    private readonly changed: () => void,
    private readonly failed: (error: Error) => void,
    before: RowKeeper | null,
  ) {
    this.rows = new Map(before?.rows);
    this.beside = before?.beside ?? { waiting: [], refused: [] };
  }

  /** Brings what is asked for, then everything. */
  async start(asked: Asked): Promise<void> {
    try {
      this.take(await this.api.get<Rows>(firstPage(asked, FIRST), this.signal));
    } catch (error) {
      this.tell(error);
    }
    await this.refresh();
  }

  /** Brings everything once more; a call during a walk is one walk after it. */
  async refresh(): Promise<void> {
    if (this.walking) {
      this.again = true;
      return;
    }
    this.walking = true;
    do {
      this.again = false;
      try {
        await this.walk();
      } catch (error) {
        this.tell(error);
      }
    } while (this.again && !this.signal.aborted);
    this.walking = false;
  }

  private async walk(): Promise<void> {
    const found = new Set<string>();
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: String(FURTHER), sort: "name" });
      if (cursor !== null) query.set("cursor", cursor);
      const page: Rows = await this.api.get<Rows>(`/api/v1/workloads?${query}`, this.signal);
      for (const row of page.workloads) found.add(keyOf(row));
      this.take(page);
      cursor = page.next;
    } while (cursor !== null);
    for (const key of this.rows.keys()) if (!found.has(key)) this.rows.delete(key);
    this.complete = true;
    this.broken = false;
    this.changed();
  }

  private take(page: Rows): void {
    for (const row of page.workloads) this.rows.set(keyOf(row), row);
    this.beside = page;
    this.changed();
  }

  private tell(error: unknown): void {
    this.broken = true;
    if (!this.signal.aborted && !(error instanceof Lost)) this.failed(error as Error);
  }
}
