// flannel's own CNI plugin, with flannel's stock network list, on nodes of ours: it reads our subnet.env, makes dual-stack pods
// that talk across two nodes, and its DEL leaves nothing. The plugin is the last one that the CNI project released; flannel's
// later releases build the same delegate, and their module is not served (docs/decisions/0046).
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { assertCarriedBy } from "../support/backend-lab.js";
import {
  assertPodsTalk,
  cniAdd,
  cniDelete,
  cniMissing,
  cniState,
  flannelDelegate,
  makeRoom,
  natRules,
  type NetworkList,
} from "../support/cni.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";

const plugin = peerProgram("flannel-cni");
const programs = { flannel: plugin.path };
const runner = new Runner();

test(
  "flannel's CNI plugin makes pods of our subnet.env that talk in both families",
  {
    skip: rootNeeded || plugin.missing || cniMissing,
  },
  () =>
    withLab({ nodes: 2, ipv6: true, dataplane: "userspace" }, async ({ nodes }) => {
      const [one, other] = nodes as readonly [LabNode, LabNode];
      const addresses: string[][] = [];
      for (const node of [one, other]) {
        await makeRoom(node);
        addresses.push(await cniAdd(node, stockList(node), programs));
        assert.match(await runner.mustIn(node.namespace, "ip", ["link", "show", "cni0"]), /mtu 1450 /);
        assert.match(await natRules(node), /--dport 8080 -j DNAT/);
        const written = JSON.parse(await readFile(join(scratch(node), node.pod), "utf8")) as Record<string, unknown>;
        const { runtimeConfig: _, ...delegate } = written;
        const expected = (await flannelDelegate(node)) as { readonly ipam: object };
        const ipam = { ...expected.ipam, dataDir: cniState(node) };
        assert.deepEqual(delegate, { ...expected, ipam, name: "cbr0", cniVersion: "0.3.1" });
      }
      assert.deepEqual(
        addresses.map(({ length }) => length),
        [2, 2],
      );
      await assertPodsTalk(one, addresses[0] ?? [], other, addresses[1] ?? []);
      for (const node of nodes) {
        await assertCarriedBy(node, 100n);
        await cniDelete(node, stockList(node), programs);
        assert.deepEqual(await readdir(scratch(node)), []);
      }
    }),
);

/** As flannel's manifest has it, but for where the node's files are. */
function stockList(node: LabNode): NetworkList {
  const flannel = {
    type: "flannel",
    delegate: { hairpinMode: true, isDefaultGateway: true },
    subnetFile: labFiles.subnetFile(node),
    dataDir: scratch(node),
    ipam: {},
  };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  return { name: "cbr0", cniVersion: "0.3.1", plugins: [flannel, portmap] };
}

function scratch(node: LabNode): string {
  return join(node.directory, "cni-flannel");
}
