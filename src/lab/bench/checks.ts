// Before any figure: every path delivers what was sent, unchanged, and our nodes understand a kernel VXLAN peer. A rival
// that damages a byte is not fast, it is broken, and the bench ends there.
import { RipstopError } from "../../lib/errors.js";
import { type Ends, endsBack, endsOf } from "../ends.js";
import { labDown, labUp } from "../lab.js";
import { DEFAULT_OPTIONS } from "../plan.js";
import { runTcpCheck } from "../traffic/tcp-check.js";
import { runUdpLoad } from "../traffic/udp-load.js";
import type { BenchResult } from "./result.js";
import { type Rig, type RigContext, rigContext } from "./rig.js";

const MEBIBYTES = 16;
const PACKETS = 4000;
const RATE = 10_000;

export type Check = BenchResult["checks"][number];

export async function checkPayload(rig: Rig, signal: AbortSignal): Promise<Check> {
  const [tcpOut, udpOut] = await carry(rig.rival, rig.forward, signal);
  const [tcpBack, udpBack] = await carry(rig.rival, rig.backward, signal);
  const detail = `${(tcpOut + tcpBack) / 2 ** 20} MiB of TCP compared, ${udpOut + udpBack} sealed UDP packets whole`;
  return { what: `payload, ${rig.rival}`, detail };
}

/** One of our nodes and one with nothing but the kernel's VXLAN device, both ways. */
export async function checkInterop(context: RigContext): Promise<Check> {
  context.report("checking interoperation with a kernel VXLAN peer");
  const own = rigContext(context, "interop");
  try {
    const options = { ...DEFAULT_OPTIONS, prefix: own.prefix, kernelPeers: [2] };
    const plan = await labUp(options, own);
    const [there, back] = [await endsOfPeer(plan), await endsBack(plan)];
    const [tcpOut, udpOut] = await carry("interop", there, context.signal);
    const [tcpBack, udpBack] = await carry("interop", back, context.signal);
    const detail = `${(tcpOut + tcpBack) / 2 ** 20} MiB of TCP compared, ${udpOut + udpBack} sealed UDP packets whole`;
    return { what: "interoperation with a kernel VXLAN peer", detail };
  } finally {
    await labDown(own);
  }
}

/** A kernel peer writes no subnet file; its pod's address is known. */
async function endsOfPeer(plan: Awaited<ReturnType<typeof labUp>>): Promise<Ends> {
  const back = await endsOf({ ...plan, nodes: plan.nodes.toReversed() });
  return { from: back.to, to: back.from, address: "10.244.2.2" };
}

async function carry(rival: string, ends: Ends, signal: AbortSignal): Promise<[number, number]> {
  const { bytes } = await runTcpCheck({ ...ends, mebibytes: MEBIBYTES });
  const { sender, sink } = await runUdpLoad({ ...ends, rate: RATE, packets: PACKETS, flows: 16, signal });
  const { corrupt, foreign, duplicates } = sink;
  if (corrupt + foreign + duplicates > 0 || sink.unique === 0) {
    throw new RipstopError(
      "BENCH_DAMAGED",
      `${rival} damaged packets from ${ends.from} to ${ends.to}: of ${sender.sent}, ${sink.unique} arrived, ${corrupt} corrupt, ${foreign} foreign, ${duplicates} doubled; no figures are taken of a broken path`,
    );
  }
  return [bytes, sink.unique];
}
