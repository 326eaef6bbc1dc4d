// Which blocks of our own code have run so far, as V8 counts them: what tells a fuzzer that an input led somewhere new. The
// native fuzzers have libFuzzer for this; JavaScript has the inspector. One per process at a time.
import { Session } from "node:inspector";

interface Coverage {
  readonly result: ReadonlyArray<{
    readonly url: string;
    readonly functions: ReadonlyArray<{
      readonly ranges: ReadonlyArray<{
        readonly startOffset: number;
        readonly endOffset: number;
        readonly count: number;
      }>;
    }>;
  }>;
}

export class BlockCoverage {
  readonly #session = new Session();
  readonly #within: string;
  readonly #seen = new Set<string>();

  /** `within`: part of the URL of the files that count. */
  constructor(within: string) {
    this.#within = within;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** How many blocks ran since the last call that had never run before. */
  take(): number {
    const before = this.#seen.size;
    // Answers of the own thread's inspector come before post() returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, coverage) => {
      if (error === null) this.#learn(coverage as Coverage);
    });
    return this.#seen.size - before;
  }

  #learn({ result }: Coverage): void {
    for (const { url, functions } of result) {
      if (!url.includes(this.#within)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges)
          if (count > 0) this.#seen.add(`${url}:${startOffset}:${endOffset}`);
      }
    }
  }

  stop(): void {
    this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }
}
