// What can happen to etcd, while a numbered stream runs between two nodes: it costs the stream nothing, no node loses a peer at
// any moment, and afterwards the nodes follow etcd again.
//   p1 - n1 (agent, data plane) - switch (etcd) - n2 (agent, data plane) - p2
// First: it waits a minute for silence to be noticed.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import type { AgentStatus } from "../../src/agent/status.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { labFiles } from "../../src/lab/plan.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { LabEtcd } from "../support/lab-etcd.js";

/** A black hole says nothing; silence has to be noticed within this. */
const NOTICED_MS = 30_000;
const RECOVERED_MS = 30_000;
const SUBNETS = "/coreos.com/network/subnets/";
const STRANGER = `${SUBNETS}10.244.200.0-24`;
const strangerValue = (publicIp: string) =>
  `{"PublicIP":"${publicIp}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:02:00"}}`;
/** The other node and the stranger, whose record nobody renews. */
const PEERS = 2;

interface Fault {
  readonly name: string;
  /** Whether the agents must notice that etcd is away. */
  readonly away: boolean;
  readonly strike: (etcd: LabEtcd) => Promise<void>;
  readonly mend: (etcd: LabEtcd) => Promise<void>;
}

let faults = 0;
const nothing = async (): Promise<void> => undefined;
const start = async (etcd: LabEtcd): Promise<void> => {
  etcd.start(0);
  await etcd.untilHealthy();
};

const ONE_MEMBER: readonly Fault[] = [
  {
    name: "etcd is stopped",
    away: true,
    strike: async (etcd) => etcd.signal(0, "SIGSTOP"),
    mend: async (etcd) => etcd.signal(0, "SIGCONT"),
  },
  { name: "etcd is killed", away: true, strike: (etcd) => etcd.kill(0), mend: start },
  {
    name: "packets to etcd are dropped, and the history is compacted meanwhile",
    away: true,
    strike: async (etcd) => {
      await etcd.cut();
      for (let i = 0; i < 3; i++) await etcd.ctl(["put", `${SUBNETS}note`, `${i}`]);
      const revision = /"Revision" : (\d+)|"revision":(\d+)/.exec(await etcd.ctl(["get", "x", "-w", "json"]));
      await etcd.ctl(["compact", revision?.[1] ?? revision?.[2] ?? "0"]);
      await etcd.ctl(["del", `${SUBNETS}note`]);
    },
    mend: (etcd) => etcd.heal(),
  },
  {
    name: "authentication is switched on, and the nodes have no password",
    away: true,
    strike: async (etcd) => {
      await etcd.ctl(["user", "add", "root:secret"]);
      await etcd.ctl(["user", "grant-role", "root", "root"]);
      await etcd.ctl(["auth", "enable"]);
      // Streams that are open stay open; a restart ends them.
      await etcd.kill(0);
      etcd.start(0);
    },
    mend: async (etcd) => {
      await etcd.untilHealthy(["--user=root:secret"]);
      await etcd.ctl(["--user=root:secret", "auth", "disable"]);
    },
  },
  {
    name: "the database is full",
    away: false,
    strike: async (etcd) => {
      const filled = async (): Promise<true | null> =>
        etcd.ctl(["put", "/filler", "x".repeat(2 ** 18)]).then(
          () => null,
          () => true,
        );
      await waitFor("the database to be full", filled, { timeoutMs: 60_000, everyMs: 1 });
    },
    mend: async (etcd) => {
      await etcd.ctl(["del", "/filler"]).catch(() => undefined);
      const revision = /"revision":(\d+)/.exec(await etcd.ctl(["get", "x", "-w", "json"]))?.[1] ?? "0";
      await etcd.ctl(["compact", revision]);
      await etcd.ctl(["defrag"]);
      await etcd.ctl(["alarm", "disarm"]);
    },
  },
  {
    name: "every lease is deleted",
    away: false,
    strike: async (etcd) => {
      await etcd.ctl(["del", "--prefix", SUBNETS]);
    },
    mend: async (etcd) => {
      const back = async () =>
        (await etcd.ctl(["get", "--prefix", "--keys-only", SUBNETS])).match(/subnets/g)?.length === 2;
      await waitFor("both leases to be back", async () => (await back()) || null, { timeoutMs: 30_000, everyMs: 50 });
    },
  },
  {
    name: "an old backup is restored, from before the nodes came",
    away: false,
    strike: (etcd) => etcd.restore(),
    mend: nothing,
  },
];

const THREE_MEMBERS: readonly Fault[] = [
  {
    name: "one of three members is killed",
    away: false,
    strike: (etcd) => etcd.kill(0),
    mend: start,
  },
  {
    name: "two of three members are stopped",
    away: true,
    strike: async (etcd) => {
      etcd.signal(1, "SIGSTOP");
      etcd.signal(2, "SIGSTOP");
    },
    mend: async (etcd) => {
      etcd.signal(1, "SIGCONT");
      etcd.signal(2, "SIGCONT");
      await etcd.untilHealthy();
    },
  },
];

test("whatever happens to the only etcd, traffic flows and no peer is lost", { skip: rootNeeded }, (context) =>
  withLab({ dataplane: "userspace" }, (plan) =>
    LabEtcd.with(plan, 1, async (etcd) => {
      await etcd.backup();
      await etcd.ctl(["put", STRANGER], strangerValue("198.18.0.200"));
      for (const fault of ONE_MEMBER) await suffer(fault, etcd, plan, context);
    }),
  ),
);

test(
  "whatever happens to one of three etcd members, or two, traffic flows and no peer is lost",
  {
    skip: rootNeeded,
  },
  (context) =>
    withLab({ dataplane: "userspace" }, (plan) =>
      LabEtcd.with(plan, 3, async (etcd) => {
        await etcd.ctl(["put", STRANGER], strangerValue("198.18.0.200"));
        for (const fault of THREE_MEMBERS) await suffer(fault, etcd, plan, context);
      }),
    ),
);

async function suffer(fault: Fault, etcd: LabEtcd, plan: LabPlan, context: TestContext): Promise<void> {
  const [one, other] = plan.nodes as readonly [LabNode, LabNode];
  for (const node of plan.nodes) await waitForPeers(node, PEERS, 30_000);
  const watch = watchPeers(plan);
  const traffic = await startTraffic(one, other);
  try {
    const began = performance.now();
    await fault.strike(etcd);
    if (fault.away) for (const node of plan.nodes) await untilConnected(node, false, NOTICED_MS);
    const noticed = fault.away ? `${(performance.now() - began).toFixed(0)} ms` : "-";
    await fault.mend(etcd);
    const mended = performance.now();
    for (const node of plan.nodes) await untilConnected(node, true, RECOVERED_MS);
    context.diagnostic(
      `${fault.name}: noticed ${noticed}, connected ${(performance.now() - mended).toFixed(0)} ms after`,
    );
    // Following again means that news arrives.
    const moved = `198.18.0.${1 + faults++}`;
    await etcd.ctl(["put", STRANGER], strangerValue(moved));
    for (const node of plan.nodes) await waitForStranger(node, moved, RECOVERED_MS);
  } catch (error) {
    await Promise.allSettled([watch.fewest(), traffic.lost()]);
    throw new Error(`while ${fault.name}: ${String(error)}`, { cause: error });
  }
  const fewest = await watch.fewest();
  const lost = await traffic.lost();
  assert.equal(fewest, PEERS, `${fault.name}: a node lost a peer`);
  assert.equal(lost, 0, `${fault.name}: pings lost`);
}

/** A ping every 5 ms until its losses are asked for. */
async function startTraffic(from: LabNode, to: LabNode): Promise<{ readonly lost: () => Promise<number> }> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const stop = new AbortController();
  const pings = { from: from.pod, address: podAddress(subnet), count: 200, intervalMs: 5, deadlineSeconds: 30 };
  const next = () => new PingRun(pings);
  const first = next();
  const running = (async () => {
    let lost = 0;
    for (let ping = first; ; ping = next()) {
      lost += (await ping.result()).lost;
      if (stop.signal.aborted) return lost;
    }
  })();
  await waitFor("the ping to be under way", async () => first.answers >= 20 || null, { timeoutMs: 30_000, everyMs: 1 });
  return {
    lost: () => {
      stop.abort();
      return running;
    },
  };
}

/** Looks at every node's peers all the time. */
function watchPeers(plan: LabPlan): { readonly fewest: () => Promise<number> } {
  let ended = false;
  const watching = (async () => {
    let fewest = Number.POSITIVE_INFINITY;
    while (!ended) {
      for (const node of plan.nodes) fewest = Math.min(fewest, (await statusOf(node)).peers.length);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return fewest;
  })();
  // Who asks hears of a failure; until then it is nobody's.
  watching.catch(() => undefined);
  return {
    fewest: () => {
      ended = true;
      return watching;
    },
  };
}

async function untilConnected(node: LabNode, connected: boolean, timeoutMs: number): Promise<void> {
  const what = `${node.namespace} to be ${connected ? "connected" : "not connected"}`;
  const asked = async () => (await statusOf(node)).store.connected === connected || null;
  await waitFor(what, asked, { timeoutMs, everyMs: 20 });
}

async function waitForPeers(node: LabNode, count: number, timeoutMs: number): Promise<void> {
  const asked = async () => (await statusOf(node)).peers.length === count || null;
  await waitFor(`${node.namespace} to have ${count} peers`, asked, { timeoutMs, everyMs: 20 });
}

async function waitForStranger(node: LabNode, publicIp: string, timeoutMs: number): Promise<void> {
  const moved = async () => (await statusOf(node)).peers.some((peer) => peer.publicIp === publicIp) || null;
  await waitFor(`${node.namespace} to know the peer at ${publicIp}`, moved, { timeoutMs, everyMs: 20 });
}

async function statusOf(node: LabNode): Promise<AgentStatus> {
  // An agent that the machine keeps waiting does not answer within the second that status gives it.
  const asked = async () => (await readNodeStatus(runPaths(join(node.directory, "run")))).agent;
  return waitFor(`the agent of ${node.namespace} to answer`, asked, { timeoutMs: 30_000, everyMs: 20 });
}
