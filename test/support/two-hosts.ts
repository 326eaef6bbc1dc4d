// Two hosts on one segment: `ours`, which a test programs through a Host, and `other`, a kernel VXLAN peer set up by hand with
// iproute2. Each has a "pod" address on its loopback, so that a ping from one to the other crosses the overlay.
import assert from "node:assert/strict";
import type { BackendContext, BackendLog } from "../../src/backend/backend.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import { listHost, selectExternalInterface } from "../../src/host/external-interface.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import { type TestNamespace, withNamespace } from "./network-namespace.js";
import { pingAll } from "./ping-all.js";
import { until } from "./until.js";

export const SILENT: BackendLog = { info: () => undefined, warn: () => undefined };

export interface TwoHosts {
  readonly ours: TestNamespace;
  readonly other: TestNamespace;
  readonly host: NetlinkHost;
}

/** 192.0.2.1 and 192.0.2.2, 2001:db8::1 and ::2, on devices called u0. */
export async function withTwoHosts(body: (hosts: TwoHosts) => Promise<void>): Promise<void> {
  await withNamespace((ours) =>
    withNamespace(async (other) => {
      await ours.ip("link", "add", "u0", "type", "veth", "peer", "name", "u0", "netns", other.name);
      for (const [number, namespace] of [ours, other].entries()) {
        await namespace.ip("address", "add", `192.0.2.${number + 1}/24`, "dev", "u0");
        await namespace.ip("address", "add", `2001:db8::${number + 1}/64`, "dev", "u0", "nodad");
        await namespace.ip("link", "set", "u0", "up");
        await namespace.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
      }
      for (const { ip } of [ours, other])
        await until("the carrier, with which IPv6 begins", async () =>
          (await ip("link", "show", "u0")).includes("state UP"),
        );
      await body({ ours, other, host: new NetlinkHost(ours.netlink) });
    }),
  );
}

/** The context a backend gets for this network configuration on `ours`. */
export async function contextOf(host: NetlinkHost, config: object, stateDir: string): Promise<BackendContext> {
  const network = parseNetworkConfig(JSON.stringify(config));
  const wishes = { iface: ["u0"], ifaceRegex: [], ifaceCanReach: "", publicIp: null, publicIpv6: null };
  const stack = { ipv4: network.enableIpv4, ipv6: network.enableIpv6 };
  const external = selectExternalInterface(wishes, stack, await listHost(host, wishes));
  return { host, network, external, stateDir, log: SILENT };
}

export const OTHER_MAC = "02:0e:00:00:00:02";

/** What an administrator types to make `other` a VXLAN peer of 10.244.1.0/24 and fd00:10:0:1::/64. */
export async function programByHand(other: TestNamespace, ourMac: string): Promise<void> {
  const vxlan = ["type", "vxlan", "id", "1", "dstport", "8472", "nolearning", "dev", "u0"];
  await other.ip("link", "add", "vx4", "address", OTHER_MAC, ...vxlan, "local", "192.0.2.2");
  await other.ip("link", "add", "vx6", "address", OTHER_MAC, ...vxlan, "local", "2001:db8::2");
  const rows = [
    ["vx4", "10.244.2.0/32", "10.244.1.0", "10.244.1.0/24", "192.0.2.1"],
    ["vx6", "fd00:10:0:2::/128", "fd00:10:0:1::", "fd00:10:0:1::/64", "2001:db8::1"],
  ] as const;
  for (const [device, own, base, prefix, remote] of rows) {
    await other.ip("address", "add", own, "dev", device, ...(own.includes(":") ? ["nodad"] : []));
    await other.ip("link", "set", device, "up");
    await other.ip("neighbor", "add", base, "lladdr", ourMac, "dev", device, "nud", "permanent");
    await other.exec("bridge", "fdb", "add", ourMac, "dev", device, "dst", remote, "self", "permanent");
    await other.ip("route", "add", prefix, "via", base, "dev", device, "onlink");
  }
  await other.ip("address", "add", "10.244.2.1/32", "dev", "lo");
  await other.ip("address", "add", "fd00:10:0:2::1/128", "dev", "lo");
}

/** Our pod's addresses. */
export async function addOwnPod(ours: TestNamespace): Promise<void> {
  await ours.ip("address", "add", "10.244.1.1/32", "dev", "lo");
  await ours.ip("address", "add", "fd00:10:0:1::1/128", "dev", "lo");
}

/** A packet of so many bytes is refused by the sender's own kernel, whose device is narrower. */
export async function assertTooLong(
  namespace: TestNamespace,
  source: string,
  target: string,
  bytes: number,
): Promise<void> {
  const argv = ["ping", "-c", "1", "-w", "30", "-M", "do", "-s", String(bytes - 28), "-I", source, target];
  await assert.rejects(namespace.exec(...argv), /message too long/);
}

/** Three pings, after the first answer ever: a segment that has just come up may lose what resolves addresses. */
export async function pingFrom(
  namespace: TestNamespace,
  source: string,
  target: string,
  ...more: string[]
): Promise<void> {
  if (more.length === 0) await namespace.exec("ping", "-c", "1", "-w", "30", "-i", "0.2", "-I", source, target);
  await pingAll(namespace, target, { count: 3, options: ["-I", source, ...more] });
}
