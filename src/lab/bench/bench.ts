// A whole benchmark: build every rival, check them, measure them in turn, take everything down. Rivals alternate within each
// workload, and every trial starts with another one, so that a machine that slows down slows nobody alone.
import { mkdir } from "node:fs/promises";
import { cpus } from "node:os";
import { RipstopError } from "../../lib/errors.js";
import { ripstopVersion } from "../../lib/version.js";
import { cpuUse, sampleCpu } from "../traffic/cpu.js";
import { checkInterop, checkPayload, type Check } from "./checks.js";
import { readCommit, readMachine } from "./machine.js";
import type { BenchMode } from "./modes.js";
import { buildNullRig } from "./null-rig.js";
import type { BenchResult, BenchRun, CpuShare } from "./result.js";
import { buildRig, type Rig, type RigContext } from "./rig.js";
import { KERNEL, type Rival } from "./rivals.js";
import { type Pace, SMALL_SEARCH, type Workload } from "./workloads.js";

const STEADY_RATE = 40_000;

export async function runBench(mode: BenchMode, context: RigContext): Promise<BenchResult> {
  await mkdir(context.directory, { recursive: true });
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const checks: Check[] = [];
  if (mode.interop) checks.push(await checkInterop(context));
  const rigs: Rig[] = [];
  try {
    for (const rival of mode.rivals) {
      const built = await buildOrLeaveOut(rival, context);
      if ("what" in built) checks.push(built);
      else rigs.push(built);
    }
    const nullRig = await buildNullRig(context);
    rigs.push(nullRig);
    const machine = await readMachine();
    if (machine.busyBefore > 0.2) {
      const busy = machine.busyBefore.toFixed(2);
      context.report(`WARNING: others keep ${busy} cores busy; the figures will not be worth much`);
    }
    for (const rig of rigs) {
      context.signal.throwIfAborted();
      context.report(`checking every byte: ${rig.rival}`);
      checks.push(await checkPayload(rig, context.signal));
    }
    const runs = await measure(mode, rigs, context);
    return {
      schema: 1,
      startedAt,
      seconds: Math.round((performance.now() - started) / 1000),
      mode: mode.name,
      version: ripstopVersion(),
      commit: await readCommit(),
      machine,
      trials: mode.trials,
      rivals: mode.rivals
        .filter(({ id }) => rigs.some(({ rival }) => rival === id))
        .map((rival) => describe(rival, rigs)),
      workloads: mode.workloads.map(({ id, title }) => ({ id, title })),
      checks,
      runs,
    };
  } finally {
    for (const rig of rigs.toReversed()) await rig.down();
  }
}

/** A machine without, say, AF_XDP still compares the others; what is missing and why stands beside the checks. */
async function buildOrLeaveOut(rival: Rival, context: RigContext): Promise<Rig | Check> {
  try {
    return await buildRig(rival, context);
  } catch (error) {
    context.signal.throwIfAborted();
    if (rival.port === undefined || !(error instanceof RipstopError)) throw error;
    context.report(`left out: ${rival.name}; ${error.message}`);
    return { what: `left out: ${rival.name}`, detail: error.message };
  }
}

function describe({ id, name, what }: Rival, rigs: readonly Rig[]): BenchResult["rivals"][number] {
  return { id, name, what, carriers: [...(rigs.find((rig) => rig.rival === id)?.carriers ?? [])] };
}

async function measure(mode: BenchMode, rigs: readonly Rig[], context: RigContext): Promise<BenchRun[]> {
  const pace: Pace = { ...mode.pace, steadyRate: STEADY_RATE, starts: new Map() };
  const runs: BenchRun[] = [];
  for (let trial = 1; trial <= mode.trials; trial++) {
    for (const workload of mode.workloads) {
      for (const rig of rotated(rigs, trial)) {
        if (rig.plan === null && workload.onNullPath !== true) continue;
        context.signal.throwIfAborted();
        runs.push(await runOnce(trial, workload, rig, pace, context));
      }
      // Fixed by the first trial, so that all trials of the steady workload mean the same.
      if (workload.id === SMALL_SEARCH && trial === 1) pace.steadyRate = steadyRate(runs);
    }
  }
  return runs;
}

async function runOnce(
  trial: number,
  workload: Workload,
  rig: Rig,
  pace: Pace,
  context: RigContext,
): Promise<BenchRun> {
  const before = await sampleCpu();
  const { values, curve } = await workload.run(rig, pace, context.signal);
  const cpu = share(cpuUse(before, await sampleCpu()), cpus().length);
  const figures = Object.entries(values).slice(0, 4);
  const told = figures.map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`).join(", ");
  context.report(`trial ${trial}, ${workload.title}, ${rig.rival}: ${told}`);
  const run: BenchRun = { trial, rival: rig.rival, workload: workload.id, values: { ...values }, cpu };
  return curve === undefined ? run : { ...run, curve: curve.map(([x, y]) => [x, y]) };
}

/** Busy is exact (what was not idle); its parts are sampled, so they are scaled to it. */
function share(use: ReturnType<typeof cpuUse>, cores: number): CpuShare {
  const busy = Math.max(0, cores - use.idle - use.steal);
  const scale = use.busy > 0 ? busy / use.busy : 0;
  const { steal, seconds } = use;
  return { busy, user: use.user * scale, system: use.system * scale, softirq: use.softirq * scale, steal, seconds };
}

function rotated(rigs: readonly Rig[], trial: number): readonly Rig[] {
  const at = (trial - 1) % rigs.length;
  return [...rigs.slice(at), ...rigs.slice(0, at)];
}

function steadyRate(runs: readonly BenchRun[]): number {
  const found = runs.find((run) => run.rival === KERNEL && run.workload === SMALL_SEARCH)?.values["kpps"] ?? 0;
  return found > 0 ? Math.round((found * 1000) / 2) : STEADY_RATE;
}
