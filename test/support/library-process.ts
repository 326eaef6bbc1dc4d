// A program that uses the library inside a network namespace: this file is both the program (when it is run) and what a test
// calls. One JSON object a line, each way.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type LearnedAddress, Overlay, unaccountedOverlay } from "../../src/library/overlay.js";
import type { OverlayOptions, OverlayPeer } from "../../src/library/overlay-options.js";
import type { PacketPort } from "../../src/library/packet-port.js";
import type { UnderlayOptions } from "../../src/library/underlay.js";
import { until } from "./until.js";

export interface LibraryPlan {
  readonly underlay: UnderlayOptions;
  readonly overlay: OverlayOptions;
  readonly peers: readonly OverlayPeer[];
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
  /** Peers that the program adds when the first packet to nobody known comes up (overlay option `punt`). */
  readonly onDemand?: readonly OverlayPeer[];
}

export interface LibraryAnswer {
  readonly vtepMac: string;
  readonly encapTx: number;
  readonly decapTx: number;
  readonly flooded: number;
  readonly punted: number;
  readonly overlayKind: string | undefined;
  readonly underlayKind: string | undefined;
  /** Peers whose next hop was not found. */
  readonly unresolved: readonly string[];
  readonly unaccounted: number;
  readonly learned: readonly LearnedAddress[];
}

export interface LibraryProcess {
  state(): Promise<LibraryAnswer>;
}

/** Runs the program in the namespace of that name until `body` is done; fails when a packet is unaccounted for. */
export async function withLibraryProcess(
  namespace: string,
  plan: LibraryPlan,
  body: (library: LibraryProcess) => Promise<void>,
): Promise<void> {
  const program = fileURLToPath(import.meta.url);
  const child = spawn("ip", ["netns", "exec", namespace, process.execPath, program, JSON.stringify(plan)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess["stdout"]> })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const ask = async (): Promise<LibraryAnswer> => {
    child.stdin?.write("state\n");
    const line = await lines.next();
    if (line.done) throw new Error("the program of the library ended");
    return JSON.parse(line.value) as LibraryAnswer;
  };
  try {
    await ask();
    await body({ state: ask });
    // A packet may be on its way through at the moment that the counters are read.
    await until("no packet to be unaccounted for", async () => (await ask()).unaccounted === 0);
  } finally {
    child.stdin?.end();
    await ended;
  }
}

async function run(plan: LibraryPlan): Promise<void> {
  using overlay = Overlay.open({ underlay: plan.underlay, ...plan.overlay });
  overlay.apply(plan.peers);
  await overlay.settled();
  if (overlay.device !== null && plan.addresses.length + plan.routes.length > 0)
    await overlay.configure({ addresses: plan.addresses, routes: plan.routes });
  // It ends with the overlay; an error of its own ends the program.
  if (overlay.punts !== null) void addOnDemand(overlay, plan);
  for await (const _ of createInterface({ input: process.stdin })) {
    const counters = overlay.counters();
    const answer: LibraryAnswer = {
      vtepMac: overlay.vtepMac,
      encapTx: Number(counters.encap.txPackets),
      decapTx: Number(counters.decap.txPackets),
      flooded: Number(counters.bridge.flooded),
      punted: Number(counters.encap.punts),
      overlayKind: overlay.inspect()?.overlayKind,
      underlayKind: overlay.inspect()?.underlayKind,
      unresolved: await overlay.settled(),
      unaccounted: Number(unaccountedOverlay(counters)),
      learned: overlay.learned(),
    };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

async function addOnDemand(overlay: Overlay, { peers, onDemand = [] }: LibraryPlan): Promise<void> {
  for await (const batch of overlay.punts as PacketPort) {
    overlay.apply([...peers, ...onDemand]);
    batch.send();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run(JSON.parse(process.argv[2] ?? "") as LibraryPlan);
