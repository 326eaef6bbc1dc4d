// How busy the whole machine was between two moments, as /proc/stat tells: every CPU, softirq included.
import { readFile } from "node:fs/promises";

/** USER_HZ of every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface CpuSample {
  readonly atMs: number;
  /** Seconds since boot, summed over CPUs. */
  readonly user: number;
  readonly system: number;
  readonly softirq: number;
  readonly idle: number;
  readonly steal: number;
}

export interface CpuUse {
  readonly seconds: number;
  /** Cores' worth: 1.5 means one and a half CPUs were busy all the time. */
  readonly user: number;
  readonly system: number;
  readonly softirq: number;
  readonly busy: number;
  /** Exact, while the three above are sampled at each tick of the clock. */
  readonly idle: number;
  readonly steal: number;
}

export async function sampleCpu(): Promise<CpuSample> {
  return parseCpu(await readFile("/proc/stat", "utf8"), performance.now());
}

/** Columns of the first line: user nice system idle iowait irq softirq steal. */
export function parseCpu(text: string, atMs: number): CpuSample {
  const columns = (text.split("\n")[0] ?? "").trim().split(/\s+/).slice(1).map(Number);
  const seconds = (...at: number[]): number =>
    at.reduce((sum, column) => sum + (columns[column] ?? 0), 0) / TICKS_PER_SECOND;
  return {
    atMs,
    user: seconds(0, 1),
    system: seconds(2),
    softirq: seconds(5, 6),
    idle: seconds(3, 4),
    steal: seconds(7),
  };
}

export function cpuUse(before: CpuSample, after: CpuSample): CpuUse {
  const seconds = (after.atMs - before.atMs) / 1000;
  const share = (field: "user" | "system" | "softirq" | "idle" | "steal"): number =>
    (after[field] - before[field]) / seconds;
  const [user, system, softirq] = [share("user"), share("system"), share("softirq")];
  return { seconds, user, system, softirq, busy: user + system + softirq, idle: share("idle"), steal: share("steal") };
}
