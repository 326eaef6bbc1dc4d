// One round of measurements on one path: latency, one TCP stream, small UDP packets at a set rate and as many as go.
import type { Ends } from "../ends.js";
import { cpuUse, sampleCpu } from "../traffic/cpu.js";
import { runIperfTcp } from "../traffic/iperf.js";
import { PingRun } from "../traffic/ping.js";
import { runUdpLoad } from "../traffic/udp-load.js";

export const UDP_SIZE = 64;
export const UDP_RATE = 20_000;
export const UDP_FLOWS = 16;
const UDP_MS = 500;
const TCP_SECONDS = 1;
const PINGS = 40;

export interface Measurement {
  readonly tcpGbps: number;
  readonly pingUs: number;
  /** At UDP_RATE. */
  readonly pacedLossShare: number;
  /** Cores busy in the whole machine at UDP_RATE, generator and sink included. */
  readonly pacedCores: number;
  /** Delivered when the sender sends as fast as it can. */
  readonly floodKpps: number;
  readonly floodLossShare: number;
}

export async function measure(ends: Ends, signal: AbortSignal): Promise<Measurement> {
  signal.throwIfAborted();
  const ping = await new PingRun({ from: ends.from, address: ends.address, count: PINGS, intervalMs: 5 }).result();
  const tcp = await runIperfTcp({ ...ends, seconds: TCP_SECONDS, signal });
  const load = { ...ends, size: UDP_SIZE, flows: UDP_FLOWS, milliseconds: UDP_MS, signal };
  const before = await sampleCpu();
  const paced = await runUdpLoad({ ...load, rate: UDP_RATE });
  const cpu = cpuUse(before, await sampleCpu());
  const flood = await runUdpLoad({ ...load, rate: 0 });
  return {
    tcpGbps: tcp.bitsPerSecond / 1e9,
    pingUs: ping.medianUs,
    pacedLossShare: paced.lost / Math.max(1, paced.sender.sent),
    pacedCores: cpu.busy,
    floodKpps: flood.sink.unique / flood.sender.seconds / 1000,
    floodLossShare: flood.lost / Math.max(1, flood.sender.sent),
  };
}
