// What happens to the underlay of a running node: link down and up, another MTU, another address, device deleted and made again.
// Pods must reach each other again within a second of the repair, by the address that the node has then, and rounds of it must leave
// nothing behind on either node.
//   p1 - n1 (agent, data plane) - switch - n2 (agent, data plane) - p2
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { agentName } from "../../src/lab/agent-node.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { linkNames } from "../../src/lab/links.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { connectNode } from "../../src/lab/underlay.js";
import { waitFor } from "../../src/lab/wait.js";
import { bpfAttachments } from "../support/bpf-objects.js";
import { rootNeeded, withLab } from "../support/lab.js";

const ROUNDS = Number(process.env["RIPSTOP_UNDERLAY_ROUNDS"] ?? "2");
const LONG = process.env["RIPSTOP_UNDERLAY_ROUNDS"] !== undefined;
/** On a machine that does other things, too, a second is no measure. */
const BACK_MS = LONG ? 1_000 : 5_000;
const GROWTH_MIB = { agent: 24, plane: 8 };

test("pods reach each other within a second of every repair of the underlay, and nothing is left behind", {
  skip: rootNeeded,
}, async (context) => {
  await withLab({ dataplane: "userspace" }, async (plan) => {
    const [one, two] = plan.nodes as readonly [LabNode, LabNode];
    const runner = new Runner();
    const node = (...commands: string[]) => runner.ip(one.namespace, commands);
    const address = await addressOf(two);
    const route = `route replace default via ${plan.gateway} dev eth0`;
    const moved = one.underlay.replace(/\.1$/, ".101");
    const length = plan.underlayPrefixLength;
    const faults: ReadonlyArray<readonly [what: string, harm: () => Promise<void>]> = [
      ["link down and up", async () => node("link set eth0 down", "link set eth0 up", route)],
      ["MTU 1400", async () => node("link set eth0 mtu 1400")],
      ["MTU 1500", async () => node("link set eth0 mtu 1500")],
      [
        "another address",
        async () =>
          node(`address delete ${one.underlay}/${length} dev eth0`, `address add ${moved}/${length} dev eth0`, route),
      ],
      [
        "the address back",
        async () =>
          node(`address delete ${moved}/${length} dev eth0`, `address add ${one.underlay}/${length} dev eth0`, route),
      ],
      [
        "device deleted and made again",
        async () => {
          await node("link delete eth0");
          await connectNode(runner, plan, one);
        },
      ],
    ];
    let before: readonly Resources[] | null = null;
    const took = new Map<string, number[]>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [what, harm] of faults) {
        await harm();
        const begin = performance.now();
        const there = what === "another address" ? moved : one.underlay;
        const works = async () => (await sendsTo(runner, two, there)) && (await answers(runner, one, address));
        await waitFor(`answers after: ${what}`, async () => (await works()) || null, { timeoutMs: 30_000, everyMs: 5 });
        took.set(what, [...(took.get(what) ?? []), performance.now() - begin]);
        await waitFor(`the data plane after: ${what}`, async () => ((await runningPlane(one)) !== null ? true : null), {
          timeoutMs: 30_000,
        });
      }
      // The first rounds fill caches.
      if (round === 0) before = await Promise.all(plan.nodes.map((at) => restingResources(plan, at)));
    }
    const least = before ?? assert.fail("at least one round");
    const after = await Promise.all(plan.nodes.map((at, i) => sameResources(plan, at, least[i] as Resources)));
    for (const [what, times] of took) {
      const sorted = times.toSorted((a, b) => a - b);
      const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]?.toFixed(0);
      context.diagnostic(
        `${what}: answers after ${[0, 0.5, 0.9, 0.99, 1].map(at).join(" / ")} ms (min / p50 / p90 / p99 / max)`,
      );
    }
    context.diagnostic(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
    for (const [i, { memory: grown }] of after.entries()) {
      for (const process of ["agent", "plane"] as const) {
        const mib = grown[process] - (least[i] as Resources).memory[process];
        assert.ok(mib <= GROWTH_MIB[process], `the ${process} of node ${i + 1} grew by ${mib} MiB`);
      }
    }
    for (const [what, times] of took) assert.ok(Math.max(...times) <= BACK_MS, `${what}: ${Math.max(...times)} ms`);
  });
});

interface Resources {
  readonly links: string;
  /** Programs at the node's devices. */
  readonly attached: string;
  readonly agentDescriptors: number;
  /** Of the data plane, by kind: BPF objects, devices, timers. */
  readonly planeDescriptors: string;
  /** In the node's namespace, by family. */
  readonly sockets: string;
  /** Resident, in MiB. */
  readonly memory: { readonly agent: number; readonly plane: number };
}

const withoutMemory = (seen: Resources) => JSON.stringify({ ...seen, memory: null });

/** Once so many looks in a row agree: successions, and connections of the last inspection, end in their own time. */
const LOOKS = 5;

async function restingResources(plan: LabPlan, node: LabNode): Promise<Resources> {
  let last = "";
  let agreed = 0;
  const look = async () => {
    const seen = await resources(plan, node);
    if (seen === null) return null;
    agreed = withoutMemory(seen) === last ? agreed + 1 : 1;
    last = withoutMemory(seen);
    return agreed === LOOKS ? seen : null;
  };
  const explain = async () => `${planesOf(node)} data planes, last ${last}`;
  return waitFor(`resources of ${node.namespace} at rest`, look, { timeoutMs: 30_000, everyMs: 200, explain });
}

async function sameResources(plan: LabPlan, node: LabNode, before: Resources): Promise<Resources> {
  let last: Resources | null = null;
  const look = async () => {
    last = await resources(plan, node);
    return last !== null && withoutMemory(last) === withoutMemory(before) ? last : null;
  };
  const explain = async () =>
    `${planesOf(node)} data planes; before ${withoutMemory(before)}, now ${JSON.stringify(last)}`;
  const what = `${node.namespace} to have what it had before`;
  return waitFor(what, look, { timeoutMs: 30_000, everyMs: 200, explain });
}

async function resources(plan: LabPlan, node: LabNode): Promise<Resources | null> {
  const agent = (await findDaemon(plan.directory, agentName(node))) ?? assert.fail("an agent");
  const plane = await runningPlane(node);
  if (plane === null || planesOf(node) !== 1) return null;
  const links = [...(await linkNames(new Runner(), node.namespace))].map((name) =>
    name.replace(/^(rs[ou]\.\d+)b$/, "$1"),
  );
  return {
    links: links.sort().join(" "),
    attached: bpfAttachments(node.namespace)
      .replace(/(rs[ou]\.\d+)b"/g, '$1"')
      .replace(/_?id":\d+|index":\d+/g, ""),
    agentDescriptors: readdirSync(`/proc/${agent.pid}/fd`).length,
    planeDescriptors: descriptorKinds(plane.pid),
    sockets: socketsSeenBy(agent.pid),
    memory: { agent: residentMib(agent.pid), plane: residentMib(plane.pid) },
  };
}

function planesOf(node: LabNode): number {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isPlaneOf(pid, node)).length;
}

function residentMib(pid: number): number {
  return Math.round(Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
}

function socketsSeenBy(pid: number): string {
  const lines = (table: string) => readFileSync(`/proc/${pid}/net/${table}`, "utf8").trim().split("\n").length - 1;
  return ["udp", "udp6", "raw", "raw6", "tcp", "packet", "netlink", "unix"]
    .map((table) => `${lines(table)} ${table}`)
    .join(", ");
}

function descriptorKinds(pid: number): string {
  const kinds = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      // Whoever looks is connected for a moment.
      return target.startsWith("socket:") ? [] : [target.replace(/[0-9]+/g, "").replace(/(rs[ou])\.b?\//, "$1/")];
    } catch {
      return [];
    }
  });
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts]
    .map(([kind, count]) => `${count} ${kind}`)
    .sort()
    .join(", ");
}

function isPlaneOf(pid: string, node: LabNode): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`dataplane\0--socket\0${node.directory}/`);
  } catch {
    return false;
  }
}

async function answers(runner: Runner, node: LabNode, address: string): Promise<boolean> {
  return (await runner.runIn(node.pod, "ping", ["-n", "-c", "1", "-W", "0.05", address])).code === 0;
}

/** The node has its peer at this address. */
async function sendsTo(runner: Runner, node: LabNode, address: string): Promise<boolean> {
  const { stdout } = await runner.runIn(node.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"]);
  return stdout.includes(` dst ${address} `);
}

async function addressOf(node: LabNode): Promise<string> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has a subnet`);
  return podAddress(subnet);
}
