// The CNI network list that the agent writes, run by the real plugins of Debian as a runtime would: ADD on two nodes, the pods
// talk, DEL leaves nothing.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, withLab } from "../support/lab.js";

const PLUGINS = "/usr/lib/cni";
const runner = new Runner();
const skip = rootNeeded || (existsSync(join(PLUGINS, "bridge")) ? false : "needs containernetworking-plugins");

interface Plugin {
  readonly type: string;
  readonly ipam?: object;
}

interface Added {
  readonly ips: ReadonlyArray<{ readonly address: string }>;
}

test("pods that CNI ADD makes on two nodes talk, and DEL leaves nothing", { skip }, () =>
  withLab({ nodes: 2 }, async (plan) => {
    const addresses: string[] = [];
    for (const node of plan.nodes) {
      // The lab's own pod makes room.
      await runner.ip(node.namespace, ["link delete pod0", "link delete cni0"]);
      const added = (await cni(node, "ADD")) as Added;
      const address = added.ips[0]?.address.split("/")[0];
      assert.ok(address !== undefined);
      addresses.push(address);
      assert.match(await show(node, "link", "show", "cni0"), /mtu 1450 /);
      assert.match(await rules(node), /--dport 8080 -j DNAT/);
    }
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    for (const [from, to, address] of [
      [one, other, addresses[1]],
      [other, one, addresses[0]],
    ] as const) {
      const ping = ["-n", "-c", "1", "-W", "1", address ?? ""];
      await waitFor("an answer", async () => (await runner.runIn(from.pod, "ping", ping)).code === 0 || null, {
        timeoutMs: 10_000,
      });
      await runTcpCheck({ from: from.pod, to: to.pod, address: address ?? "", mebibytes: 4 });
    }
    for (const node of plan.nodes) {
      await cni(node, "DEL");
      assert.doesNotMatch(await rules(node), /8080/);
      assert.doesNotMatch(await show(node, "link", "show"), /veth/);
      const kept = (await readdir(join(stateOf(node), "cbr0"))).filter((name) => /^\d/.test(name));
      assert.deepEqual(kept, [], "addresses still taken");
    }
  }),
);

/** What a runtime does with a network list; the address book is the node's own. */
async function cni(node: LabNode, command: "ADD" | "DEL"): Promise<unknown> {
  const list = JSON.parse(await readFile(labFiles.cniConfig(node), "utf8")) as {
    readonly name: string;
    readonly cniVersion: string;
    readonly plugins: readonly Plugin[];
  };
  const { name, cniVersion } = list;
  let prevResult: unknown;
  for (const plugin of command === "ADD" ? list.plugins : [...list.plugins].reverse()) {
    const ipam = plugin.ipam === undefined ? {} : { ipam: { ...plugin.ipam, dataDir: stateOf(node) } };
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
    const input = JSON.stringify({ ...plugin, ...ipam, name, cniVersion, runtimeConfig, prevResult });
    const variables = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${node.pod}`,
      `CNI_NETNS=/run/netns/${node.pod}`,
      "CNI_IFNAME=eth0",
      `CNI_PATH=${PLUGINS}`,
    ];
    const words = [...variables, join(PLUGINS, plugin.type)];
    const { code, stdout, stderr } = await runner.runIn(node.namespace, "env", words, { input });
    assert.equal(code, 0, `${plugin.type} ${command}: ${stdout}${stderr}`);
    if (command === "ADD") prevResult = JSON.parse(stdout);
  }
  return prevResult;
}

function stateOf(node: LabNode): string {
  return join(node.directory, "cni-state");
}

function show(node: LabNode, ...words: string[]): Promise<string> {
  return runner.mustIn(node.namespace, "ip", words);
}

function rules(node: LabNode): Promise<string> {
  return runner.mustIn(node.namespace, "iptables-save", ["-t", "nat"]);
}
