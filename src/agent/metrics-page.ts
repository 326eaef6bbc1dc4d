// /metrics: what the agent knows of itself and what the data plane answers at this moment. Names are public; docs/metrics.md is
// made from METRICS, and a test compares. Costs the same with 5,000 peers as with five: there is no series per peer.
import { monitorEventLoopDelay, type IntervalHistogram } from "node:perf_hooks";
import type { Inspection, QueueReport } from "../dataplane/binding.js";
import { type Counters, LANE_NAMES, type LaneCounters } from "../dataplane/counters.js";
import type { HistogramReading } from "../lib/histogram.js";
import { type Labels, type MetricKind, MetricsText } from "../observe/metrics-text.js";
import type { DataplaneStatus } from "./node-status.js";
import type { SessionWork } from "./session.js";
import type { AgentOverview } from "./status.js";

/** Name without prefix, kind, help. */
export const METRICS = {
  build_info: ["gauge", "Always 1; the labels say which program this is."],
  ready: ["gauge", "1 once subnet.env has been written."],
  degraded: ["gauge", "1 while something is wrong; `ripstop status` says what."],
  peers: ["gauge", "Peers in the newest table."],
  leases_refused: ["gauge", "Leases of other nodes that cannot be used."],
  leases_contested: ["gauge", "Leases of other nodes that are used, though others claim the same VTEP MAC."],
  kernel_failures: ["gauge", "Kernel objects that could not be made in the last pass."],
  reconcile_duration_seconds: ["histogram", "What passes over the kernel's objects took."],
  tunnel_guard_up: ["gauge", "1 while the rules that keep pods from the overlay's UDP port are there."],
  tunnel_guard_drops_total: [
    "counter",
    "Tunnel packets that pods made and the rules dropped, by the node they were for; as of the last look.",
  ],
  netlink_overruns_total: [
    "counter",
    "How often the kernel had more events than could be heard; everything is compared then.",
  ],
  lease_expiry_seconds: ["gauge", "Until this node's lease runs out; absent where leases do not."],
  datastore_up: ["gauge", "1 while the store answers."],
  datastore_last_sync_seconds: ["gauge", "Since the last complete list of leases."],
  watch_resyncs_total: [
    "counter",
    "Complete lists after the first: a watch broke, or it was time; absent where there is no watch.",
  ],
  dataplane_wanted: ["gauge", "1 where packets are to be carried in user space."],
  dataplane_up: ["gauge", "1 while the user-space data plane carries packets; the kernel path carries otherwise."],
  dataplane_restarts_total: ["counter", "Data-plane processes started after one had run, by this agent."],
  dataplane_heartbeat_age_seconds: ["gauge", "Since the workers' last sign of life."],
  dataplane_table_peers: ["gauge", "Peers in the table that the data plane works with."],
  dataplane_frames_free: ["gauge", "Frames of the workers' pools that are not in use."],
  dataplane_frames: ["gauge", "All frames of the workers' pools."],
  dataplane_rx_packets_total: ["counter", "Wire packets received, by direction and queue."],
  dataplane_rx_bytes_total: ["counter", "Bytes received, by direction and queue."],
  dataplane_rx_batches_total: ["counter", "Bursts received, by direction and queue; packets per burst is batch fill."],
  dataplane_tx_packets_total: ["counter", "Wire packets sent, by direction and queue."],
  dataplane_tx_bytes_total: ["counter", "Bytes sent, by direction and queue."],
  dataplane_punts_total: ["counter", "Wire packets handed to the kernel's own path."],
  dataplane_replies_total: ["counter", "Wire packets answered with ICMP instead of being forwarded."],
  dataplane_drops_total: ["counter", "Wire packets dropped, by direction and reason (docs/drop-reasons.md)."],
  dataplane_port_info: ["gauge", "Always 1; which port was chosen on which side."],
  dataplane_port_kernel_drops_total: ["counter", "Frames the kernel dropped before a port could read them."],
  xsk_mode: ["gauge", "Always 1; in which mode each queue of an AF_XDP port runs. Absent for other ports."],
  xsk_ring_frames: [
    "gauge",
    "Frames in a ring of such a queue: received and unread, free to receive into, to be sent.",
  ],
  log_lines_suppressed_total: ["counter", "Log lines left out because there were too many."],
  eventloop_lag_seconds: ["gauge", "How late the agent's event loop runs, since the last scrape."],
  process_cpu_seconds_total: ["counter", "CPU time of the agent."],
  process_resident_memory_bytes: ["gauge", "Memory of the agent."],
  process_start_time_seconds: ["gauge", "When the agent started, in seconds since 1970."],
} as const satisfies Readonly<Record<string, readonly [MetricKind, string]>>;
export type MetricName = keyof typeof METRICS;

/** Event-loop delay is sampled this often; the cost of a sample is a timer. */
const LAG_RESOLUTION_MS = 100;

export interface MetricsSources {
  readonly overview: () => AgentOverview;
  /** Answers within its own deadline; a silent data plane is a value. */
  readonly dataplane: () => Promise<DataplaneStatus>;
  /** Seconds; null: never, or nobody knows. */
  readonly leaseExpiry: () => number | null;
  readonly suppressedLogLines: () => number;
  readonly work: () => SessionWork;
}

export class MetricsPage {
  readonly #sources: MetricsSources;
  readonly #lag: IntervalHistogram = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });

  constructor(sources: MetricsSources) {
    this.#sources = sources;
    this.#lag.enable();
  }

  stop(): void {
    this.#lag.disable();
  }

  async body(): Promise<string> {
    const text = new MetricsText();
    const write: Writer = (name, samples) => {
      const [kind, help] = METRICS[name];
      if ("bounds" in samples) text.histogram(`ripstop_${name}`, help, samples);
      else text.family(`ripstop_${name}`, kind, help, samples);
    };
    const dataplane = await this.#sources.dataplane();
    this.#agent(write);
    writeDataplane(write, dataplane);
    this.#process(write);
    return text.toString();
  }

  #agent(write: Writer): void {
    const overview = this.#sources.overview();
    const { store, dataplane } = overview;
    const version = { version: overview.version, node: process.versions.node };
    write("build_info", [[1, version]]);
    write("ready", [[overview.condition === "starting" ? 0 : 1]]);
    write("degraded", [[overview.condition === "degraded" ? 1 : 0]]);
    write("peers", [[overview.peerCount]]);
    write("leases_refused", [[overview.refused.length]]);
    write("leases_contested", [[overview.contested.length]]);
    write("kernel_failures", [[overview.kernelFailures.length]]);
    const { passes, overruns } = this.#sources.work();
    if (passes !== null) write("reconcile_duration_seconds", passes);
    write("netlink_overruns_total", [[overruns]]);
    const { guard } = overview;
    write("tunnel_guard_up", [[guard === null ? null : guard.problem === null ? 1 : 0]]);
    write("tunnel_guard_drops_total", [
      [guard?.dropped.ownNode ?? null, { to: "own_node" }],
      [guard?.dropped.otherNodes ?? null, { to: "other_nodes" }],
    ]);
    write("lease_expiry_seconds", [[this.#sources.leaseExpiry()]]);
    write("datastore_up", [[store.connected ? 1 : 0, { kind: store.kind }]]);
    write("datastore_last_sync_seconds", [[store.lastSyncAgeMs === null ? null : store.lastSyncAgeMs / 1000]]);
    write("watch_resyncs_total", [[store.resyncs ?? null]]);
    write("dataplane_wanted", [[dataplane.phase === "off" ? 0 : 1]]);
    write("dataplane_restarts_total", [[dataplane.restarts]]);
    write("log_lines_suppressed_total", [[this.#sources.suppressedLogLines()]]);
  }

  #process(write: Writer): void {
    const { user, system } = process.cpuUsage();
    const seconds = (ns: number) => (this.#lag.count === 0 ? 0 : Math.max(0, ns / 1e9 - LAG_RESOLUTION_MS / 1e3));
    write("eventloop_lag_seconds", [
      [seconds(this.#lag.percentile(50)), { percentile: "50" }],
      [seconds(this.#lag.percentile(99)), { percentile: "99" }],
    ]);
    this.#lag.reset();
    write("process_cpu_seconds_total", [[(user + system) / 1e6]]);
    write("process_resident_memory_bytes", [[process.memoryUsage.rss()]]);
    write("process_start_time_seconds", [[Math.round(Date.now() / 1000 - process.uptime())]]);
  }
}

type Sample = readonly [number | bigint | null, Labels?];
type Writer = (name: MetricName, samples: Iterable<Sample> | HistogramReading) => void;

function writeDataplane(write: Writer, { state, inspection, counters, workerCounters }: DataplaneStatus): void {
  write("dataplane_up", [[state === "running" && inspection?.running === true ? 1 : 0]]);
  if (inspection !== null) {
    write("dataplane_heartbeat_age_seconds", [[inspection.heartbeatAgeMs / 1000]]);
    write("dataplane_table_peers", [[inspection.peers]]);
    write("dataplane_frames_free", [[inspection.framesFree]]);
    write("dataplane_frames", [[inspection.framesTotal]]);
    const { ports } = inspection;
    write(
      "dataplane_port_info",
      ports.map(({ side, kind, description }) => [1, { side, kind, mode: description }] as const),
    );
    write(
      "dataplane_port_kernel_drops_total",
      ports.map(({ side, kind, rxKernelDrops }) => [rxKernelDrops, { side, kind }] as const),
    );
  }
  if (inspection !== null) writeRings(write, inspection);
  if (counters !== null) writeCounters(write, counters, workerCounters ?? []);
}

function writeRings(write: Writer, { perWorker }: Inspection): void {
  const queues = perWorker.flatMap(({ ports }) => ports.flatMap((port) => port.queues));
  const labels = ({ device, id }: QueueReport) => ({ iface: device, queue: `${id}` });
  write(
    "xsk_mode",
    queues.map((queue): Sample => [1, { ...labels(queue), mode: queue.mode }]),
  );
  write(
    "xsk_ring_frames",
    queues.flatMap((queue): Sample[] => [
      [queue.rxWaiting, { ...labels(queue), ring: "rx" }],
      [queue.rxFree, { ...labels(queue), ring: "fill" }],
      [queue.txWaiting, { ...labels(queue), ring: "tx" }],
    ]),
  );
}

/** `queue` is the worker: each has one queue of every port, or its share of a device's. */
function writeCounters(write: Writer, counters: Counters, workers: readonly Counters[]): void {
  const perQueue = (name: MetricName, read: (lane: LaneCounters) => bigint): void =>
    write(
      name,
      workers.flatMap((worker, queue) =>
        LANE_NAMES.map((direction): Sample => [read(worker[direction]), { direction, queue: `${queue}` }]),
      ),
    );
  const perLane = (name: MetricName, read: (lane: LaneCounters) => bigint): void =>
    write(
      name,
      LANE_NAMES.map((direction) => [read(counters[direction]), { direction }] as const),
    );
  perQueue("dataplane_rx_packets_total", ({ rxPackets }) => rxPackets);
  perQueue("dataplane_rx_bytes_total", ({ rxBytes }) => rxBytes);
  perQueue("dataplane_rx_batches_total", ({ rxBatches }) => rxBatches);
  perQueue("dataplane_tx_packets_total", ({ txPackets }) => txPackets);
  perQueue("dataplane_tx_bytes_total", ({ txBytes }) => txBytes);
  perLane("dataplane_punts_total", ({ punts }) => punts);
  perLane("dataplane_replies_total", ({ replies }) => replies);
  write(
    "dataplane_drops_total",
    LANE_NAMES.flatMap((direction) =>
      Object.entries(counters[direction].drops).map(([reason, count]) => [count, { direction, reason }] as const),
    ),
  );
}
