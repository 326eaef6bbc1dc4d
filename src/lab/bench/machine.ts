// What a figure is worth depends on where it was measured: the machine and the commit, as far as they can be read.
import { readFile } from "node:fs/promises";
import { cpus, loadavg, release, totalmem } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Runner } from "../runner.js";
import { cpuUse, sampleCpu } from "../traffic/cpu.js";
import type { Machine } from "./result.js";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

const REST_MS = 500;

/** Takes half a second: what the machine does by itself is measured too. */
export async function readMachine(): Promise<Machine> {
  const before = await sampleCpu();
  await delay(REST_MS);
  const rest = cpuUse(before, await sampleCpu());
  const info = await readText("/proc/cpuinfo");
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    hypervisor: /^flags\s*:.*\bhypervisor\b/m.test(info),
    idleGovernor: (await readText("/sys/devices/system/cpu/cpuidle/current_governor")).trim() || "unknown",
    node: process.version,
    loadAverage: loadavg()[0] ?? 0,
    busyBefore: Math.max(0, cpus().length - rest.idle),
  };
}

/** Short hash, with "+" when files differ from it; "unknown" outside a checkout. */
export async function readCommit(): Promise<string> {
  const runner = new Runner();
  try {
    const hash = await runner.must("git", ["-C", ROOT, "rev-parse", "--short=12", "HEAD"]);
    const changes = await runner.must("git", ["-C", ROOT, "status", "--porcelain", "--untracked-files=no"]);
    return hash.trim() + (changes.trim() === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
