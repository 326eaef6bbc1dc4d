// A real kube-apiserver: our agents under the rules of deploy/, flanneld among them, and the server's bad days.
//   p1 - n1 - switch (etcd, kube-apiserver) - n2 - p2
//                        +------------------- n3 - p3
// Alone: it judges loss.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { retireDataplane } from "../../src/agent/dataplane-start.js";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import type { AgentStatus } from "../../src/agent/status.js";
import { agentName } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress } from "../../src/lab/pod.js";
import { awaitReachability } from "../../src/lab/reachability.js";
import { Runner } from "../../src/lab/runner.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { createLogger } from "../../src/observe/logger.js";
import { becomeRipstop, startRipstop } from "../support/flanneld-node.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { exchangeBothWays, nodeSubnets } from "../support/overlay-traffic.js";
import { peerProgram } from "../support/peer-program.js";
import { swapEveryNode } from "../support/rolling-swap.js";
import { until } from "../support/until.js";

const [apiserver, kubectl, flanneld] = ["kube-apiserver", "kubectl", "flanneld"].map(peerProgram) as [
  ReturnType<typeof peerProgram>,
  ReturnType<typeof peerProgram>,
  ReturnType<typeof peerProgram>,
];
const skip = rootNeeded || apiserver.missing || kubectl.missing || flanneld.missing;
const runner = new Runner();
const PREFIX = "flannel.alpha.coreos.com";
/** RIPSTOP_AWAY_MS=600000 is the long form. */
const AWAY_MS = Number(process.env["RIPSTOP_AWAY_MS"] ?? 2_000);
const PING_EVERY_MS = 10;
/** Of pings beyond the time away: how long stopping and starting the server may take. */
const PING_MORE_MS = 8_000;
/** For what follows by itself; a busy machine takes its time. */
const FOLLOWS_MS = 60_000;

const LIAR = {
  cidrs: ["10.244.250.0/24", "fd00:10:244:fafa::/64"],
  addresses: { [`${PREFIX}/public-ip`]: "192.168.77.250", [`${PREFIX}/public-ipv6`]: "fd00:77::fa" },
};

type Backend = "vxlan" | "udp" | "host-gw";

interface Scene {
  readonly plan: LabPlan;
  readonly nodes: readonly [LabNode, LabNode, LabNode];
  readonly subnets: ReadonlyMap<LabNode, NodeSubnet>;
  readonly cluster: KubeCluster;
  /** Our flags and variables for the store. */
  readonly store: readonly string[];
}

const nameOf = (node: LabNode) => `node-${node.index}`;
const variables = (node: LabNode) => [`NODE_NAME=${nameOf(node)}`];
const subnetOf = (scene: Scene, node: LabNode) => scene.subnets.get(node) as NodeSubnet;
const cidrsOf = (scene: Scene, node: LabNode) => {
  const { gateway, prefixLength, ipv6 } = subnetOf(scene, node);
  const v4 = `${gateway.replace(/\.1$/, ".0")}/${prefixLength}`;
  return ipv6 === null ? [v4] : [v4, `${ipv6.gateway.replace(/::1$/, "::")}/${ipv6.prefixLength}`];
};

/** A lab whose nodes have the subnets of the lab's file store as pod CIDRs; no agent runs yet. */
async function withScene(
  body: (scene: Scene) => Promise<void>,
  { backend = "vxlan", ipv6 = false }: { readonly backend?: Backend; readonly ipv6?: boolean } = {},
): Promise<void> {
  const dataplane = backend === "host-gw" ? "auto" : "userspace";
  await withLab({ nodes: 3, backend, dataplane, ipv6 }, async (plan) => {
    const nodes = plan.nodes as readonly [LabNode, LabNode, LabNode];
    const subnets = await nodeSubnets(plan);
    const cluster = await KubeCluster.start({
      apiserver: apiserver.path,
      kubectl: kubectl.path,
      namespace: plan.switchNamespace,
      address: plan.gateway,
    });
    try {
      await cluster.applyRules();
      const config = await cluster.accountConfig("agent.conf");
      const netConf = join(cluster.directory, "net-conf.json");
      const v6 = plan.ipv6 === null ? {} : { EnableIPv6: true, IPv6Network: plan.ipv6.network };
      writeFileSync(netConf, JSON.stringify({ Network: plan.network, ...v6, Backend: { Type: backend } }));
      const store = ["--kube-subnet-mgr", `--kubeconfig-file=${config}`, `--net-config-path=${netConf}`];
      for (const node of nodes) await stopDaemon(plan.directory, agentName(node));
      await body({ plan, nodes, subnets, cluster, store });
    } finally {
      await cluster.destroy();
    }
  });
}

async function begin(scene: Scene): Promise<void> {
  for (const node of scene.nodes) await scene.cluster.createNode(nameOf(node), cidrsOf(scene, node));
  for (const node of scene.nodes) await becomeRipstop(scene.plan, node, scene.store, variables(node));
  await awaitReachability(runner, scene.plan, scene.subnets);
}

/** As a machine that has never had an agent. */
async function forget(plan: LabPlan, node: LabNode): Promise<void> {
  await stopDaemon(plan.directory, agentName(node));
  await retireDataplane(
    runPaths(join(node.directory, "run")).dataplaneSocket,
    createLogger({ level: "error", destination: 2 }),
  );
  for (const device of ["flannel.1", "flannel-v6.1"])
    execFileSync("ip", ["-n", node.namespace, "link", "delete", device]);
  rmSync(join(node.directory, "state"), { recursive: true });
}

async function condition(scene: Scene, node: LabNode): Promise<string> {
  const { conditions } = await scene.cluster.node(nameOf(node));
  const found = conditions.find(({ type }) => type === "NetworkUnavailable");
  return found === undefined ? "none" : `${found["status"]} ${found["reason"]}`;
}

/** What the node's agent says; one that a busy machine keeps from answering is asked again. */
async function agentOf(node: LabNode): Promise<AgentStatus> {
  let said: AgentStatus | null = null;
  const answered = async () => {
    said = (await readNodeStatus(runPaths(join(node.directory, "run")))).agent;
    return said !== null;
  };
  await until(`the agent of ${node.namespace} says how it is`, answered, FOLLOWS_MS);
  return said ?? assert.fail("no status");
}
const peersOf = async (node: LabNode) => (await agentOf(node)).peers.length;

describe("the Kubernetes store against a real API server", { skip }, () => {
  it("takes pod CIDRs, waits for a late one and says so, and follows addresses", async () => {
    await withScene(
      async (scene) => {
        const { plan, nodes, cluster, store, subnets } = scene;
        const [one, two, three] = nodes;
        for (const node of [one, two]) await cluster.createNode(nameOf(node), cidrsOf(scene, node));
        await cluster.createNode(nameOf(three), []);
        for (const node of [one, two]) await becomeRipstop(plan, node, store, variables(node));
        await startRipstop(plan, three, store, variables(three));
        await until(
          "the late node says why",
          async () => (await condition(scene, three)) === "True PodCIDRNotUsable",
          FOLLOWS_MS,
        );
        // The Event follows the condition.
        const events = () => cluster.kubectl(["get", "events", "-n", "default", "-o", "json"]);
        await until("an Event says why", async () => (await events()).includes("pod cidr not assigned"), FOLLOWS_MS);
        await cluster.patchNode(nameOf(three), {
          spec: { podCIDR: cidrsOf(scene, three)[0], podCIDRs: cidrsOf(scene, three) },
        });
        await until(
          "the late node is up",
          async () => (await condition(scene, three)) === "False FlannelIsUp",
          FOLLOWS_MS,
        );
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(one, three);

        execFileSync("ip", ["-n", two.namespace, "address", "add", "192.168.77.202/24", "dev", "eth0"]);
        await cluster.annotate(nameOf(two), { [`${PREFIX}/node-public-ip`]: "192.168.77.202" });
        await until(
          "the other address is published",
          async () => {
            const { annotations } = await cluster.node(nameOf(two));
            return annotations[`${PREFIX}/public-ip`] === "192.168.77.202";
          },
          FOLLOWS_MS,
        );
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(one, two);

        // One family's change, and only that.
        execFileSync("ip", ["-n", two.namespace, "address", "add", "fd00:77::202/64", "dev", "eth0", "nodad"]);
        await cluster.annotate(nameOf(two), { [`${PREFIX}/node-public-ipv6`]: "fd00:77::202" });
        const addressesOfTwo = async () =>
          (await agentOf(one)).peers.filter(({ lease }) => lease === nameOf(two)).map(({ publicIp }) => publicIp);
        await until(
          "the other node sends to the other address",
          async () => String((await addressesOfTwo()).sort()) === "192.168.77.202,fd00:77::202",
          FOLLOWS_MS,
        );
        await awaitReachability(runner, plan, subnets);
      },
      { ipv6: true },
    );
  });

  it("loses no packet while the server is away, restarts and rotates tokens, and recovers within 10 s", async (context) => {
    await withScene(async (scene) => {
      await begin(scene);
      const { cluster, nodes } = scene;
      const [one, two, three] = nodes;
      const ping = new PingRun({
        from: one.pod,
        address: podAddress(subnetOf(scene, two)),
        count: (AWAY_MS + PING_MORE_MS) / PING_EVERY_MS,
        intervalMs: PING_EVERY_MS,
        deadlineSeconds: AWAY_MS / 1_000 + 60,
      });
      await cluster.stopServer();
      const away = performance.now();
      const storeOf = async () => (await agentOf(one)).store;
      await until("the agent knows", async () => !(await storeOf()).connected, FOLLOWS_MS);
      await until("the time away is over", () => performance.now() - away > AWAY_MS, AWAY_MS + 5_000);
      assert.equal(await peersOf(one), 2);
      await cluster.accountConfig("agent.conf").catch(() => undefined);
      await cluster.startServer();
      const back = performance.now();
      await until("the agent is connected again", async () => (await storeOf()).connected, FOLLOWS_MS);
      context.diagnostic(`recovered after ${(performance.now() - back).toFixed(0)} ms`);
      assert.ok(performance.now() - back < 10_000);
      await cluster.accountConfig("agent.conf");
      const { sent, lost } = await ping.result();
      context.diagnostic(`${sent} pings, ${lost} lost`);
      assert.equal(lost, 0);

      await cluster.kubectl(["delete", "node", nameOf(three)]);
      await until("the deleted node is no peer", async () => (await peersOf(one)) === 1, FOLLOWS_MS);
      await cluster.createNode(nameOf(three), cidrsOf(scene, three));
      await until("the node that came again is one", async () => (await peersOf(one)) === 2, FOLLOWS_MS);
      await awaitReachability(runner, scene.plan, scene.subnets);
    });
  });

  it("reaches every node, whatever a node older than all of them claims, and starts so without a memory", async () => {
    await withScene(
      async (scene) => {
        const { plan, nodes, cluster, store, subnets } = scene;
        const [one, two, three] = nodes;
        // Nothing answers at its address. It is older than all others, and the first by name.
        await cluster.createNode("liar", LIAR.cidrs);
        await begin(scene);
        const victim = (await cluster.node(nameOf(three))).annotations;
        const mac = String((JSON.parse(victim[`${PREFIX}/backend-data`] ?? "{}") as { VtepMAC?: string }).VtepMAC);
        const lie = { ...victim, ...LIAR.addresses };
        const ping = new PingRun({
          from: one.pod,
          address: podAddress(subnetOf(scene, three)),
          count: 1_000,
          intervalMs: 10,
          deadlineSeconds: 60,
        });
        await cluster.annotate("liar", lie);
        await until("it is believed to be a node", async () => (await peersOf(one)) === 6, FOLLOWS_MS);
        const contested = async (node: LabNode) => (await agentOf(node)).contested.map(({ key }) => key);
        assert.deepEqual(await contested(one), ["liar", "liar"], "the liar goes by an alias where its victim is known");
        const refusing = async () => String((await agentOf(three)).refused.map(({ key }) => key));
        await until("the victim knows better", async () => (await refusing()) === "liar,liar", FOLLOWS_MS);
        for (const nonsense of [
          "",
          "{",
          '{"VtepMAC":7}',
          "\u0000\uffff",
          "x".repeat(100_000),
          victim[`${PREFIX}/backend-data`],
        ])
          await cluster.annotate("liar", { [`${PREFIX}/backend-data`]: nonsense ?? "" });
        await cluster.annotate("liar", victim);
        await cluster.annotate("liar", lie);
        await exchangeBothWays(one, three);
        assert.equal((await ping.result()).lost, 0);

        for (const dataplane of ["userspace", "kernel"] as const) {
          await forget(plan, one);
          await becomeRipstop(plan, one, [...store, `--dataplane=${dataplane}`], variables(one));
          await until("it starts with the lie", async () => (await contested(one))[0] === nameOf(three), FOLLOWS_MS);
          for (const device of ["flannel.1", "flannel-v6.1"]) {
            const words = ["-n", one.namespace, "neighbor", "show", "dev", device, "nud", "permanent"];
            const neighbors = execFileSync("ip", words, { encoding: "utf8" });
            assert.equal(neighbors.split(mac).length, 2, `only the liar has the MAC ${mac} here:\n${neighbors}`);
          }
          await awaitReachability(runner, plan, subnets);
          await exchangeBothWays(one, three);
          await exchangeBothWays(one, two);
        }
        await cluster.kubectl(["delete", "node", "liar"]);
        await until("nobody claims it any more", async () => (await contested(one)).length === 0, FOLLOWS_MS);
        await exchangeBothWays(one, three);
      },
      { ipv6: true },
    );
  });

  for (const backend of ["vxlan", "udp", "host-gw"] as const) {
    it(`shares the API server with flanneld over ${backend}, while every node is swapped and back under a TCP stream`, async (context) => {
      await withScene(
        async (scene) => {
          await begin(scene);
          const { plan, store } = scene;
          const device = { vxlan: "flannel.1", udp: "flannel0", "host-gw": "eth0" }[backend];
          const stores = { store, ownStore: store };
          context.diagnostic(await swapEveryNode({ plan, device, flanneld: flanneld.path, ...stores, variables }));
        },
        { backend },
      );
    });
  }
});
