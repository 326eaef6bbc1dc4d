// What of a changed network configuration is taken over at once and what waits for a restart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveChange } from "../../../src/config/live-change.js";
import { chooseDataPlane, parseNetworkConfig } from "../../../src/config/network-config.js";

const parse = (config: object) => parseNetworkConfig(JSON.stringify({ Network: "10.3.0.0/16", ...config }));

function change(before: object, after: object, flags = {}) {
  const network = parse(before);
  const result = liveChange({ network, choice: chooseDataPlane(flags, network.dataPlane) }, parse(after), flags);
  return { ...result, told: { live: result.live, restart: result.restart } };
}

test("each field is live or waits for a restart, by what its backend can do", () => {
  const vxlan = { Backend: { Type: "vxlan" } };
  const rows: [object, object, live: string[], restart: string[]][] = [
    [vxlan, vxlan, [], []],
    [vxlan, { Backend: { Type: "VXLAN" } }, [], []],
    [vxlan, { Backend: { Type: "vxlan", MTU: 1400 } }, ["Backend.MTU"], []],
    [{ Backend: { Type: "vxlan", mtu: 1400 } }, { Backend: { Type: "vxlan", MTU: 1400 } }, [], []],
    [vxlan, { Backend: { Type: "vxlan", DirectRouting: true } }, ["Backend.DirectRouting"], []],
    [vxlan, { Backend: { Type: "vxlan", Learning: true } }, ["Backend.Learning"], []],
    [vxlan, { Backend: { Type: "vxlan", GBP: true } }, ["Backend.GBP"], []],
    [vxlan, { Backend: { Type: "vxlan", VNI: 7, MTU: 1400 } }, ["Backend.MTU"], ["Backend.VNI"]],
    [vxlan, { Backend: { Type: "vxlan", DataPlane: { Workers: 2 } } }, ["Backend.DataPlane"], []],
    [vxlan, { Backend: { Type: "vxlan", DataPlane: { Mode: "kernel" } } }, [], ["Backend.DataPlane.Mode"]],
    [vxlan, { Backend: { Type: "host-gw" } }, [], ["Backend.Type"]],
    [vxlan, { ...vxlan, SubnetLen: 26 }, [], ["SubnetLen, SubnetMin or SubnetMax"]],
    [vxlan, { ...vxlan, EnableNFTables: true }, [], ["EnableNFTables"]],
    [{ Backend: { Type: "ipip" } }, { Backend: { Type: "ipip", DirectRouting: true } }, ["Backend.DirectRouting"], []],
    [{ Backend: { Type: "wireguard" } }, { Backend: { Type: "wireguard", MTU: 1400 } }, ["Backend.MTU"], []],
    [{ Backend: { Type: "wireguard" } }, { Backend: { Type: "wireguard", Mode: "auto" } }, [], ["Backend.Mode"]],
  ];
  for (const [before, after, live, restart] of rows)
    assert.deepEqual(change(before, after).told, { live, restart }, JSON.stringify(after));
});

test("what waits for a restart keeps its old value, what is live has the new one", () => {
  const { network, choice } = change(
    { Backend: { Type: "vxlan", MTU: 1400, VNI: 3 } },
    { Network: "10.9.0.0/16", Backend: { Type: "vxlan", VNI: 4, DataPlane: { Mode: "kernel", Workers: 2 } } },
  );
  assert.deepEqual(network.backend, { Type: "vxlan", VNI: 3 });
  assert.deepEqual(network.network, parse({}).network);
  assert.deepEqual([choice.mode, choice.workers], ["auto", 2]);
});

test("a data-plane option that the node's flags decide is no change", () => {
  const after = { Backend: { Type: "vxlan", DataPlane: { Mode: "kernel", Workers: 2 } } };
  const flags = { mode: "userspace", workers: 1 } as const;
  assert.deepEqual(change({ Backend: { Type: "vxlan" } }, after, flags).told, { live: [], restart: [] });
});
