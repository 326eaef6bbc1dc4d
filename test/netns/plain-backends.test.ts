// host-gw, alloc, udp's route and ipip's on a real host, with a second one on the same segment.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeBackend } from "../../src/backend/catalog.js";
import type { Overlay } from "../../src/backend/backend.js";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseIpv6 } from "../../src/addr/ipv6.js";
import type { TunnelSpec } from "../../src/host/host.js";
import type { NetlinkHost } from "../../src/host/netlink-host.js";
import { kernelLacks } from "../support/kernel.js";
import { rootNeeded } from "../support/lab.js";
import { lease, leaseMap } from "../support/lease-builder.js";
import { addOwnPod, assertTooLong, contextOf, pingFrom, type TwoHosts, withTwoHosts } from "../support/two-hosts.js";

const options = { skip: rootNeeded };
const V4 = { Network: "10.244.0.0/16" };
const DUAL = { ...V4, EnableIPv6: true, IPv6Network: "fd00:10::/48" };

async function attach({ host }: TwoHosts, config: object) {
  const backend = makeBackend(await contextOf(host, config, "/nonexistent"));
  const own = lease("10.244.1.0-24&fd00:10:0:1::-64", "192.0.2.1", 1n, { attrs: await backend.leaseAttrs(null) });
  return { own, overlay: await backend.attach(own) };
}

async function program(overlay: Overlay, ...leases: ReturnType<typeof lease>[]) {
  return overlay.reconcile((await overlay.peers(leaseMap(overlay.own, ...leases), 1n)).table);
}

const other = (backendType: string) =>
  lease("10.244.2.0-24&fd00:10:0:2::-64", "192.0.2.2", 2n, {
    attrs: { publicIp: parseIpv4("192.0.2.2"), publicIpv6: parseIpv6("2001:db8::2"), backendType },
  });

test("host-gw routes to peers on the segment in both families and reports one that is not", options, () =>
  withTwoHosts(async (hosts) => {
    const { ours, other: far } = hosts;
    await addOwnPod(ours);
    await far.ip("address", "add", "10.244.2.1/32", "dev", "lo");
    await far.ip("address", "add", "fd00:10:0:2::1/128", "dev", "lo");
    await far.ip("route", "add", "10.244.1.0/24", "via", "192.0.2.1");
    await far.ip("route", "add", "fd00:10:0:1::/64", "via", "2001:db8::1");
    const { overlay } = await attach(hosts, { ...DUAL, Backend: { Type: "host-gw" } });
    assert.equal(overlay.mtu, 1500);
    assert.equal(overlay.dataplane, null);
    const behind = lease("10.244.3.0-24", "198.51.100.3", 3n, {
      attrs: { publicIp: parseIpv4("198.51.100.3"), publicIpv6: null, backendType: "host-gw" },
    });
    const { failures } = await program(overlay, other("host-gw"), lease("10.244.9.0-24", "192.0.2.9", 9n), behind);
    assert.deepEqual(
      failures.map(({ object }) => object),
      ["route 10.244.3.0/24"],
    );
    assert.match(failures[0]?.message ?? "", /ENETUNREACH/);
    assert.equal(
      (await ours.ip("route", "show", "10.244.2.0/24")).trim(),
      "10.244.2.0/24 via 192.0.2.2 dev u0 proto 158",
    );
    await pingFrom(ours, "10.244.1.1", "10.244.2.1");
    await pingFrom(ours, "fd00:10:0:1::1", "fd00:10:0:2::1");
    await ours.ip("route", "delete", "10.244.2.0/24");
    assert.deepEqual((await program(overlay, other("host-gw"))).changes, [
      { object: "route 10.244.2.0/24", action: "replace" },
    ]);
    await program(overlay);
    assert.equal(await ours.ip("route", "show", "proto", "158"), "");
  }),
);

test("host-gw refuses NAT, and backends of IPv4 alone refuse IPv6", options, () =>
  withTwoHosts(async ({ host }) => {
    const context = await contextOf(host, { ...V4, Backend: { Type: "host-gw" } }, "/nonexistent");
    const publicIp = parseIpv4("203.0.113.1");
    assert.throws(() => makeBackend({ ...context, external: { ...context.external, publicIp } }), /behind NAT/);
    for (const Type of ["udp", "ipip"]) {
      const dual = await contextOf(host, { ...DUAL, Backend: { Type } }, "/nonexistent");
      assert.throws(() => makeBackend(dual), /carries IPv4 only/);
    }
    const unknown = await contextOf(host, { ...V4, Backend: { Type: "gre" } }, "/nonexistent");
    assert.throws(() => makeBackend(unknown), /unknown backend type: gre .* choose one of alloc, /);
    const wrong = await contextOf(host, { ...V4, Backend: { Type: "vxlan", VNI: "one" } }, "/nonexistent");
    assert.throws(() => makeBackend(wrong), /Backend\.VNI is "one"/);
  }),
);

test("alloc carries nothing and removes what an earlier backend routed", options, () =>
  withTwoHosts(async (hosts) => {
    const before = await attach(hosts, { ...V4, Backend: { Type: "host-gw" } });
    await program(before.overlay, other("host-gw"));
    const { overlay, own } = await attach(hosts, { ...V4, Backend: { Type: "alloc" } });
    assert.equal(own.attrs.backendType, "");
    assert.deepEqual((await program(overlay, other(""))).changes, [
      { object: "route 10.244.2.0/24", action: "delete" },
    ]);
    assert.equal(await hosts.ours.ip("route", "show", "proto", "158"), "");
  }),
);

test("udp dresses flannel0 once the data plane has made it, and routes the whole overlay into it", options, () =>
  withTwoHosts(async (hosts) => {
    const { ours } = hosts;
    const { overlay, own } = await attach(hosts, { ...V4, Backend: { Type: "udp" } });
    assert.equal(own.attrs.backendType, "");
    assert.deepEqual([overlay.mtu, overlay.dataplane?.port], [1472, 8285]);
    const { table } = await overlay.peers(leaseMap(own, other("vxlan"), lease("10.244.4.0-24", "192.0.2.4")), 1n);
    assert.equal(table.peers.length, 2);
    const early = await overlay.reconcile(table);
    assert.deepEqual(
      early.failures.map(({ message }) => message),
      ["interface flannel0 does not exist"],
    );
    await ours.ip("tuntap", "add", "flannel0", "mode", "tun");
    assert.deepEqual((await overlay.reconcile(table)).failures, []);
    assert.match(await ours.ip("route", "show", "10.244.0.0/16"), /^10\.244\.0\.0\/16 dev flannel0 proto 158/);
    assert.match(await ours.ip("address", "show", "flannel0"), /mtu 1472[\s\S]*inet 10\.244\.1\.0\/32 scope global/);
    assert.deepEqual(await overlay.reconcile(table), { changes: [], failures: [] });
  }),
);

test("ipip routes every peer through its device, or over the segment with DirectRouting", options, () =>
  withTwoHosts(async (hosts) => {
    const { ours } = hosts;
    // A TUN stands in for the device where the kernel has no ipip: what is tested here is how it is used.
    const ensureTunnel = async (spec: TunnelSpec) => {
      if (!(await hosts.host.links()).some(({ name }) => name === spec.name))
        await ours.ip("tuntap", "add", spec.name, "mode", "tun");
      return hosts.host.ensureTunnel({ ...spec, kind: "tun", local: null });
    };
    const host = new Proxy<NetlinkHost>(hosts.host, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (key === "ensureTunnel") return ensureTunnel;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    const behind = lease("10.244.3.0-24", "198.51.100.3", 3n, {
      attrs: { publicIp: parseIpv4("198.51.100.3"), publicIpv6: null, backendType: "ipip" },
    });
    const alien = lease("10.244.4.0-24", "192.0.2.4", 4n);
    await ours.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.254");
    const { overlay } = await attach({ ...hosts, host }, { ...V4, Backend: { Type: "ipip" } });
    assert.deepEqual((await program(overlay, other("ipip"), behind, alien)).failures, []);
    const route = async (subnet: string) => (await ours.ip("route", "show", subnet)).trim();
    assert.equal(overlay.mtu, 1480);
    assert.match(await ours.ip("address", "show", "flannel.ipip"), /mtu 1480[\s\S]*inet 10\.244\.1\.0\/32/);
    for (const [subnet, remote] of [
      ["10.244.2.0/24", "192.0.2.2"],
      ["10.244.3.0/24", "198.51.100.3"],
    ] as const) {
      // The stand-in is never opened, so it has no carrier.
      assert.match(await route(subnet), new RegExp(`^${subnet} via ${remote} dev flannel.ipip proto 158 onlink`));
    }
    assert.equal(await route("10.244.4.0/24"), "", "a lease of vxlan is no peer");
    const direct = await attach({ ...hosts, host }, { ...V4, Backend: { Type: "ipip", DirectRouting: true } });
    assert.deepEqual((await program(direct.overlay, other("ipip"), behind)).failures, []);
    assert.equal(await route("10.244.2.0/24"), "10.244.2.0/24 via 192.0.2.2 dev u0 proto 158");
    assert.match(await route("10.244.3.0/24"), /dev flannel\.ipip proto 158 onlink/);
    await program(direct.overlay);
    assert.equal(await ours.ip("route", "show", "proto", "158"), "");
  }),
);

test("without its module ipip and wireguard are one error that names it", options, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "ripstop-wg-"));
  process.env["WIREGUARD_KEY_FILE"] = join(folder, "key");
  t.after(() => rm(folder, { recursive: true }));
  await withTwoHosts(async (hosts) => {
    for (const kind of ["ipip", "wireguard"]) {
      if (kernelLacks(kind) === false) {
        t.diagnostic(`this kernel has ${kind}: nothing to refuse`);
        continue;
      }
      const message = new RegExp(`load the module ${kind} \\(modprobe ${kind}\\)`);
      const attempt = attach(hosts, { ...V4, Backend: { Type: kind } });
      await assert.rejects(attempt, { code: "MODULE_MISSING", message }, kind);
    }
  });
});

test(
  "the kernel's ipip: pods of two nodes talk, a restart keeps the device, another address makes it anew",
  {
    skip: rootNeeded || kernelLacks("ipip"),
  },
  () =>
    withTwoHosts(async (hosts) => {
      const { ours, other: far } = hosts;
      await addOwnPod(ours);
      await far.ip("address", "add", "10.244.2.1/32", "dev", "lo");
      await far.ip("link", "add", "back", "type", "ipip", "local", "192.0.2.2");
      await far.ip("link", "set", "back", "up");
      await far.ip("route", "add", "10.244.1.0/24", "via", "192.0.2.1", "dev", "back", "onlink");
      const { overlay } = await attach(hosts, { ...V4, Backend: { Type: "ipip" } });
      await program(overlay, other("ipip"));
      await pingFrom(ours, "10.244.1.1", "10.244.2.1", "-M", "do", "-s", String(1480 - 28));
      await assertTooLong(ours, "10.244.1.1", "10.244.2.1", 1481);
      const indexOf = async () => (await hosts.host.links()).find(({ name }) => name === "flannel.ipip")?.index;
      const before = await indexOf();
      await attach(hosts, { ...V4, Backend: { Type: "ipip" } });
      assert.equal(await indexOf(), before);
      await ours.ip("address", "replace", "192.0.2.77/24", "dev", "u0");
      await ours.ip("address", "delete", "192.0.2.1/24", "dev", "u0");
      await attach(hosts, { ...V4, Backend: { Type: "ipip" } });
      assert.match(await ours.ip("-d", "link", "show", "flannel.ipip"), /local 192\.0\.2\.77/);
    }),
);
