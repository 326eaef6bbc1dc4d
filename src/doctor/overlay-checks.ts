// Checks of what the agent should have made on this host: the overlay device, subnet.env, routes, neighbours, FDB entries.
// Compares the expectation with the host's own words. Pure.
import { parsePrefix, prefixesOverlap } from "../addr/prefix.js";
import type { Expectation, ExpectedPeer } from "./expectation.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";
import type { HostFacts, LinkFact } from "./host-facts.js";

const RESTORES = "the agent restores it at once: start it (systemctl start ripstop), or look into its log when it runs";

export function checkSubnetFile(path: string, text: string | null, expected: Expectation): Finding {
  if (text === null) {
    return fail(
      "subnet_env",
      `${path} is missing`,
      "the CNI plugin cannot set up a pod (subnet.env: no such file or directory)",
      "restart the agent: it writes the file as soon as it has a lease; keep /run/flannel on a tmpfs that nobody empties",
    );
  }
  const subnet = /^FLANNEL_SUBNET=(\S+)$/m.exec(text)?.[1] ?? null;
  const mtu = Number(/^FLANNEL_MTU=(\d+)$/m.exec(text)?.[1]);
  const own = expected.subnets.find((one) => !one.includes(":"));
  const written = subnet === null ? null : parsePrefix(subnet);
  const wanted = own === undefined ? null : parsePrefix(own);
  if (wanted !== null && (written === null || JSON.stringify(plain(written)) !== JSON.stringify(plain(wanted)))) {
    return fail(
      "subnet_env",
      `${path} says ${subnet ?? "no subnet"}, the lease is ${own}`,
      "new pods get addresses that other nodes do not route here",
      "restart the agent, then the pods of this node",
    );
  }
  if (expected.mtu !== null && mtu > expected.mtu) {
    return fail(
      "subnet_env",
      `${path} says MTU ${mtu}, the overlay has ${expected.mtu}`,
      "new pods send packets that do not fit the overlay",
      "restart the agent, then the pods of this node",
    );
  }
  return ok("subnet_env", `${path}: ${subnet ?? "IPv6 only"}, MTU ${mtu}`);
}

export function checkDevice(facts: HostFacts, expected: Expectation): Finding {
  const { device } = expected;
  if (device === null) return ok("device", `${expected.backend} needs no overlay device`);
  const link = facts.links.find(({ ifname }) => ifname === device);
  if (link === undefined) return fail("device", `${device} is missing`, "no traffic to other nodes", `${RESTORES}`);
  if (!link.flags.includes("UP")) return fail("device", `${device} is down`, "no traffic to other nodes", RESTORES);
  return (
    checkMac(link, expected) ??
    checkDeviceMtu(link, expected) ??
    ok("device", `${device}, MAC ${link.address ?? "none"}, MTU ${link.mtu}`)
  );
}

function checkMac(link: LinkFact, { vtepMac, device }: Expectation): Finding | null {
  if (vtepMac === null || link.address === undefined || link.address === vtepMac) return null;
  return fail(
    "device",
    `${device} has MAC ${link.address}, this node's lease announces ${vtepMac}`,
    "peers send frames to the announced MAC, which the device does not take: no traffic from other nodes",
    `ip link set ${device} address ${vtepMac}; for systemd-udevd a .link file: [Match] OriginalName=flannel.* [Link] MACAddressPolicy=none`,
  );
}

function checkDeviceMtu(link: LinkFact, { mtu, device }: Expectation): Finding | null {
  if (mtu === null || link.mtu === mtu) return null;
  return fail(
    "device",
    `${device} has MTU ${link.mtu}, the agent wants ${mtu}`,
    "packets of pods are dropped or split where they need not be",
    `ip link set ${device} mtu ${mtu}`,
  );
}

export function checkUplinkMtu(facts: HostFacts, expected: Expectation): Finding {
  const uplink = facts.links.find(({ ifname }) => ifname === expected.externalInterface);
  const overlay = facts.links.find(({ ifname }) => ifname === expected.device);
  const mtu = overlay?.mtu ?? expected.mtu;
  if (uplink === undefined || mtu === null) return skip("mtu", "needs a running agent");
  if (expected.configuredMtu > uplink.mtu) {
    return fail(
      "mtu",
      `Backend.MTU is ${expected.configuredMtu}, but ${uplink.ifname} has ${uplink.mtu}`,
      `this node uses ${uplink.mtu}; what nodes send that have more does not reach it: connections open and then hang`,
      `set Backend.MTU to ${uplink.mtu} or leave it out, or raise the MTU of ${uplink.ifname} to ${expected.configuredMtu}`,
    );
  }
  const family = expected.publicIps.some((ip) => !ip.includes(":")) ? 4 : 6;
  const needed = mtu + expected.overhead[family];
  if (needed <= uplink.mtu)
    return ok("mtu", `overlay ${mtu} + ${expected.overhead[family]} fits ${uplink.ifname} (${uplink.mtu})`);
  return fail(
    "mtu",
    `overlay ${mtu} + ${expected.overhead[family]} = ${needed}, but ${uplink.ifname} has ${uplink.mtu}`,
    "full-size packets do not get through: connections open and then hang",
    `set Backend.MTU (that of the network between the nodes) to ${uplink.mtu} or leave it out, or raise the MTU of ${uplink.ifname} to ${needed}`,
  );
}

export function checkProgrammedPeers(facts: HostFacts, expected: Expectation): Finding {
  const missing = expected.peers.flatMap((peer) => missingOf(peer, facts, expected));
  if (expected.peers.length === 0) return ok("peers", "no peers yet");
  if (missing.length === 0) return ok("peers", `${expected.peers.length} peers, all programmed`);
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
  return fail("peers", `${missing.slice(0, 3).join("; ")}${more}`, "no traffic to those peers' pods", RESTORES);
}

export function missingOf(peer: ExpectedPeer, facts: HostFacts, { backend, device }: Expectation): string[] {
  const route = facts.routes.find(({ dst }) => dst === peer.prefix);
  if (route === undefined && backend !== "udp" && backend !== "extension" && backend !== "alloc")
    return [`the route to ${peer.prefix} (${peer.lease}) is missing`];
  const vtepMac = peer.alias ?? peer.vtepMac;
  if (backend !== "vxlan" || peer.direct || device === null || vtepMac === null) return [];
  if (route?.dev !== device)
    return [`the route to ${peer.prefix} leaves by ${route?.dev ?? "nothing"}, not by ${device}`];
  const network = peer.prefix.split("/")[0];
  const neighbor = facts.neighbors.find(({ dst, dev }) => dst === network && dev === device);
  if (neighbor?.lladdr !== vtepMac)
    return [`the neighbour ${network} on ${device} is ${neighbor?.lladdr ?? "missing"}, not ${vtepMac}`];
  const entry = facts.fdb.find(({ mac, dst, ifname }) => mac === vtepMac && dst === peer.publicIp && ifname === device);
  return entry === undefined ? [`the FDB entry of ${vtepMac} to ${peer.publicIp} on ${device} is missing`] : [];
}

export function checkDuplicates(
  expected: Expectation,
  refused: readonly { readonly key: string; readonly reason: string }[],
): Finding {
  const claimed = refused.find(
    ({ reason }) => reason.includes("our own public address") || reason.includes("VTEP MAC"),
  );
  const owners = new Map<string, string>(expected.publicIps.map((ip) => [ip, "this node"]));
  let twice: string | null = claimed === undefined ? null : `lease ${claimed.key}: ${claimed.reason}`;
  for (const { publicIp, lease } of expected.peers) {
    const owner = owners.get(publicIp);
    if (owner !== undefined && owner !== lease) twice ??= `${publicIp} is announced by ${owner} and by lease ${lease}`;
    owners.set(publicIp, lease);
  }
  if (twice === null) return ok("public_ip", `${expected.publicIps.join(", ")}, announced by nobody else`);
  return fail(
    "public_ip",
    twice,
    "two nodes with one address: traffic to one of them goes to the other (every VirtualBox machine has 10.0.2.15)",
    "give each node its own with --iface or --public-ip; delete the lease of a machine that is gone",
  );
}

/** Routes of this host into the overlay's network that are not the overlay's. */
export function checkOverlap(facts: HostFacts, expected: Expectation): Finding {
  const networks = expected.networks.map(parsePrefix).filter((one) => one !== null);
  const foreign = facts.routes.find(({ dst, dev, protocol, type }) => {
    const prefix = parsePrefix(dst.includes("/") ? dst : `${dst}/${dst.includes(":") ? 128 : 32}`);
    const ours = protocol === "158" || /^(flannel|cni|docker|veth|rs[ou]\.)/.test(dev ?? "") || type === "blackhole";
    const known = expected.peers.some((peer) => peer.prefix === dst);
    return (
      prefix !== null && dst !== "default" && !ours && !known && networks.some((net) => prefixesOverlap(net, prefix))
    );
  });
  if (foreign === undefined) return ok("network", expected.networks.join(", ") || "unknown");
  return warn(
    "network",
    `${expected.networks.join(", ")} overlaps the route ${foreign.dst} dev ${foreign.dev ?? "?"}`,
    "some pods and some machines of that network are not reachable from this node",
    "choose another Network in the network configuration, or remove the route",
  );
}

/** cni0 of an earlier subnet, which the bridge plugin refuses. */
export function checkBridge(facts: HostFacts, expected: Expectation): Finding {
  const bridge = facts.links.find(({ ifname }) => ifname === "cni0");
  if (bridge === undefined) return ok("cni0", "not there yet: the first pod makes it");
  const own = expected.subnets.map(parsePrefix).filter((one) => one !== null);
  const stray = (bridge.addr_info ?? []).find(({ local, family }) => {
    const address = parsePrefix(`${local}/${family === "inet" ? 32 : 128}`);
    return address !== null && !local.startsWith("fe80") && !own.some((prefix) => prefixesOverlap(prefix, address));
  });
  if (stray === undefined) return ok("cni0", (bridge.addr_info ?? []).map(({ local }) => local).join(", "));
  return fail(
    "cni0",
    `cni0 has ${stray.local}, outside this node's ${expected.subnets.join(", ")}`,
    "new pods fail with: cni0 already has an IP address different from",
    "ip link delete cni0, then restart the pods of this node",
  );
}

/** Devices by which other pod networks are known, and flannel's own from a configuration before this one. */
const OVERLAYS = /^(flannel|vxlan\.calico|cali|cilium_|lxc_|weave|antrea-|ovn|kube-bridge|tunl0$)/;

export function checkLeftovers({ links }: HostFacts, { device }: Expectation, own: readonly string[]): Finding {
  const stray = links
    .filter(
      ({ ifname, flags }) =>
        OVERLAYS.test(ifname) && ifname !== device && !own.includes(ifname) && flags.includes("UP"),
    )
    .map(({ ifname }) => ifname);
  if (stray.length === 0) return ok("leftovers", "no device of another pod network");
  return warn(
    "leftovers",
    `${stray.slice(0, 5).join(", ")}${stray.length > 5 ? ` and ${stray.length - 5} more` : ""}`,
    "another pod network, or an earlier configuration, still has devices up: its routes and rules may take packets of pods",
    `${stray[0]?.startsWith("flannel") === true ? `ip link delete ${stray[0]}` : "uninstall that network"}, when no pod uses it any more; ripstop cleanup --dry-run shows what is ours`,
  );
}

function plain(prefix: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(prefix).map(([key, value]) => [key, String(value)]));
}
