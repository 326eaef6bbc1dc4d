// The vxlan backend on a real host, against a kernel VXLAN peer programmed by hand:
//
//   ours: backend -> flannel.1, flannel-v6.1 - u0 ===== u0 - vx4, vx6 : other, by hand
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Backend } from "../../src/backend/backend.js";
import { makeBackend } from "../../src/backend/catalog.js";
import { makeVxlanBackend } from "../../src/backend/vxlan/vxlan-backend.js";
import { withPrefix } from "../../src/host/command.js";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseIpv6 } from "../../src/addr/ipv6.js";
import { runIperfTcp } from "../../src/lab/traffic/iperf.js";
import type { Lease, LeaseAttrs } from "../../src/lease/lease.js";
import { rootNeeded } from "../support/lab.js";
import { lease, leaseMap, vxlanAttrs } from "../support/lease-builder.js";
import {
  addOwnPod,
  assertTooLong,
  contextOf,
  OTHER_MAC,
  pingFrom,
  programByHand,
  type TwoHosts,
  withTwoHosts,
} from "../support/two-hosts.js";
import { eventually } from "../support/until.js";

const options = { skip: rootNeeded };
const DUAL = {
  Network: "10.244.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd00:10::/48",
  Backend: { Type: "vxlan" },
};

async function withBackend(
  config: object,
  body: (hosts: TwoHosts & { readonly backend: Backend; readonly stateDir: string }) => Promise<void>,
): Promise<void> {
  const stateDir = await mkdtemp(join(tmpdir(), "ripstop-vxlan-"));
  try {
    await withTwoHosts(async (hosts) => {
      const run = withPrefix(["ip", "netns", "exec", hosts.ours.name]);
      const backend = makeVxlanBackend(await contextOf(hosts.host, config, stateDir), run);
      await body({ ...hosts, stateDir, backend });
    });
  } finally {
    await rm(stateDir, { recursive: true });
  }
}

function ownLease(attrs: LeaseAttrs): Lease {
  return lease("10.244.1.0-24&fd00:10:0:1::-64", "192.0.2.1", 1n, { attrs });
}

function otherLease(mac = OTHER_MAC): Lease {
  const publicIpv6 = parseIpv6("2001:db8::2");
  const attrs = { ...vxlanAttrs("192.0.2.2", mac), publicIpv6, backendV6Data: { VNI: 1, VtepMAC: mac } };
  return lease("10.244.2.0-24&fd00:10:0:2::-64", "192.0.2.2", 2n, { attrs });
}

function macOf(attrs: LeaseAttrs): string {
  return (attrs.backendData as { readonly VtepMAC: string }).VtepMAC;
}

test("pods talk to a kernel VXLAN peer both ways in both families, up to the MTU and not above", options, () =>
  withBackend(DUAL, async ({ backend, ours, other }) => {
    const attrs = await backend.leaseAttrs(null);
    await programByHand(other, macOf(attrs));
    await addOwnPod(ours);
    const overlay = await backend.attach(ownLease(attrs));
    const { table, refused } = await overlay.peers(leaseMap(ownLease(attrs), otherLease()), 1n);
    assert.deepEqual(refused, []);
    assert.equal(table.peers.length, 2);
    assert.deepEqual((await overlay.reconcile(table)).failures, []);
    assert.deepEqual(await overlay.reconcile(table), { changes: [], failures: [] });
    assert.equal(overlay.mtu, 1450);
    await pingFrom(ours, "10.244.1.1", "10.244.2.1");
    await pingFrom(other, "10.244.2.1", "10.244.1.1");
    await pingFrom(ours, "fd00:10:0:1::1", "fd00:10:0:2::1");
    await pingFrom(other, "fd00:10:0:2::1", "fd00:10:0:1::1");
    await pingFrom(ours, "10.244.1.1", "10.244.2.1", "-M", "do", "-s", String(1450 - 28));
    await assertTooLong(ours, "10.244.1.1", "10.244.2.1", 1451);
    await pingFrom(ours, "fd00:10:0:1::1", "fd00:10:0:2::1", "-M", "do", "-s", String(1430 - 48));
    assert.match(await ours.ip("link", "show", "flannel-v6.1"), /mtu 1430/);
  }),
);

test("a peer's new MAC is followed and leaves nothing behind; a peer that leaves is gone", options, () =>
  withBackend(DUAL, async ({ backend, ours, host }) => {
    const attrs = await backend.leaseAttrs(null);
    const own = ownLease(attrs);
    const overlay = await backend.attach(own);
    const program = async (...others: Lease[]) =>
      overlay.reconcile((await overlay.peers(leaseMap(own, ...others), 1n)).table);
    await program(otherLease());
    await program(otherLease("02:0e:00:00:00:77"));
    const fdb = await ours.exec("bridge", "fdb", "show", "dev", "flannel.1");
    assert.match(fdb, /02:0e:00:00:00:77 dst 192\.0\.2\.2/);
    assert.doesNotMatch(fdb, /02:0e:00:00:00:02/);
    await host.deleteLink("flannel.1");
    assert.deepEqual((await program(otherLease("02:0e:00:00:00:77"))).failures, []);
    assert.match(await ours.ip("route", "show", "10.244.2.0/24"), /dev flannel\.1/);
    await program();
    assert.equal(await ours.ip("neighbor", "show", "dev", "flannel.1", "nud", "permanent"), "");
    assert.equal(await ours.exec("bridge", "fdb", "show", "dev", "flannel.1"), "");
    assert.equal(await ours.ip("route", "show", "proto", "158"), "");
  }),
);

test(
  "a node that claims the MAC of another takes no packet from it, not even when it is older and was there first",
  options,
  () =>
    withBackend(DUAL, async ({ backend, ours, other }) => {
      const attrs = await backend.leaseAttrs(null);
      await programByHand(other, macOf(attrs));
      await addOwnPod(ours);
      const own = ownLease(attrs);
      const overlay = await backend.attach(own);
      // Nobody is there.
      const liar = { ...otherLease().attrs, publicIp: parseIpv4("192.0.2.3"), publicIpv6: parseIpv6("2001:db8::3") };
      const older = lease("10.244.3.0-24&fd00:10:0:3::-64", "192.0.2.3", 1n, { attrs: liar });
      const program = async (...others: Lease[]) => {
        const { table, contested } = await overlay.peers(leaseMap(own, ...others), 1n);
        const report = await overlay.reconcile(table);
        assert.deepEqual(report.failures, []);
        return { ...report, contested };
      };
      const reach = async () => {
        for (const [from, to, payload] of [
          ["10.244.1.1", "10.244.2.1", 1450 - 28],
          ["fd00:10:0:1::1", "fd00:10:0:2::1", 1430 - 48],
        ] as const) {
          await pingFrom(ours, from, to);
          await pingFrom(ours, from, to, "-M", "do", "-s", String(payload));
        }
      };
      const rules = () => ours.exec("nft", "list", "ruleset");
      const { contested } = await program(older, otherLease());
      assert.deepEqual(
        contested?.map(({ key }) => key),
        [otherLease().key, otherLease().key],
        "of each family",
      );
      await reach();
      const bulk = { from: ours.name, to: other.name, address: "10.244.2.1", seconds: 1 };
      await eventually(async () => {
        const { bitsPerSecond } = await runIperfTcp(bulk);
        assert.ok(bitsPerSecond > 100e6, `super-packets do not get through: ${bitsPerSecond} bit/s`);
      });
      assert.deepEqual((await program(older, otherLease())).changes, []);
      await ours.exec("nft", "flush", "ruleset");
      await program(older, otherLease());
      await reach();
      await program(otherLease());
      await reach();
      assert.equal(await rules(), "", "nothing is left of it");
    }),
);

test("the VTEP MAC outlives device and restart, and that of a device found is taken over", options, () =>
  withBackend(
    { ...DUAL, Backend: { Type: "vxlan", VNI: 7, Port: 4789 } },
    async ({ backend, ours, host, stateDir }) => {
      await ours.ip(
        "link",
        "add",
        "flannel.7",
        "address",
        "02:0f:00:00:00:07",
        "type",
        "vxlan",
        "id",
        "7",
        "dstport",
        "4789",
        "dev",
        "u0",
      );
      const attrs = await backend.leaseAttrs(null);
      assert.deepEqual(attrs.backendData, { VNI: 7, VtepMAC: "02:0f:00:00:00:07" });
      await backend.attach(ownLease(attrs));
      assert.equal(await readFile(join(stateDir, "flannel.7.mac"), "utf8"), "02:0f:00:00:00:07\n");
      await host.deleteLink("flannel.7");
      const config = { ...DUAL, Backend: { Type: "vxlan", VNI: 7, Port: 4789 } };
      const again = makeBackend(await contextOf(host, config, stateDir));
      assert.deepEqual(await again.leaseAttrs(null), attrs);
    },
  ),
);

test("DirectRouting gives a plain route on the segment, and follows when a gateway comes between", options, () =>
  withBackend({ ...DUAL, Backend: { Type: "vxlan", DirectRouting: true } }, async ({ backend, ours }) => {
    const attrs = await backend.leaseAttrs(null);
    const own = ownLease(attrs);
    const overlay = await backend.attach(own);
    const program = async () => overlay.reconcile((await overlay.peers(leaseMap(own, otherLease()), 1n)).table);
    await program();
    assert.match(await ours.ip("route", "show", "10.244.2.0/24"), /via 192\.0\.2\.2 dev u0 proto 158/);
    assert.match(await ours.ip("-6", "route", "show", "fd00:10:0:2::/64"), /via 2001:db8::2 dev u0 proto 158/);
    await ours.ip("route", "add", "192.0.2.2/32", "via", "192.0.2.254");
    await ours.ip("-6", "route", "add", "2001:db8::2/128", "via", "2001:db8::fe");
    assert.deepEqual((await program()).failures, []);
    assert.match(await ours.ip("route", "show", "10.244.2.0/24"), /via 10\.244\.2\.0 dev flannel\.1/);
    const v6 = await ours.ip("-6", "route", "show", "fd00:10:0:2::/64");
    assert.match(v6, /^fd00:10:0:2::\/64 via fd00:10:0:2:: dev flannel-v6\.1 proto 158[^\n]*\n$/);
  }),
);

test("the next hops of peers are found by asking the network", options, () =>
  withBackend(DUAL, async ({ backend, other }) => {
    const attrs = await backend.leaseAttrs(null);
    const own = ownLease(attrs);
    const overlay = await backend.attach(own);
    const { table } = await overlay.peers(leaseMap(own, otherLease()), 5n);
    assert.equal(table.version, 5n);
    const mac = (await other.netlink.link("u0"))?.mac;
    // A segment that has just come up may lose the first question; the next look finds what the kernel resolved since.
    const deadline = Date.now() + 30_000;
    const ask = async () => [...(await overlay.nextHops(table.peers, new AbortController().signal)).values()];
    let hops = await ask();
    while (hops.some((hop) => hop.mac === null) && Date.now() < deadline) hops = await ask();
    assert.deepEqual(
      hops.map((hop) => [hop.mac, hop.pathMtu]),
      [
        [mac, 1500],
        [mac, 1500],
      ],
    );
  }),
);

test("GBP is a flag of the kernel's device and keeps the data plane out", options, () =>
  withBackend({ ...DUAL, Backend: { Type: "vxlan", GBP: true } }, async ({ backend, ours }) => {
    const overlay = await backend.attach(ownLease(await backend.leaseAttrs(null)));
    assert.equal(overlay.dataplane, null);
    for (const device of ["flannel.1", "flannel-v6.1"]) {
      assert.match(await ours.ip("-d", "link", "show", device), / gbp /);
    }
  }),
);
