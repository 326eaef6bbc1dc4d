// Puts one of our devices in the place of another that the kernel cannot change into it. The new one is made beside the old, under
// a name of its own and down, with all that the old one has; then both change places in one go. Two VXLAN devices of one
// port cannot both be up, so there is a moment without either: a millisecond, and what the kernel takes for the routes.
import { RipstopError } from "../lib/errors.js";
import type { Netlink } from "./netlink.js";
import {
  ADDRESS_FLAG,
  type LinkRequest,
  NEIGHBOR_FLAG,
  NEIGHBOR_STATE,
  type NetlinkLink,
  type NetlinkRequest,
  type NetlinkRoute,
  ROUTE_PROTOCOL,
  ROUTE_TYPE,
  SCOPE,
} from "./netlink-objects.js";

const LOCAL_TABLE = 255;
/** Old down, old aside, new in its place, new up. */
const SWAP_REQUESTS = 4;

/** Names of devices on their way in and out: "flannel-v6.1" is rsn6.1 and rsx6.1; a name has 15 characters, a VNI up to 8. */
export function temporaryNames(device: string): readonly [fresh: string, old: string] {
  const [kind = "", rest = ""] = device.split(".");
  const family = kind.endsWith("-v6") ? "6" : "";
  return [`rsn${family}.${rest}`, `rsx${family}.${rest}`];
}

/**
 * `settle` gives the new device its addresses and settings. False: the kernel allows no second device beside the old, or they
 * could not change places; then the old one is to be removed, and may be gone.
 */
export async function replaceDevice(
  netlink: Netlink,
  old: NetlinkLink,
  create: LinkRequest,
  settle: (fresh: NetlinkLink) => Promise<unknown>,
): Promise<boolean> {
  const [freshName, oldName] = temporaryNames(old.name);
  const [made] = await netlink.apply([{ ...create, name: freshName }]);
  const fresh = made?.ok === true ? await netlink.link(freshName) : null;
  if (fresh === null) return false;
  let changed = false;
  try {
    await settle(fresh);
    await netlink.apply(await addressesFor(netlink, old.index, fresh.index));
    await netlink.apply(await entriesFor(netlink, old.index, fresh.index));
    const routes = await routesFor(netlink, old.index, fresh.index);
    const change = { verb: "change", object: "link" } as const;
    const outcomes = await netlink.apply([
      { ...change, index: old.index, up: false },
      { ...change, index: old.index, name: oldName },
      { ...change, index: fresh.index, name: old.name },
      { ...change, index: fresh.index, up: true },
      ...routes,
      { verb: "delete", object: "link", index: old.index },
    ]);
    changed = outcomes.slice(0, SWAP_REQUESTS).every(({ ok }) => ok);
    return changed;
  } finally {
    if (!changed) await removeLink(netlink, fresh);
  }
}

/** What an agent left that died while two devices of ours changed places. */
export async function removeLeftovers(netlink: Netlink, device: string, kind: string): Promise<void> {
  for (const name of temporaryNames(device)) {
    const link = await netlink.link(name);
    if (link?.kind === kind) await removeLink(netlink, link);
  }
}

/** That it is gone already is well. */
export async function removeLink(netlink: Netlink, { index, name }: NetlinkLink): Promise<void> {
  const [outcome] = await netlink.apply([{ verb: "delete", object: "link", index }]);
  if (outcome === undefined || outcome.ok || outcome.code === "ENODEV") return;
  throw new RipstopError("LINK_FAILED", `cannot remove ${name}: ${outcome.message} (${outcome.code})`, {
    op: `link delete ${name}`,
    errno: outcome.errno,
  });
}

/** Those that somebody gave it beside ours. */
async function addressesFor(netlink: Netlink, from: number, to: number): Promise<readonly NetlinkRequest[]> {
  const verb = "replace";
  return (await netlink.dump("address", { linkIndex: from }))
    .filter(({ scope, flags }) => scope !== SCOPE.link && (flags & ADDRESS_FLAG.permanent) !== 0)
    .map((address) => ({
      ...address,
      verb,
      linkIndex: to,
      flags: address.prefix.includes(":") ? ADDRESS_FLAG.noDad : 0,
    }));
}

/** Neighbors and FDB entries that stay. */
async function entriesFor(netlink: Netlink, from: number, to: number): Promise<readonly NetlinkRequest[]> {
  const state = NEIGHBOR_STATE.permanent;
  const verb = "replace";
  const requests: NetlinkRequest[] = [];
  for (const { mac, address, ...entry } of await netlink.dump("fdb", { linkIndex: from })) {
    if (mac === null || address === null || (entry.state & state) === 0) continue;
    requests.push({ verb, object: "fdb", linkIndex: to, mac, address, state, flags: NEIGHBOR_FLAG.self });
  }
  for (const { mac, address, protocol, ...entry } of await netlink.dump("neighbor", { linkIndex: from })) {
    if (mac === null || address === null || (entry.state & state) === 0) continue;
    requests.push({ verb, object: "neighbor", linkIndex: to, mac, address, state, protocol });
  }
  return requests;
}

/** Routes that somebody made; the kernel makes its own with the addresses. */
async function routesFor(netlink: Netlink, from: number, to: number): Promise<readonly NetlinkRequest[]> {
  const belongs = ({ linkIndex, table, protocol, type }: NetlinkRoute): boolean =>
    linkIndex === from && table !== LOCAL_TABLE && protocol !== ROUTE_PROTOCOL.kernel && type === ROUTE_TYPE.unicast;
  return (await netlink.dump("route", { linkIndex: from }))
    .filter(belongs)
    .map(({ nextHops: _, ...route }) => ({ ...route, verb: "replace", linkIndex: to }));
}
