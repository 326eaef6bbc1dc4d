// Checks that send packets: does the underlay reach the peers, over which interface, does the overlay, and with packets of
// full size. A few peers only, a few packets each.
import { addressAt, formatAddress, parsePrefix } from "../addr/prefix.js";
import type { Prefix } from "../addr/address.js";
import type { Expectation, ExpectedPeer } from "./expectation.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";
import { deviceTowards } from "./host-facts.js";
import { ping, searchMtu } from "./probe.js";

const PEERS_MAX = 8;
const SMALL = 100;
/** Backends whose configuration may say the MTU of the underlay. */
const TAKES_MTU: ReadonlySet<string> = new Set(["vxlan", "wireguard"]);

/** An address of the peer inside the overlay that its host answers itself; null when the backend gives it none. */
export function overlayAddress(peer: ExpectedPeer, backend: string): string | null {
  const prefix = parsePrefix(peer.prefix);
  if (prefix === null || backend === "alloc" || backend === "extension") return null;
  // The overlay device has the network's own address; without one it is the bridge, which the first pod makes.
  const offset = backend === "host-gw" || peer.direct ? 1 : 0;
  return formatAddress({ ...prefix, address: addressAt(prefix, offset) } as Prefix);
}

/** The interface that was chosen is not the one that leads to the others: Vagrant's 10.0.2.15, a second NIC, a VPN. */
export async function checkInterface(expected: Expectation): Promise<Finding> {
  const { externalInterface, peers } = expected;
  if (externalInterface === null) return skip("interface", "needs a running agent");
  if (peers.length === 0) return ok("interface", `${externalInterface}; no peers yet`);
  for (const peer of peers.slice(0, PEERS_MAX)) {
    const device = await deviceTowards(peer.publicIp);
    if (device === externalInterface) continue;
    return fail(
      "interface",
      `${externalInterface} (${expected.publicIps.join(", ")}), but peer ${peer.publicIp} is reached over ${device ?? "nothing"}`,
      "the others send to an address that does not lead here, and packets leave by another interface than they are made for",
      `start the agent with --iface=${device ?? "NAME"} or --iface-can-reach=${peer.publicIp}`,
    );
  }
  return ok("interface", `${externalInterface} (${expected.publicIps.join(", ")}) leads to the peers`);
}

export async function checkReach(expected: Expectation): Promise<Finding[]> {
  const some = expected.peers.slice(0, PEERS_MAX);
  if (some.length === 0) return [ok("reach", "no peers yet")];
  const results = await Promise.all(some.map((peer) => reach(peer, expected)));
  const worst = results.find(({ verdict }) => verdict === "fail") ?? results.find(({ verdict }) => verdict !== "ok");
  return [
    worst ?? ok("reach", `${results.length} of ${expected.peers.length} peers answer, with packets of full size`),
  ];
}

async function reach(peer: ExpectedPeer, expected: Expectation): Promise<Finding> {
  const inside = overlayAddress(peer, expected.backend);
  const [under, over] = await Promise.all([ping(peer.publicIp), inside === null ? null : ping(inside)]);
  if (inside === null || over === null) return ok("reach", `${expected.backend} has no address to ask`);
  if (over.received === 0) return silentOverlay(peer, inside, under.received > 0, expected);
  if (over.received < over.sent) {
    return warn(
      "reach",
      `${inside} (${peer.lease}) answered ${over.received} of ${over.sent} pings`,
      "packets are lost on the way",
      "ripstop capture -i drop, ripstop top; compare with ripstop ping on the underlay",
    );
  }
  return checkFullSize(peer, inside, expected);
}

function silentOverlay(peer: ExpectedPeer, inside: string, underlay: boolean, { port, backend }: Expectation): Finding {
  if (!underlay) {
    return fail(
      "reach",
      `peer ${peer.publicIp} (${peer.lease}) answers no ping, nor does ${inside} behind it`,
      "the node is down, its address is wrong, or the network between does not carry its packets",
      `ping ${peer.publicIp}; look at ripstop status there; check what it announces (--public-ip, --iface)`,
    );
  }
  const how = port === null ? `the routes of ${backend}` : `UDP port ${port}`;
  return fail(
    "reach",
    `peer ${peer.publicIp} answers pings, ${inside} behind it does not`,
    `a firewall between the nodes or on the peer blocks ${how}, or the peer does not know this node`,
    `allow ${how} between all nodes (VMware NSX takes 8472 for itself: set Backend.Port); run ripstop doctor on ${peer.publicIp} too`,
  );
}

async function checkFullSize(peer: ExpectedPeer, inside: string, expected: Expectation): Promise<Finding> {
  if (expected.mtu === null) return ok("reach", `${inside} answers`);
  const passes = await searchMtu(inside, { least: SMALL, most: expected.mtu });
  if (passes === expected.mtu) return ok("reach", `${inside} answers packets of ${passes} bytes`);
  const family = peer.publicIp.includes(":") ? 6 : 4;
  const path = (passes ?? SMALL) + expected.overhead[family];
  return fail(
    "reach",
    `${inside} (${peer.lease}): packets up to ${passes ?? "?"} bytes arrive, the overlay's MTU is ${expected.mtu}`,
    `the network between the nodes carries ${path} bytes, less than the interface says: connections open and then hang`,
    TAKES_MTU.has(expected.backend)
      ? `set Backend.MTU (that of the network between the nodes) to ${path}, or raise the MTU of that network`
      : `ip link set ${expected.externalInterface ?? "UPLINK"} mtu ${path} on all nodes, or raise the MTU of the network between`,
  );
}
