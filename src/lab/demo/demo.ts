// The demo: two nodes come up, ping, carry TCP and UDP on three paths, prove who carried, survive a crash, and go away.
// Runs in the foreground of `npm run demo`; cleans up whatever happens, unless told to keep the lab.
import { RipstopError } from "../../lib/errors.js";
import { endsOf } from "../ends.js";
import { labDown } from "../lab.js";
import type { LabPlan } from "../plan.js";
import { readState } from "../state.js";
import { labStatus } from "../status.js";
import { textTable } from "../text-table.js";
import { crash } from "./crash.js";
import { type Measurement, measure } from "./measure.js";
import { DEMO_PATHS, type DemoContext, type DemoPath, demoOptions, OURS, OURS_XDP, switchTo } from "./paths.js";
import { callWitness, judge, proofTable, type Witness } from "./proof.js";
import { resultsTable } from "./results-table.js";

export interface DemoOptions {
  readonly directory: string;
  readonly prefix: string;
  readonly keep: boolean;
  readonly rounds: number;
  readonly out: (text: string) => void;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Resolves with true when everything the demo claims was seen. */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const { directory, prefix } = options;
  const context = { directory, prefix, report: options.report, signal: options.signal };
  await refuseForeignLab(context);
  try {
    const good = await show(options, context);
    if (options.keep)
      options.out(`The lab stays up: ripstop lab status, ripstop lab exec ${prefix}p1 -- ..., ripstop lab down\n`);
    return good;
  } catch (error) {
    // Ctrl-C ends our helpers too, and their failures are not the reason.
    options.signal.throwIfAborted();
    throw error;
  } finally {
    if (!options.keep) await labDown({ directory, report: options.report });
  }
}

async function show(options: DemoOptions, context: DemoContext): Promise<boolean> {
  const { out, report, signal } = options;
  report("starting two nodes, a pod each");
  await switchTo(OURS, context);
  await showLeases(out, context.directory);

  const results = new Map<DemoPath, Measurement[]>(DEMO_PATHS.map((path) => [path, []]));
  const witnesses: Witness[] = [];
  for (let round = 0; round < options.rounds; round++) {
    // There and back: neighbouring rounds share a path, and a machine that slows down slows no path alone.
    const paths = [...results.keys()];
    for (const path of round % 2 === 0 ? paths : paths.toReversed()) {
      signal.throwIfAborted();
      const plan = await switchOrLeaveOut(path, context);
      if (plan === null) {
        results.delete(path);
        continue;
      }
      const ends = await endsOf(plan);
      if (round === 0) witnesses.push(await callWitness(plan, path, ends));
      const measurement = await measure(ends, signal);
      results.get(path)?.push(measurement);
      const figures = `TCP ${measurement.tcpGbps.toFixed(1)} Gb/s, UDP ${measurement.floodKpps.toFixed(0)} kpps`;
      report(`round ${round + 1} of ${options.rounds}, ${path.name}: ${figures}`);
    }
  }
  out(
    `\nMedians of ${options.rounds} interleaved rounds, ${context.prefix}p1 to ${context.prefix}p2, ratios against kernel VXLAN:\n\n`,
  );
  out(resultsTable(results));
  out("\nWho carried a known number of UDP packets:\n\n");
  out(proofTable(witnesses));
  const verdicts = witnesses.map(judge);
  if (verdicts.includes("shared"))
    out("shared: the machine was too busy to let the data plane run all the time, so the kernel carried the rest.\n");
  out("\n");
  return (await showCrash(options, context)) && !verdicts.includes("NO");
}

/** Null when this machine cannot do AF_XDP: the rest of the demo is worth seeing all the same. */
async function switchOrLeaveOut(path: DemoPath, context: DemoContext): Promise<LabPlan | null> {
  try {
    return await switchTo(path, context);
  } catch (error) {
    if (path !== OURS_XDP || !(error instanceof RipstopError) || error.code !== "DEMO_WRONG_PATH") throw error;
    context.report(`left out: ${path.name}; ${error.message}`);
    return null;
  }
}

async function showLeases(out: (text: string) => void, directory: string): Promise<void> {
  const status = await labStatus(directory);
  if (status === null) throw new RipstopError("LAB_NOT_THERE", "the lab vanished; run the demo again");
  out("\n");
  out(
    textTable([
      ["node", "underlay", "lease", "mtu", "pod", "address", "pings"],
      ...status.nodes.map((node) => [
        node.node,
        node.underlay,
        node.subnet ?? "-",
        String(node.mtu ?? "-"),
        node.pod,
        node.podAddress ?? "-",
        node.reaches === null ? "-" : `${node.reaches.pod} ${node.reaches.reached ? "answers" : "does NOT answer"}`,
      ]),
    ]),
  );
  out("\n");
}

async function showCrash(options: DemoOptions, context: DemoContext): Promise<boolean> {
  options.report("killing the data plane of the first node during a ping every millisecond");
  const plan = await switchTo(OURS, context);
  const { ping, killedPid, newPid, recoveredMs } = await crash(plan, await endsOf(plan), options.signal);
  options.out(
    `\nData plane ${killedPid} of ${context.prefix}n1 killed: ${ping.lost} of ${ping.sent} pings 1 ms apart lost, ` +
      `largest gap ${ping.gapMaxMs.toFixed(0)} ms.\n` +
      `The kernel carried until the agent had started data plane ${newPid}, ${recoveredMs.toFixed(0)} ms later.\n\n`,
  );
  return ping.lost < ping.sent / 10;
}

/** A lab of somebody else's making is not the demo's to change; what an earlier demo left is. */
async function refuseForeignLab({ directory, prefix }: DemoContext): Promise<void> {
  const plan = await readState(directory);
  if (plan === null) return;
  const asFound = JSON.stringify(plan.options);
  if (DEMO_PATHS.some((path) => JSON.stringify(demoOptions(path, prefix)) === asFound)) return;
  throw new RipstopError("LAB_DIFFERENT", `a lab is up in ${directory}; remove it with \`ripstop lab down\` first`);
}
