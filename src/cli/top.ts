// `ripstop top`: what the data plane does at this moment: rates by direction, then by worker and port: fill of the batches, drops
// by reason, rings. Two readings, a moment apart, over the data-plane socket.
import { setTimeout as delay } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { askDataplane, type DataplaneStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { type Counters, LANE_NAMES, type LaneCounters, subtractCounters } from "../dataplane/counters.js";
import { RipstopError } from "../lib/errors.js";
import { textTable } from "../lab/text-table.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { dropList, formatWorkers, workerRates } from "./top-workers.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { outputOption, parseSeconds, runDirOption } from "./shared-options.js";

const CLEAR = "\u001b[H\u001b[2J";

interface TopFlags {
  readonly output: string;
  readonly interval: number;
  readonly count?: number;
  readonly runDir: string;
}

interface Reading {
  readonly at: number;
  readonly dataplane: DataplaneStatus;
  readonly counters: Counters;
}

export const topCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("top")
      .description("rates, batch fill, drops and rings of the data plane's workers and ports, again and again")
      .option("-i, --interval <seconds>", "time between two readings", parseSeconds, 1)
      .option("-n, --count <n>", "end after this many views; without it: until Ctrl-C", parseCount)
      .addOption(outputOption())
      .addOption(runDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop top", "until Ctrl-C"],
          ["ripstop top -n 1 -i 0.5 -o json", "one reading for programs: rates over half a second"],
        ),
      )
      .action(async (flags: TopFlags) => top(flags, context));
  },
};

async function top(flags: TopFlags, context: CommandContext): Promise<void> {
  const path = runPaths(flags.runDir).dataplaneSocket;
  let before = await read(path);
  for (let shown = 0; shown < (flags.count ?? Number.POSITIVE_INFINITY); shown++) {
    await delay(flags.interval * 1000, undefined, { signal: context.signal }).catch(() => undefined);
    if (context.signal.aborted) return;
    const now = await read(path);
    const seconds = (now.at - before.at) / 1000;
    // A data plane that was started again counts from zero.
    const base = now.dataplane.pid === before.dataplane.pid ? before.counters : now.counters;
    const rates = LANE_NAMES.map((name) => rateOf(name, subtractCounters(now.counters, base)[name], seconds));
    const workers = workerRates(now.dataplane, before.dataplane, seconds);
    if (flags.output === "json") context.out(toJson({ seconds, rates, workerRates: workers, ...now.dataplane }));
    else context.out(`${context.terminal ? CLEAR : ""}${format(now, rates)}${formatWorkers(workers)}`);
    before = now;
  }
}

async function read(path: string): Promise<Reading> {
  const dataplane = await askDataplane(path);
  const at = performance.now();
  if (dataplane.counters !== null) return { at, dataplane, counters: dataplane.counters };
  throw new RipstopError(
    dataplane.state === "silent" ? "DATAPLANE_SILENT" : "DATAPLANE_ABSENT",
    `the data plane at ${path} is ${dataplane.state}: the kernel's path carries the packets, and \`ip -s link\` counts them`,
  );
}

interface Rate {
  readonly direction: string;
  readonly rxPerSecond: number;
  readonly txPerSecond: number;
  readonly bitsPerSecond: number;
  readonly packetsPerBatch: number;
  readonly segmentsPerFrame: number;
  readonly punts: bigint;
  readonly drops: Readonly<Record<string, bigint>>;
}

function rateOf(direction: string, lane: LaneCounters, seconds: number): Rate {
  const perSecond = (count: bigint) => Number(count) / seconds;
  const ratio = (a: bigint, b: bigint) => (b === 0n ? 0 : Number(a) / Number(b));
  return {
    direction,
    rxPerSecond: perSecond(lane.rxPackets),
    txPerSecond: perSecond(lane.txPackets),
    bitsPerSecond: perSecond(lane.txBytes) * 8,
    packetsPerBatch: ratio(lane.rxFrames, lane.rxBatches),
    segmentsPerFrame: ratio(lane.rxPackets, lane.rxFrames),
    punts: lane.punts,
    drops: Object.fromEntries(Object.entries(lane.drops).filter(([, count]) => count > 0n)),
  };
}

function format({ dataplane }: Reading, rates: readonly Rate[]): string {
  const { inspection, pid } = dataplane;
  const lines = textTable([
    ["DIRECTION", "RX PKT/S", "TX PKT/S", "MBIT/S", "FRAMES/BATCH", "SEGMENTS/FRAME", "PUNTS", "DROPS"],
    ...rates.map((rate) => [
      rate.direction,
      rate.rxPerSecond.toFixed(0),
      rate.txPerSecond.toFixed(0),
      (rate.bitsPerSecond / 1e6).toFixed(1),
      rate.packetsPerBatch.toFixed(1),
      rate.segmentsPerFrame.toFixed(1),
      `${rate.punts}`,
      dropList(rate.drops),
    ]),
  ]);
  const ports = (inspection?.ports ?? []).map(
    ({ side, kind, description, rxKernelDrops }) =>
      `${side.padEnd(9)} ${kind}: ${description}, ${rxKernelDrops} dropped before it`,
  );
  const state =
    inspection === null
      ? ""
      : `data plane ${pid}: ${inspection.framesFree}/${inspection.framesTotal} frames free, heartbeat ${inspection.heartbeatAgeMs.toFixed(0)} ms old, ${inspection.peers} peers`;
  return `${lines}${[state, ...ports].join("\n")}\n`;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return count;
}
