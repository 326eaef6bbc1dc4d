// What is sent: each workload runs once on one rig and returns its figures. CPU is sampled around it by the caller.
import { runIperfTcp } from "../traffic/iperf.js";
import { type RequestLoadOptions, runRequestLoad } from "../traffic/request-load.js";
import { runUdpLoad } from "../traffic/udp-load.js";
import type { Rig } from "./rig.js";
import { lossOf, RateSearch } from "./search-rate.js";

export interface Measured {
  readonly values: Readonly<Record<string, number>>;
  readonly curve?: ReadonlyArray<readonly [number, number]>;
}

/** How long things take, and what earlier trials found out. */
export interface Pace {
  readonly tcpSeconds: number;
  readonly probeMs: number;
  readonly steadyMs: number;
  readonly requestMs: number;
  /** Packets a second of the steady workload, the same for every rival. */
  steadyRate: number;
  /** Where a search begins: the last answer of the same rival and workload. */
  readonly starts: Map<string, number>;
}

export interface Workload {
  readonly id: string;
  readonly title: string;
  /** Also run on the null path, whose cost is subtracted. */
  readonly onNullPath?: true;
  run(rig: Rig, pace: Pace, signal: AbortSignal): Promise<Measured>;
}

const SMALL = { size: 64, flows: 16 } as const;
const LOADED_RATE = 20_000;
const MIX_RATE = 10_000;
const START_RATE = 60_000;
/** The search whose answer sets the steady rate. */
export const SMALL_SEARCH = "udp-64-16";

function tcp(streams: number, reverse: boolean): Workload {
  const way = reverse ? "back" : "out";
  return {
    id: `tcp-${streams}${reverse ? "-back" : ""}`,
    title: `TCP, ${streams} stream${streams === 1 ? "" : "s"}, ${way}`,
    async run(rig, pace, signal) {
      const result = await runIperfTcp({ ...rig.forward, seconds: pace.tcpSeconds, streams, reverse, signal });
      return { values: { gbps: result.bitsPerSecond / 1e9, retransmits: result.retransmits } };
    },
  };
}

function udpSearch(id: string, title: string, load: { size: number; flows: number; segments?: number }): Workload {
  return {
    id,
    title,
    async run(rig, pace, signal) {
      const key = `${rig.rival} ${id}`;
      const search = new RateSearch({ start: pace.starts.get(key) ?? START_RATE });
      let [corrupt, reordered, sent] = [0, 0, 0];
      for (let rate = search.next(); rate !== null; rate = search.next()) {
        const result = await runUdpLoad({ ...rig.forward, ...load, rate, milliseconds: pace.probeMs, signal });
        const { sender, sink } = result;
        corrupt += sink.corrupt;
        reordered += sink.reordered;
        sent += sender.sent;
        const delivered = sink.unique / sender.seconds;
        search.report({ asked: rate, offered: sender.rate, delivered, sent: sender.sent, lost: result.lost });
      }
      if (search.littleLoss > 0) pace.starts.set(key, search.littleLoss);
      const curve = search.points.map((point) => [point.offered, lossOf(point)] as const);
      return {
        values: {
          kpps: search.littleLoss / 1000,
          kppsNoLoss: search.noLoss / 1000,
          corrupt,
          reorderedShare: reordered / Math.max(1, sent),
        },
        curve: curve.toSorted((a, b) => a[0] - b[0]),
      };
    },
  };
}

function requests(protocol: RequestLoadOptions["protocol"], loaded: boolean): Workload {
  const name = protocol === "connect" ? "TCP connections" : `${protocol.toUpperCase()} request/response`;
  return {
    id: `rr-${protocol}${loaded ? "-loaded" : ""}`,
    title: loaded ? `${name}, beside ${LOADED_RATE / 1000} kpps of UDP` : name,
    async run(rig, pace, signal) {
      const milliseconds = pace.requestMs;
      const ask = runRequestLoad({ ...rig.forward, protocol, milliseconds, signal });
      const beside = loaded
        ? runUdpLoad({ ...rig.forward, ...SMALL, rate: LOADED_RATE, milliseconds: milliseconds + 200, signal })
        : null;
      const [answer, load] = await Promise.all([ask, beside]);
      const { p50, p90, p99, p999, max, rate, failed } = answer;
      const lossShare = load === null ? {} : { lossShare: load.lost / Math.max(1, load.sender.sent) };
      return { values: { p50, p90, p99, p999, max, rate, failed, ...lossShare }, curve: answer.quantiles };
    },
  };
}

const steady: Workload = {
  id: "steady",
  title: "64 B UDP, 16 flows, at half of kernel VXLAN's rate",
  onNullPath: true,
  async run(rig, pace, signal) {
    const load = { ...rig.forward, ...SMALL, rate: pace.steadyRate, milliseconds: pace.steadyMs, signal };
    const { sender, sink, lost } = await runUdpLoad(load);
    const { p50, p99, p999 } = sink.latency_us;
    return {
      values: { pps: sender.rate, packets: sender.sent, lossShare: lost / Math.max(1, sender.sent), p50, p99, p999 },
    };
  },
};

const mix: Workload = {
  id: "mix",
  title: `one TCP stream out, ${MIX_RATE / 1000} kpps of 64 B UDP back`,
  async run(rig, pace, signal) {
    const milliseconds = pace.tcpSeconds * 1000;
    const [bulk, small] = await Promise.all([
      runIperfTcp({ ...rig.forward, seconds: pace.tcpSeconds, signal }),
      runUdpLoad({ ...rig.backward, ...SMALL, rate: MIX_RATE, milliseconds, signal }),
    ]);
    const { p50, p99 } = small.sink.latency_us;
    return {
      values: { gbps: bulk.bitsPerSecond / 1e9, lossShare: small.lost / Math.max(1, small.sender.sent), p50, p99 },
    };
  },
};

const udpSizes = [64, 512, 1400].flatMap((size) =>
  [1, 16, 1024].map((flows) =>
    udpSearch(`udp-${size}-${flows}`, `UDP, ${size} B, ${flows} flow${flows === 1 ? "" : "s"}`, { size, flows }),
  ),
);

/** In the order in which a trial runs them; the small-packet search comes before what follows from its answer. */
export const WORKLOADS: readonly Workload[] = [
  tcp(1, false),
  tcp(1, true),
  tcp(8, false),
  tcp(8, true),
  ...udpSizes,
  udpSearch("udp-gso", "UDP, 64 B, 1 flow, 16 packets a call (GSO)", { size: 64, flows: 1, segments: 16 }),
  steady,
  requests("tcp", false),
  requests("udp", false),
  requests("tcp", true),
  requests("udp", true),
  requests("connect", false),
  mix,
];
