// The commands that show and test an overlay, on nodes that really are one.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { labExec } from "../../src/lab/exec.js";
import type { LabNode } from "../../src/lab/plan.js";
import type { PeerTraffic } from "../../src/dataplane/client.js";
import type { Leg } from "../../src/doctor/path-legs.js";
import type { PeerView } from "../../src/doctor/peer-view.js";
import { exitOf, killAgent, must, podOf, ripstop, startRipstop, whereabouts } from "../support/node-commands.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

const SECRET = "Wort-am-Beutel";
const OPERATIONS = new URL("../../../docs/operations.md", import.meta.url);

const runDir = (node: LabNode) => `--run-dir=${node.directory}/run`;
const stateDir = (node: LabNode) => `--state-dir=${node.directory}/state`;

/** What the data plane of `node` has carried to and from a peer; null when it was too busy to say. */
function trafficWith(node: LabNode, peer: LabNode): PeerTraffic | null {
  const peers = JSON.parse(ripstop(node, "peers", runDir(node), peer.underlay, "-o", "json").stdout) as PeerView[];
  return peers[0]?.traffic ?? null;
}

test("peers, routes, top, ping and connectivity tell the truth about two nodes and a kernel peer", {
  skip: rootNeeded,
}, async (t) => {
  await withLab(
    {
      nodes: 3,
      kernelPeers: [3],
      dataplane: "userspace",
      agentFlags: ["--healthz-port=8081", "--etcd-username=operator", `--etcd-password=${SECRET}`],
    },
    async (plan) => {
      const [one, two, kernel] = plan.nodes as readonly [LabNode, LabNode, LabNode];

      await t.test("in a node of the lab they find its agent by themselves", async () => {
        const asked = (command: string) => labExec(plan.directory, "n1", ["sh", "-c", `${command} >/dev/null`]);
        assert.equal(await asked("ripstop status"), 0);
        assert.equal(await asked(`ripstop peers | grep ${two.underlay}`), 0);
        assert.equal(await asked("FLANNELD_RUN_DIR= ripstop status"), 2);
      });

      await t.test("peers", async () => {
        const peers = JSON.parse(ripstop(one, "peers", runDir(one), "-o", "json").stdout) as Array<
          Record<string, unknown>
        >;
        assert.deepEqual(peers.map(({ publicIp, path, mtu }) => [publicIp, path, mtu]).sort(), [
          [two.underlay, "user space", 1450],
          [kernel.underlay, "user space", 1450],
        ]);
        assert.match(
          ripstop(one, "peers", runDir(one), kernel.underlay).stdout,
          /^SUBNET .*\n10\.244\.\d+\.0\/24 +192\.168\.77\.3 .* user space +1450 .*\n$/,
        );
        await until("five pings to be counted, out and back", () => {
          const before = trafficWith(one, two);
          must(one.pod, `ping -c 5 -i 0.02 -w 10 -q ${podOf(two)}`);
          const after = trafficWith(one, two);
          if (before === null || after === null) return false;
          return (["sent", "received"] as const).every((way) => {
            // What a busy machine leaves to the kernel's path is not among them.
            const packets = after[way].packets - before[way].packets;
            // 84 bytes of IP in an Ethernet frame, and what the encapsulation adds on the way out.
            assert.equal(after[way].bytes - before[way].bytes, packets * (98 + (way === "sent" ? 50 : 0)));
            return packets === 5 && (after[way].lastMs ?? Number.POSITIVE_INFINITY) < 5_000;
          });
        });
      });

      await t.test("peers, again and again", async () => {
        const { child, out } = startRipstop(one, "peers", runDir(one), "--watch=0.1");
        await until("three views", () => Buffer.concat(out).toString().split("SUBNET").length > 3, 30_000);
        child.kill("SIGINT");
        assert.equal(await exitOf(child), 0);
        // No terminal, no colours, no jumps.
        assert.ok(!Buffer.concat(out).includes(0x1b));
      });

      await t.test("top", () => {
        const { stdout } = ripstop(one, "top", runDir(one), "-n", "1", "-i", "0.2", "-o", "json");
        const view = JSON.parse(stdout) as {
          rates: Array<{ direction: string }>;
          workerRates: Array<{ worker: number; ports: Array<{ side: string; kind: string }> }>;
          state: string;
        };
        assert.deepEqual(
          view.workerRates.map(({ worker, ports }) => [worker, ...ports.map(({ side, kind }) => `${side} ${kind}`)]),
          [[0, "overlay tap", "underlay tap"]],
        );
        assert.deepEqual(
          [view.state, ...view.rates.map(({ direction }) => direction)],
          ["running", "encap", "decap", "answer"],
        );
        assert.match(
          ripstop(one, "top", runDir(one), "-n", "1", "-i", "0.2").stdout,
          /^DIRECTION +RX PKT\/S[\s\S]*data plane \d+: \d+\/\d+ frames free/,
        );
      });

      await t.test("ping", () => {
        const { status, stdout } = ripstop(one, "ping", runDir(one), stateDir(one), two.underlay, "-c50", "-o", "json");
        const legs = JSON.parse(stdout) as Leg[];
        assert.equal(status, 0, stdout);
        assert.deepEqual(
          legs.map(({ path, mtu, answer, out }) => [path, mtu, answer?.received, out?.replace(" and kernel", "")]),
          [
            ["underlay", 1500, 50, undefined],
            ["overlay via user space", 1450, 50, "user space"],
            ["overlay via kernel", 1450, 50, "kernel"],
          ],
        );
        for (const { answer } of legs) {
          const { minMs, avgMs, p99Ms } = answer as Record<"minMs" | "avgMs" | "p99Ms", number>;
          assert.ok(minMs > 0 && minMs <= avgMs && minMs <= p99Ms, stdout);
        }
        const unknown = ripstop(one, "ping", runDir(one), stateDir(one), "10.9.9.9");
        assert.equal(unknown.status, 2);
        assert.match(unknown.stderr, /no peer is called 10\.9\.9\.9; known are .*192\.168\.77\.2.* \(PEER_UNKNOWN\)/);
      });

      await t.test("ping when only one path of the overlay works", () => {
        const [prefix = ""] = must(two.namespace, "ip -4 -o address show dev flannel.1").match(/10[\d.]+/) ?? [];
        const pinged = () => ripstop(one, "ping", "--no-mtu", "-c5", runDir(one), stateDir(one), prefix);
        // What the kernel encapsulates passes this node's own OUTPUT chain; what the data plane does, does not.
        must(one.namespace, "iptables -A OUTPUT -p udp --dport 8472 -j DROP");
        const { status, stdout } = pinged();
        must(one.namespace, "iptables -F OUTPUT");
        assert.equal(status, 1, stdout);
        assert.match(stdout, /^overlay via user space +\S+ +0 % .* user space/m);
        assert.match(stdout, /^overlay via kernel +\S+ +100 % +- +- +- +- +kernel +-$/m);
      });

      await t.test("a pod cannot choose its path by a mark", () => {
        return until("the data plane carries them as it carries all", () => {
          const before = trafficWith(one, two);
          must(one.pod, `ping -m ${0x1052} -c 5 -i 0.02 -w 10 -q ${podOf(two)}`);
          const after = trafficWith(one, two);
          return before !== null && after !== null && after.sent.packets - before.sent.packets === 5;
        });
      });

      await t.test("the fields of -o json are those that the docs list", () => {
        const [, table = ""] = readFileSync(OPERATIONS, "utf8").split("### JSON");
        const rows = [...table.matchAll(/^\| `(\w+)` \| an? (list|object)[^|]*\| (.*) \|$/gm)];
        assert.equal(rows.length, 7);
        const [, ofDataplane = ""] = /`dataplane` has (.*?), all but/s.exec(table) ?? [];
        const words = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, word = ""]) => word);
        const places: Readonly<Record<string, readonly string[]>> = {
          routes: [runDir(one), stateDir(one)],
          ping: [runDir(one), stateDir(one), two.underlay, "-c3", "--no-mtu"],
          top: [runDir(one), "-n1", "-i0.1"],
          doctor: [...whereabouts(one), "--no-probe"],
        };
        /** Of an object that was printed; these are there at times only, as the docs say. */
        const keys = (printed: object) =>
          Object.keys(printed)
            .filter((key) => !["why", "heardMsAgo"].includes(key))
            .sort();
        for (const [, command = "", kind, fields = ""] of rows) {
          const { stdout, stderr } = ripstop(one, command, ...(places[command] ?? [runDir(one)]), "-o", "json");
          const printed = JSON.parse(stdout || assert.fail(stderr)) as object | readonly object[];
          assert.equal(Array.isArray(printed), kind === "list", command);
          const [listed = ""] = fields.split(/; |, and those of/);
          const wanted = [...words(listed), ...(command === "top" ? words(ofDataplane) : [])].sort();
          const all = Array.isArray(printed) ? (printed as readonly object[]) : [printed];
          assert.ok(all.length > 0, command);
          for (const each of all) assert.deepEqual(keys(each), wanted, command);
          if (command !== "status") continue;
          assert.deepEqual(keys((printed as { dataplane: object }).dataplane), words(ofDataplane).sort());
        }
      });

      await t.test("connectivity of all pairs", () => {
        const { stdout } = ripstop(one, "connectivity", runDir(one), "--remote-port", "8081");
        assert.match(stdout, /^PAIR +PING 100 +PING 1000 +PING 1450 +UDP 100 +UDP 1450 +TCP/);
        for (const [from, to] of [
          ["1", "2"],
          ["1", "3"],
          ["2", "1"],
          ["2", "3"],
        ])
          assert.match(stdout, new RegExp(`192\\.168\\.77\\.${from} > 192\\.168\\.77\\.${to}( +pass){6} +-\n`), stdout);
        // The kernel peer has no agent to ask.
        assert.match(stdout, /192\.168\.77\.3 > others .*unknown/);
        must(kernel.namespace, "iptables -A INPUT -p udp --dport 8472 -j DROP");
        const blocked = ripstop(one, "connectivity", runDir(one));
        assert.equal(blocked.status, 1);
        assert.match(blocked.stdout, /192\.168\.77\.1 > 192\.168\.77\.3( +FAIL){6}\n/, blocked.stdout);
        assert.match(blocked.stdout, /6 passed, 6 failed, 0 unknown/);
        must(kernel.namespace, "iptables -F INPUT");
      });

      await t.test("support-bundle", () => {
        const folder = mkdtempSync(join(tmpdir(), "ripstop-bundle-"));
        try {
          const file = join(folder, "bundle.tar.gz");
          assert.equal(ripstop(one, "support-bundle", "-f", file, "--no-probe", ...whereabouts(one)).status, 0);
          const list = spawnSync("tar", ["-tzf", file], { encoding: "utf8" }).stdout.trim().split("\n");
          for (const name of ["status.json", "doctor.json", "snapshot.json", "ip-route.txt", "dataplane.log"])
            assert.ok(list.includes(`ripstop-support/${name}`), `${name} among ${list.join(", ")}`);
          assert.ok(readFileSync(file).length < 1024 * 1024);
          const texts = spawnSync("tar", ["-xzOf", file], { encoding: "utf8", maxBuffer: 1 << 28 }).stdout;
          assert.ok(!texts.includes(SECRET), "the agent was started with a password");
          assert.match(texts, /--etcd-password=REDACTED/);
        } finally {
          rmSync(folder, { recursive: true });
        }
      });

      await t.test("routes, and status within its time, without an agent", async () => {
        assert.equal(ripstop(one, "routes", runDir(one), stateDir(one)).status, 0);
        await killAgent(plan, one);
        const [prefix = ""] = must(one.namespace, "ip -4 route show dev flannel.1").split(" ");
        must(one.namespace, `ip route delete ${prefix}`);
        const { status, stdout } = ripstop(one, "routes", runDir(one), stateDir(one));
        assert.equal(status, 1);
        assert.match(stdout, new RegExp(`- the route to ${prefix} \\(.*\\) is missing\n`));
        assert.equal(ripstop(one, "peers", runDir(one)).status, 2);
        const [nowhere, unwritten] = [runDir(one), `--state-dir=${one.directory}/none`];
        for (const command of [["routes"], ["ping", two.underlay]] as const) {
          const { status: code, stderr } = ripstop(one, ...command, nowhere, unwritten);
          assert.match(stderr, /^ripstop: no agent runs here .* \(AGENT_ABSENT\)\n$/);
          assert.equal(code, 2);
        }
        assert.equal(ripstop(one, "status", runDir(one)).status, 2);
      });
    },
  );
});
