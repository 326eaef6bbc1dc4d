// Numbered pings at a set interval: how many were answered, and how long the longest silence was.
import { type ChildProcess, spawn } from "node:child_process";
import { RipstopError } from "../../lib/errors.js";

export interface PingOptions {
  readonly from: string;
  readonly address: string;
  readonly count: number;
  readonly intervalMs: number;
  /**
   * How long the answers may take in all, whole seconds: it goes on, with more pings, until each of the first `count` is answered, in
   * whatever order. Without it ping waits for the last answer no longer than for two of the others, and a busy machine makes a loss of
   * that.
   */
  readonly deadlineSeconds?: number;
  /** More of ping's own options. */
  readonly options?: readonly string[];
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicates: number;
  /** Longest time between two answers. */
  readonly gapMaxMs: number;
  /** Median round trip. */
  readonly medianUs: number;
}

/** A ping that is under way: it can be waited for, or watched while something is done to the network. */
export class PingRun {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #options: PingOptions;
  #output = "";
  #answers = 0;
  #line = "";
  readonly #answered = new Set<number>();

  constructor(options: PingOptions) {
    this.#options = options;
    const interval = String(options.intervalMs / 1000);
    const args = [
      "netns",
      "exec",
      options.from,
      "ping",
      "-n",
      "-D",
      "-i",
      interval,
      ...(options.deadlineSeconds === undefined
        ? ["-c", String(options.count), "-W", "1"]
        : ["-w", String(options.deadlineSeconds)]),
      ...(options.options ?? []),
      options.address,
    ];
    this.#child = spawn("ip", args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      const text = chunk.toString();
      this.#output += text;
      this.#answers += text.split("bytes from").length - 1;
      if (options.deadlineSeconds !== undefined && this.#hear(text) === options.count) this.#child.kill("SIGINT");
    });
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", () => resolve());
    });
  }

  /** How many of the first `count` pings are answered so far. */
  #hear(text: string): number {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      const number = Number(/ bytes from .*icmp_seq=(\d+) .*time=/.exec(line)?.[1]);
      if (number <= this.#options.count) this.#answered.add(number);
    }
    return this.#answered.size;
  }

  /** Answers seen so far. */
  get answers(): number {
    return this.#answers;
  }

  async result(): Promise<PingResult> {
    await this.#closed;
    return parsePing(this.#output, this.#options.from, this.#options.count);
  }

  /** Sends no more; the one under way may be missing from the result. */
  end(): Promise<PingResult> {
    this.#child.kill("SIGINT");
    return this.result();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** What became of the first `count` pings, of which one that was killed may have sent fewer. */
export function parsePing(output: string, from: string, count: number): PingResult {
  const summary = /(\d+) packets transmitted, /.exec(output);
  if (summary === null)
    throw new RipstopError("LAB_TRAFFIC", `ping in ${from} gave no summary: ${output.trim().split("\n").at(-1) ?? ""}`);
  const times: number[] = [];
  const trips: number[] = [];
  let duplicates = 0;
  for (const line of output.split("\n")) {
    const answer = /^\[(\d+\.\d+)\] \d+ bytes from .*icmp_seq=(\d+) .*time=([\d.]+) ms( \(DUP!\))?/.exec(line);
    if (answer === null || Number(answer[2]) > count) continue;
    if (answer[4] !== undefined) {
      duplicates++;
      continue;
    }
    times.push(Number(answer[1]) * 1000);
    trips.push(Number(answer[3]) * 1000);
  }
  let gapMaxMs = 0;
  for (let i = 1; i < times.length; i++) gapMaxMs = Math.max(gapMaxMs, (times[i] ?? 0) - (times[i - 1] ?? 0));
  trips.sort((a, b) => a - b);
  const sent = Math.min(Number(summary[1]), count);
  const received = times.length;
  return { sent, received, lost: sent - received, duplicates, gapMaxMs, medianUs: trips[trips.length >> 1] ?? 0 };
}
