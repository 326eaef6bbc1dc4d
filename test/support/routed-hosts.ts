// Two hosts with a router between them whose far side is narrower: what a wide packet meets on its way.
//   ours - eth0 (1500) - router - eth0 (`narrow`) - other
// Both have flannel.1 as flannel would program it, over the underlay family asked for, and a "pod" address on loopback.
import { type TestNamespace, withNamespace } from "./network-namespace.js";

export interface RoutedHosts {
  readonly ours: TestNamespace;
  readonly other: TestNamespace;
  readonly router: TestNamespace;
}

export const OURS = { v4: "192.0.2.1", v6: "2001:db8:1::1", vtep: "02:00:0a:f4:01:00", pod: "10.244.1.1" } as const;
export const OTHER = { v4: "198.51.100.1", v6: "2001:db8:2::1", vtep: "02:00:0a:f4:02:00", pod: "10.244.2.1" } as const;
export const ROUTER_MAC = "02:00:00:00:00:fe";

export async function withRoutedHosts(
  family: 4 | 6,
  narrow: number,
  body: (hosts: RoutedHosts) => Promise<void>,
): Promise<void> {
  await withNamespace((ours) =>
    withNamespace((router) =>
      withNamespace(async (other) => {
        await router.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
        await connect(router, ours, "r1", 1500, ["192.0.2.254/24", "2001:db8:1::fe/64"], [OURS.v4, OURS.v6]);
        await connect(router, other, "r2", narrow, ["198.51.100.254/24", "2001:db8:2::fe/64"], [OTHER.v4, OTHER.v6]);
        await router.ip("link", "set", "r1", "address", ROUTER_MAC);
        await program(ours, OURS, OTHER, { base: "10.244.1.0", peerBase: "10.244.2.0", mtu: 1430, family });
        const mtu = narrow - (family === 4 ? 50 : 70);
        await program(other, OTHER, OURS, { base: "10.244.2.0", peerBase: "10.244.1.0", mtu, family });
        await body({ ours, other, router });
      }),
    ),
  );
}

async function connect(
  router: TestNamespace,
  host: TestNamespace,
  device: string,
  mtu: number,
  gateways: readonly [string, string],
  addresses: readonly [string, string],
): Promise<void> {
  const queues = ["numtxqueues", "1", "numrxqueues", "1"];
  await router.ip(
    "link",
    "add",
    device,
    ...queues,
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    ...queues,
    "netns",
    host.name,
  );
  for (const gateway of gateways) await router.ip("address", "add", gateway, "dev", device, ...nodad(gateway));
  for (const [at, bits] of [
    [addresses[0], "24"],
    [addresses[1], "64"],
  ] as const)
    await host.ip("address", "add", `${at}/${bits}`, "dev", "eth0", ...nodad(at));
  await router.ip("link", "set", device, "mtu", String(mtu), "up");
  await host.ip("link", "set", "eth0", "mtu", String(mtu), "up");
  for (const gateway of gateways) await host.ip("route", "add", "default", "via", gateway.split("/")[0] as string);
}

function nodad(address: string): string[] {
  return address.includes(":") ? ["nodad"] : [];
}

async function program(
  host: TestNamespace,
  own: typeof OURS | typeof OTHER,
  peer: typeof OURS | typeof OTHER,
  overlay: { readonly base: string; readonly peerBase: string; readonly mtu: number; readonly family: 4 | 6 },
): Promise<void> {
  const { base, peerBase, mtu, family } = overlay;
  const [local, remote] = family === 4 ? [own.v4, peer.v4] : [own.v6, peer.v6];
  const vxlan = ["type", "vxlan", "id", "1", "local", local, "dev", "eth0", "dstport", "8472", "nolearning"];
  await host.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1");
  await host.ip("link", "add", "flannel.1", "address", own.vtep, ...vxlan);
  await host.ip("address", "add", `${base}/32`, "dev", "flannel.1");
  await host.ip("link", "set", "flannel.1", "mtu", String(mtu), "up");
  await host.ip("neighbor", "add", peerBase, "lladdr", peer.vtep, "dev", "flannel.1", "nud", "permanent");
  await host.exec("bridge", "fdb", "add", peer.vtep, "dev", "flannel.1", "dst", remote, "self", "permanent");
  await host.ip("address", "add", `${own.pod}/32`, "dev", "lo");
  // The segment size that a wide host would announce, on either side: TCP finds the narrow link by sending into it.
  const via = ["via", peerBase, "dev", "flannel.1", "onlink", "src", own.pod, "advmss", "1390"];
  await host.ip("route", "add", `${peerBase}/24`, ...via);
}
