// What the five calls of the border cost, and the codec that feeds one of them: tables of 1, 1,000 and 10,000 peers, counters,
// inspection. By the `benchmark` package, one thread. Opens a data plane of the udp format on `lo`, so it needs root and a
// network namespace of its own: unshare -n sh -c 'ip link set lo up; exec node dist/bench/micro/border.js [--json]'.
import Benchmark from "benchmark";
import type { Ipv4, Mac } from "../../src/addr/address.js";
import { encodePeerTable } from "../../src/dataplane/codec.js";
import { Dataplane } from "../../src/dataplane/dataplane.js";
import { loadNative } from "../../src/dataplane/native.js";
import type { Peer, PeerTable } from "../../src/dataplane/peer-table.js";

function peer(id: number): Peer {
  const prefix = { family: 4 as const, address: ((10 << 24) | (id << 8)) as Ipv4, length: 24 };
  const vtepMac = `02:00:00:${hex(id >> 16)}:${hex(id >> 8)}:${hex(id)}` as Mac;
  const underlay = { family: 4 as const, address: ((172 << 24) | (16 << 16) | id) as Ipv4 };
  return { id, leaseKey: `10.${id >> 8}.${id & 255}.0-24`, prefix, underlay, vtepMac, direct: false };
}

function hex(value: number): string {
  return (value & 255).toString(16).padStart(2, "0");
}

function table(peers: number): PeerTable {
  const [local, ...others] = Array.from({ length: peers + 1 }, (_, index) => peer(index + 1)) as [Peer, ...Peer[]];
  const underlayV4 = local.underlay.address as Ipv4;
  const { vtepMac, prefix } = local;
  return {
    version: 1n,
    local: { prefixes: [prefix], underlayV4, underlayV6: null, underlayMac: vtepMac, vtepMac, overlayMtu: 1472 },
    peers: others,
  };
}

const plane = Dataplane.open(loadNative(), {
  encapsulation: "udp",
  vni: 0,
  port: 8285,
  overlayDevice: "rsb-border0",
  overlayDeviceV6: "",
  underlayDevice: "lo",
  overlayPort: "auto",
  underlayPort: "auto",
  disable: [],
  checksumV4: true,
  workers: 1,
  busyPollUs: 0,
});

const rows: Record<string, () => unknown> = {
  "readCounters, raw": () => plane.rawCounters(),
  "readCounters, named": () => plane.counters(),
  inspect: () => plane.inspect(),
};
for (const peers of [1, 1000, 10_000]) {
  const desired = table(peers);
  const bytes = encodePeerTable(desired);
  rows[`encode ${peers} peers`] = () => encodePeerTable(desired);
  rows[`apply ${peers} peers`] = () => plane.apply(bytes);
}

const results: Array<{ row: string; microseconds: number; marginPercent: number; samples: number }> = [];
const suite = new Benchmark.Suite();
for (const [row, run] of Object.entries(rows)) suite.add(row, run, { minSamples: 20, maxTime: 1 });
suite.on("cycle", (event: Benchmark.Event) => {
  const { name = "", hz = 0, stats } = event.target;
  results.push({
    row: name,
    microseconds: Number((1e6 / hz).toPrecision(4)),
    marginPercent: Number((stats?.rme ?? 0).toFixed(1)),
    samples: stats?.sample.length ?? 0,
  });
});
suite.run();
if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify(results)}\n`);
else console.table(results);
plane.close();
