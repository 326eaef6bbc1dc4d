// What a data-plane process holds in memory at rest, with 10,000 peers and the default umem.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseMac } from "../../src/addr/mac.js";
import { parsePrefix4 } from "../../src/addr/prefix.js";
import { encodePeerTable } from "../../src/dataplane/codec.js";
import type { NextHop, Peer } from "../../src/dataplane/peer-table.js";
import type { LabNode } from "../../src/lab/plan.js";
import { HandDrivenPlane, type PortChoice } from "../support/hand-driven-plane.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

const PEERS = 10_000;
const RSS_MAX_MIB = 96;

const CASES = [
  { name: "one AF_XDP queue", cableQueues: 1, choice: { underlayPort: "xdp", disable: [] } },
  { name: "two AF_XDP queues", cableQueues: 2, choice: { underlayPort: "xdp", disable: [] } },
  {
    name: "two AF_XDP queues below and one above",
    cableQueues: 2,
    choice: { overlayPort: "xdp", underlayPort: "xdp", disable: [] },
  },
] as const satisfies ReadonlyArray<{ name: string; cableQueues: number; choice: PortChoice }>;

for (const { name, cableQueues, choice } of CASES) {
  test(
    `a data plane with ${PEERS} peers and the umem of ${name} rests in ${RSS_MAX_MIB} MiB`,
    {
      skip: rootNeeded,
    },
    (t) => restsWithin(t, cableQueues, choice),
  );
}

async function restsWithin(t: TestContext, cableQueues: number, choice: PortChoice): Promise<void> {
  await withLab({ kernelPeers: [1, 2], cableQueues }, async (plan) => {
    const [node] = plan.nodes as readonly [LabNode, ...LabNode[]];
    const plane = await HandDrivenPlane.start(plan, node, choice);
    try {
      await plane.client.apply(bigTable());
      const { peers, ports } = await plane.client.inspect();
      assert.equal(peers, PEERS);
      const underlay = ports.find(({ side }) => side === "underlay");
      assert.match(underlay?.description ?? "", new RegExp(`AF_XDP .* ${cableQueues} queue`));
      // At rest: what the table came in is given back when the collector has had its turn.
      await until(`${RSS_MAX_MIB} MiB`, () => residentMebibytes(plane.pid) <= RSS_MAX_MIB).catch(() => undefined);
      const mebibytes = residentMebibytes(plane.pid);
      t.diagnostic(`${mebibytes.toFixed(1)} MiB resident`);
      assert.ok(mebibytes > 16, "the umem is locked, so it is resident");
      assert.ok(mebibytes <= RSS_MAX_MIB, `${mebibytes.toFixed(1)} MiB resident, at most ${RSS_MAX_MIB}`);
    } finally {
      await plane.stop();
    }
  });
}

function residentMebibytes(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) / 1024;
}

function bigTable(): Uint8Array {
  const peers: Peer[] = [];
  const hops = new Map<number, NextHop>();
  for (let id = 1; id <= PEERS; id++) {
    const [high, low] = [id >> 8, id & 255];
    peers.push({
      id,
      leaseKey: `peer ${id}`,
      prefix: parsePrefix4(`10.${64 + high}.${low}.0/24`)!,
      underlay: { family: 4, address: parseIpv4(`172.16.${high}.${low}`)! },
      vtepMac: parseMac(`02:00:00:01:${hex(high)}:${hex(low)}`),
      direct: false,
    });
    hops.set(id, { mac: parseMac("02:00:00:00:00:01")!, pathMtu: 1500 });
  }
  const local = {
    prefixes: [parsePrefix4("10.244.1.0/24")!],
    underlayV4: parseIpv4("192.0.2.1"),
    underlayV6: null,
    underlayMac: parseMac("02:00:00:00:00:02"),
    vtepMac: parseMac("02:00:00:00:00:03"),
    overlayMtu: 1450,
  };
  return encodePeerTable({ version: 2n, local, peers }, hops);
}

const hex = (byte: number): string => byte.toString(16).padStart(2, "0");
