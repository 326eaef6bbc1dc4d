// One peer over every path there is: the underlay, and the overlay by each of the two that can encapsulate on this node. Who
// carried is what counters say, the data plane's and the overlay device's own. Owned by `ripstop ping`; sends packets.
import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { askDataplane, type DataplaneStatus } from "../agent/node-status.js";
import type { Expectation, ExpectedPeer } from "./expectation.js";
import { deviceTowards } from "./host-facts.js";
import { ping, type PingAnswer, searchMtu } from "./probe.js";
import { overlayAddress } from "./reach-checks.js";

/** RS_KERNEL_PATH_MARK of native/bpf/steer_state.h: steering leaves packets with it to the kernel. */
const KERNEL_PATH_MARK = 0x1052;
const USER_SPACE = "overlay via user space";
const KERNEL = "overlay via kernel";
const NOTHING = { out: 0, back: 0 };
/** For a worker to publish what it counted, or a busy data plane to answer; what is settled is not waited for. */
const SETTLE_MS = 2_000;
const LOOK_MS = 20;
const INTERVAL_SECONDS = 0.01;
const LEAST_BYTES = 100;
const MOST_BYTES = 9_000;
const USUAL_BYTES = 1_500;

export type Carrier = "user space" | "kernel" | "user space and kernel";

export interface Leg {
  readonly path: string;
  readonly address: string;
  /** Null: not measured, and `why`. */
  readonly answer: PingAnswer | null;
  readonly why?: string;
  readonly mtu: number | null;
  /** Who took the requests and gave the answers on this node; null: nobody, or it cannot be seen. */
  readonly out: Carrier | null;
  readonly back: Carrier | null;
}

export interface LegOptions {
  readonly count: number;
  readonly mtu: boolean;
  readonly dataplaneSocket: string;
}

export async function measureLegs(
  peer: ExpectedPeer,
  expected: Expectation,
  options: LegOptions,
): Promise<readonly Leg[]> {
  const inner = expected.mtu ?? USUAL_BYTES - expected.overhead[4];
  const outer = inner + expected.overhead[peer.publicIp.includes(":") ? 6 : 4];
  const underlay = await measure(peer.publicIp, outer, options);
  const legs: Leg[] = [{ path: "underlay", address: peer.publicIp, ...underlay, out: null, back: null }];
  const inside = overlayAddress(peer, expected.backend);
  if (inside === null) return legs;
  const over = (mark?: number) => watched(inside, expected, options, () => measure(inside, inner, options, mark));
  const usual = await over();
  if (peer.direct) return [...legs, { path: "overlay (direct route)", address: inside, ...usual }];
  const missing = (path: string, why: string): Leg => ({
    ...{ path, address: inside, answer: null, why, mtu: null, out: null, back: null },
  });
  if (usual.out === "kernel" || usual.out === null) {
    const { state } = await askDataplane(options.dataplaneSocket);
    const why = state === "running" ? "the data plane runs, but does not take these packets" : `data plane: ${state}`;
    return [...legs, missing(USER_SPACE, why), { path: KERNEL, address: inside, ...usual }];
  }
  legs.push({ path: USER_SPACE, address: inside, ...usual });
  if (expected.backend !== "vxlan") return [...legs, missing(KERNEL, `the kernel does not speak ${expected.backend}`)];
  return [...legs, { path: KERNEL, address: inside, ...(await over(KERNEL_PATH_MARK)) }];
}

interface Measured {
  readonly answer: PingAnswer;
  readonly mtu: number | null;
}

async function measure(address: string, guess: number, options: LegOptions, mark?: number): Promise<Measured> {
  const marked = mark === undefined ? {} : { mark };
  const answer = await ping(address, { count: options.count, intervalSeconds: INTERVAL_SECONDS, ...marked });
  if (!options.mtu || answer.received === 0) return { answer, mtu: null };
  return { answer, mtu: await searchMtu(address, { least: LEAST_BYTES, most: MOST_BYTES, guess, ...marked }) };
}

/** The same, and who carried. */
async function watched(
  address: string,
  { backend }: Expectation,
  { dataplaneSocket }: LegOptions,
  run: () => Promise<Measured>,
): Promise<Measured & Pick<Leg, "out" | "back">> {
  // The device counts what the kernel itself carries; the TUN of `udp` belongs to the data plane, and counts all.
  const device = backend === "udp" ? null : await deviceTowards(address);
  const count = async () => {
    const { counters } = await patiently(dataplaneSocket);
    const kernel = device === null ? NOTHING : await deviceCounts(device);
    return {
      kernel,
      plane: { out: Number(counters?.encap.rxPackets ?? 0), back: Number(counters?.decap.txPackets ?? 0) },
    };
  };
  const before = await count();
  const measured = await run();
  const { sent, received } = measured.answer;
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const after = await count();
    const carrier = (way: "out" | "back", packets: number) =>
      carrierOf(packets, after.kernel[way] - before.kernel[way], after.plane[way] - before.plane[way]);
    const [out, back] = [carrier("out", sent), received === 0 ? null : carrier("back", received)];
    if ((out !== null && (back !== null || received === 0)) || performance.now() > deadline)
      return { ...measured, out, back };
    await setTimeout(LOOK_MS);
  }
}

async function patiently(socket: string): Promise<DataplaneStatus> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const answer = await askDataplane(socket);
    if (answer.state !== "silent" || performance.now() > deadline) return answer;
    await setTimeout(LOOK_MS);
  }
}

/** Of `packets` or more, by what each counted meanwhile; traffic of others may be among it. A few of the kernel's are its own. */
export function carrierOf(packets: number, kernel: number, plane: number): Carrier | null {
  if (kernel >= packets) return "kernel";
  if (kernel + plane < packets) return null;
  return kernel > packets / 10 ? "user space and kernel" : "user space";
}

/** What it was given, sent or not, and what it received. */
async function deviceCounts(device: string): Promise<typeof NOTHING> {
  const lines = (await readFile("/proc/net/dev", "utf8")).split("\n").map((line) => line.trim().split(/:?\s+/));
  const [, ...fields] = lines.find(([name]) => name === device) ?? [];
  const [rxPackets = 0, txPackets = 0, txErrors = 0, txDropped = 0] = [1, 9, 10, 11].map((at) =>
    Number(fields[at] ?? 0),
  );
  return { out: txPackets + txErrors + txDropped, back: rxPackets };
}
