// Finds everything on this host that carries our mark, and removes it: for `ripstop cleanup`. Our marks are the protocol number
// on routes and neighbors, the MAC that we wrote down for a tunnel device (a device with another MAC is somebody else's), the
// first address of our subnet on one that has no MAC, and the name of the pair that a data plane's overlay port stands on
// (native/plane/private_pair.h).
// Needs no agent and no knowledge of peers.
import type { Mac } from "../addr/address.js";
import { RIPSTOP_ROUTE_PROTOCOL } from "./host.js";
import type { Netlink } from "./netlink.js";
import type { NetlinkRequest } from "./netlink-objects.js";

/** One end; the other goes with it. */
const PRIVATE_PAIR = /^rsp\.\d{1,8}b?$/;
/** Tunnel devices that have no MAC. */
const WITHOUT_MAC = new Set(["flannel-wg", "flannel-wg-v6", "flannel.ipip"]);

export interface OwnObject {
  /** For people: "device flannel.1", "route 10.244.2.0/24". */
  readonly description: string;
  readonly removal: NetlinkRequest;
}

/** What our tunnel devices are known by: the MAC each was given, by name, and the addresses, as prefixes, that one has. */
export interface DeviceMarks {
  readonly macs: ReadonlyMap<string, Mac>;
  readonly addresses: ReadonlySet<string>;
}

/** In the order in which they are to be removed. */
export async function findOwnObjects(netlink: Netlink, marks: DeviceMarks): Promise<readonly OwnObject[]> {
  const links = await netlink.dump("link");
  const addressed = new Set<number>();
  for (const { linkIndex, prefix } of await netlink.dump("address")) {
    if (marks.addresses.has(prefix)) addressed.add(linkIndex);
  }
  const own = links.filter(
    ({ index, name, kind, mac }) =>
      (kind !== "" && mac !== null && marks.macs.get(name) === mac) ||
      (kind !== "" && WITHOUT_MAC.has(name) && addressed.has(index)) ||
      (kind === "veth" && PRIVATE_PAIR.test(name)),
  );
  // Routes, neighbors and FDB entries of a device go with it.
  const gone = new Set(own.map(({ index }) => index));
  const found: OwnObject[] = own.map(({ name, index }) => ({
    description: `device ${name}`,
    removal: { verb: "delete", object: "link", index },
  }));
  for (const route of await netlink.dump("route", { protocol: RIPSTOP_ROUTE_PROTOCOL })) {
    if (route.linkIndex !== null && gone.has(route.linkIndex)) continue;
    const { destination, gateway, linkIndex, table, type, priority, protocol } = route;
    found.push({
      description: `route ${destination}`,
      removal: { verb: "delete", object: "route", destination, gateway, linkIndex, table, type, priority, protocol },
    });
  }
  for (const { address, linkIndex, protocol } of await netlink.dump("neighbor")) {
    if (protocol !== RIPSTOP_ROUTE_PROTOCOL || address === null || gone.has(linkIndex)) continue;
    found.push({
      description: `neighbor ${address}`,
      removal: { verb: "delete", object: "neighbor", linkIndex, address },
    });
  }
  return found;
}

/** Removes them one by one; the result says what could not be removed, and why. */
export async function removeOwnObjects(netlink: Netlink, objects: readonly OwnObject[]): Promise<readonly string[]> {
  const outcomes = await netlink.apply(objects.map(({ removal }) => removal));
  return outcomes.flatMap((outcome, index) =>
    outcome.ok || GONE.has(outcome.code)
      ? []
      : [`${objects[index]?.description}: ${outcome.message} (${outcome.code})`],
  );
}

const GONE = new Set(["ENOENT", "ESRCH", "ENODEV"]);
