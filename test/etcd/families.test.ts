// Leases of nodes with both families, and of nodes with IPv6 alone, in a real etcd: flannel's keys and bytes, one winner however
// many ask at once, and the same subnets after a restart.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseIpv6 } from "../../src/addr/ipv6.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import { encodeSubnetKey } from "../../src/lease/codec.js";
import type { Lease, LeaseAttrs } from "../../src/lease/lease.js";
import { SubnetManager } from "../../src/subnet/manager.js";
import { etcdOptions, openStore } from "../support/etcd-client.js";
import { EtcdServer } from "../support/etcd-server.js";

const SIGNAL = new AbortController().signal;
const NODES = 12;
const BOTH = '{"EnableIPv6":true,"Network":"10.1.0.0/20","IPv6Network":"fd00:1::/60","Backend":{"Type":"vxlan"}}';
const IPV6_ALONE = '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:1::/60","Backend":{"Type":"vxlan"}}';
let etcd: EtcdServer;

before(async () => {
  etcd = await EtcdServer.ready();
});
after(() => etcd.destroy());

interface Node {
  readonly lease: Lease;
  readonly close: () => Promise<void>;
}

/** `listed`: after each look at the leases, before anything is made of it. */
async function join(prefix: string, config: string, number: number, listed?: () => Promise<void>): Promise<Node> {
  const { store } = openStore(etcdOptions([etcd.endpoint], { prefix }));
  if (listed !== undefined) {
    const list = store.listLeases.bind(store);
    store.listLeases = async (signal) => {
      const snapshot = await list(signal);
      await listed();
      return snapshot;
    };
  }
  const { range, ipv6Range, network, ipv6Network, enableIpv4 } = parseNetworkConfig(config);
  const manager = new SubnetManager({
    store,
    ranges: { range, ipv6Range },
    networks: { network, ipv6Network },
    previous: null,
    renewMarginMs: 3_600_000,
    // Nodes that have seen the same choose the same.
    ...(listed === undefined ? {} : { random: () => 0 }),
  });
  const data = { VNI: 1, VtepMAC: `02:00:00:00:00:${number.toString(16).padStart(2, "0")}` };
  const attrs: LeaseAttrs = {
    publicIp: enableIpv4 ? parseIpv4(`192.0.2.${number}`) : null,
    publicIpv6: parseIpv6(`2001:db8::${number}`),
    backendType: "vxlan",
    ...(enableIpv4 ? { backendData: data } : {}),
    backendV6Data: data,
  };
  const { publicIp, publicIpv6 } = attrs;
  const lease = await manager.acquire({ publicIp, publicIpv6 }, async () => attrs, SIGNAL);
  return { lease, close: () => store.close() };
}

test("a node whose lease shares one half with an older one takes another subnet", async () => {
  const prefix = "/families/shared";
  await etcd.ctl(["put", `${prefix}/subnets/10.1.3.0-24`, '{"PublicIP":"192.0.2.99"}']);
  await etcd.ctl(["put", `${prefix}/subnets/10.1.3.0-24&fd00:1:0:3::-64`, '{"PublicIP":"192.0.2.1"}']);
  const node = await join(prefix, BOTH, 1);
  assert.doesNotMatch(node.lease.key, /10\.1\.3\.0|fd00:1:0:3::/);
  await node.close();
});

test("two nodes that saw the same subnet free and chose it at the same moment never both win", async () => {
  for (let round = 0; round < 20; round++) {
    const prefix = `/families/race-${round}`;
    let looked = 0;
    let release = (): void => undefined;
    const both = new Promise<void>((resolve) => (release = resolve));
    const listed = async () => {
      if (++looked === 2) release();
      await both;
    };
    const config = round % 2 === 0 ? BOTH : IPV6_ALONE;
    const nodes = await Promise.all([join(prefix, config, 1, listed), join(prefix, config, 2, listed)]);
    const keys = nodes.map(({ lease }) => encodeSubnetKey(lease)).sort();
    assert.equal(new Set(keys).size, 2, `round ${round}: ${keys.join(" ")}`);
    const stored = await etcd.ctl(["get", "--prefix", "--keys-only", `${prefix}/subnets/`]);
    assert.deepEqual(
      stored.split("\n").filter((line) => line !== ""),
      keys.map((key) => `${prefix}/subnets/${key}`),
    );
    // The loser looked a second time.
    assert.ok(looked > 3, `${looked} looks`);
    await Promise.all(nodes.map(({ close }) => close()));
  }
});

for (const [what, config, key, value] of [
  [
    "both families",
    BOTH,
    /^10\.1\.\d+\.0-24&fd00:1:0:[1-9a-f]::-64$/,
    '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}}\n',
  ],
  [
    "IPv6 alone",
    IPV6_ALONE,
    /^0\.0\.0\.0-0&fd00:1:0:[1-9a-f]::-64$/,
    '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}}\n',
  ],
] as const) {
  test(`${NODES} nodes with ${what} that come at once take subnets of their own, and keep them`, async () => {
    const prefix = `/families/${what.replaceAll(" ", "-")}`;
    const all = await Promise.all(Array.from({ length: NODES }, (_, i) => join(prefix, config, i + 1)));
    const keys = all.map(({ lease }) => encodeSubnetKey(lease));
    for (const one of keys) assert.match(one, key);
    assert.equal(new Set(keys.map((one) => one.split("&")[0] ?? "")).size, config === BOTH ? NODES : 1);
    assert.equal(new Set(keys.map((one) => one.split("&")[1] ?? "")).size, NODES);
    assert.equal(await etcd.ctl(["get", "--print-value-only", `${prefix}/subnets/${keys[0]}`]), value);
    await Promise.all(all.map(({ close }) => close()));
    const again = await Promise.all(Array.from({ length: NODES }, (_, i) => join(prefix, config, i + 1)));
    assert.deepEqual(
      again.map(({ lease }) => encodeSubnetKey(lease)),
      keys,
    );
    await Promise.all(again.map(({ close }) => close()));
  });
}
