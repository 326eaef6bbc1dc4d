// Makes our tunnel devices (flannel.<VNI>, flannel-v6.<VNI>, flannel.ipip) what they shall be: kept when compatible,
// corrected live where the kernel allows it (MTU, MAC, learning, local address, address, up), re-created only where it does not. A
// device of the same name but of another kind is somebody else's and is refused, never deleted.
import { constants } from "node:os";
import type { Prefix } from "../addr/address.js";
import { formatAddress, formatPrefix, parsePrefixWithHost, prefixCovers } from "../addr/prefix.js";
import { formatIpv4 } from "../addr/ipv4.js";
import { RipstopError } from "../lib/errors.js";
import type { HostChange, TunnelSpec, VxlanSpec } from "./host.js";
import type { Netlink } from "./netlink.js";
import { ADDRESS_FLAG, type LinkRequest, type NetlinkLink, SCOPE } from "./netlink-objects.js";
import { removeLeftovers, removeLink, replaceDevice } from "./replace-device.js";
import { formatUnderlay } from "./text.js";

/** The Linux default that flannel relies on by leaving the port out. */
export const VXLAN_DEFAULT_PORT = 8472;

/** A device as it shall be: how to make it, whether the present one will do, and what to correct on it. */
interface Plan {
  readonly name: string;
  readonly kind: string;
  /** Null: somebody else makes it. */
  readonly create: LinkRequest | null;
  readonly compatible: (link: NetlinkLink) => boolean;
  /** What to send so that nothing differs any more. */
  readonly correct: (link: NetlinkLink) => readonly LinkRequest[];
  readonly address: Prefix;
  readonly network: Prefix;
}

export interface EnsuredDevice {
  readonly link: NetlinkLink;
  readonly changes: readonly HostChange[];
}

export async function ensureVxlanDevice(netlink: Netlink, spec: VxlanSpec): Promise<EnsuredDevice> {
  const lower = await netlink.link(spec.underlayDevice);
  if (lower === null) {
    throw new RipstopError(
      "LINK_MISSING",
      `the external interface ${spec.underlayDevice} does not exist; name another one with --iface`,
      { op: `vxlan ${spec.name}` },
    );
  }
  const port = spec.port === 0 ? VXLAN_DEFAULT_PORT : spec.port;
  const local = formatUnderlay(spec.local);
  const { name, vni, learning, gbp, mac, mtu } = spec;
  const device = ensure(netlink, {
    name,
    kind: "vxlan",
    create: {
      verb: "add",
      object: "link",
      name,
      kind: "vxlan",
      mac,
      mtu,
      vxlan: {
        vni,
        lowerIndex: lower.index,
        local,
        port,
        learning,
        gbp,
        ttl: 0,
        tos: 0,
        proxy: false,
        rsc: false,
        l2miss: false,
        l3miss: false,
        udp6ZeroChecksumTx: false,
        udp6ZeroChecksumRx: false,
      },
    },
    compatible: ({ vxlan }) =>
      vxlan !== null &&
      vxlan.vni === vni &&
      vxlan.lowerIndex === lower.index &&
      vxlan.local !== null &&
      // The kernel changes it only within a family.
      vxlan.local.includes(":") === local.includes(":") &&
      vxlan.port === port &&
      vxlan.group === null &&
      vxlan.l2miss !== true &&
      vxlan.gbp === gbp,
    correct: (link) => [
      ...correctCommon(link, mtu, mac),
      // Requests of their own: the kernel refuses VXLAN settings and an MTU in one.
      ...(link.vxlan?.learning === learning ? [] : [changeVxlan(link, { learning })]),
      ...(link.vxlan?.local === local ? [] : [changeVxlan(link, { local })]),
    ],
    address: spec.address,
    network: spec.network,
  });
  return device.catch((error: unknown) => {
    throw explainPort(error, name, port);
  });
}

function changeVxlan({ index }: NetlinkLink, vxlan: NonNullable<LinkRequest["vxlan"]>): LinkRequest {
  return { verb: "change", object: "link", index, kind: "vxlan", vxlan };
}

/** A VXLAN device binds its port when it comes up; that is where a port in use shows. */
function explainPort(error: unknown, name: string, port: number): unknown {
  if (!(error instanceof RipstopError) || error.errno !== -constants.errno.EADDRINUSE) return error;
  return new RipstopError(
    "PORT_IN_USE",
    `cannot bring ${name} up: UDP port ${port} is in use by another program; stop that one (\`ss -lunp\` names it), or set Backend.Port to a free port on every node`,
    { op: error.op ?? "link up", errno: error.errno, cause: error },
  );
}

export async function ensureTunnelDevice(netlink: Netlink, spec: TunnelSpec): Promise<EnsuredDevice> {
  const { name, kind, mtu } = spec;
  const local = spec.local === null ? null : formatIpv4(spec.local);
  const make = { verb: "add", object: "link", name, kind, mtu } as const;
  return ensure(netlink, {
    name,
    kind,
    create: kind === "tun" ? null : local === null ? make : { ...make, ipTunnel: { local } },
    compatible: ({ ipTunnel }) =>
      local === null || (ipTunnel?.local === local && (ipTunnel.remote === null || ipTunnel.remote === "0.0.0.0")),
    correct: (link) => correctCommon(link, mtu, null),
    address: spec.address,
    network: spec.network,
  });
}

/** MTU, MAC (null: any) and up, as one request; none when all is well. */
function correctCommon(link: NetlinkLink, mtu: number, mac: string | null): readonly LinkRequest[] {
  const wrongMtu = link.mtu !== mtu;
  const wrongMac = mac !== null && link.mac !== mac;
  if (!wrongMtu && !wrongMac && link.up) return [];
  const correction = { verb: "change", object: "link", index: link.index, up: true } as const;
  return [{ ...correction, ...(wrongMtu ? { mtu } : {}), ...(wrongMac ? { mac } : {}) }];
}

async function ensure(netlink: Netlink, plan: Plan): Promise<EnsuredDevice> {
  const changes: HostChange[] = [];
  let link = await netlink.link(plan.name);
  if (link !== null && link.kind !== plan.kind) {
    throw new RipstopError(
      "LINK_FOREIGN",
      `interface ${plan.name} exists and is of kind "${link.kind}", not ${plan.kind}; remove or rename it`,
      { op: `link ${plan.name}` },
    );
  }
  if (plan.create !== null) await removeLeftovers(netlink, plan.name, plan.kind);
  if (link !== null && !plan.compatible(link)) {
    const settle = async (fresh: NetlinkLink) => {
      await refuseAdvertisements(netlink, fresh.name);
      await ensureAddress(netlink, fresh, plan.address, plan.network);
    };
    const replaced = plan.create !== null && (await replaceDevice(netlink, link, plan.create, settle));
    if (!replaced) await removeLink(netlink, link);
    changes.push({ object: `link ${plan.name}`, action: replaced ? "replace" : "delete" });
    link = replaced ? await present(netlink, plan.name) : null;
  }
  if (link === null) {
    await create(netlink, plan.name, plan.kind, plan.create);
    changes.push({ object: `link ${plan.name}`, action: "add" });
    link = await present(netlink, plan.name);
    await refuseAdvertisements(netlink, plan.name);
  }
  changes.push(...(await ensureAddress(netlink, link, plan.address, plan.network)));
  const corrections = plan.correct(link);
  for (const correction of corrections) await netlink.applyOne(correction);
  if (corrections.length > 0) {
    const fresh = changes.some((change) => change.object === `link ${plan.name}` && change.action === "add");
    if (!fresh) changes.push({ object: `link ${plan.name}`, action: "replace" });
    link = await present(netlink, plan.name);
  }
  return { link, changes };
}

/** Best effort, as flannel: a kernel without IPv6 has no such setting. */
async function refuseAdvertisements(netlink: Netlink, device: string): Promise<void> {
  await netlink.writeSysctl(`net/ipv6/conf/${device}/accept_ra`, "0").catch(() => undefined);
}

async function create(netlink: Netlink, name: string, kind: string, request: LinkRequest | null): Promise<void> {
  if (request === null) {
    throw new RipstopError("LINK_MISSING", `${name} does not exist; the data plane makes it when it starts`, {
      op: `link ${name}`,
    });
  }
  const [outcome] = await netlink.apply([request]);
  if (outcome === undefined || outcome.ok) return;
  if (outcome.code === "EOPNOTSUPP" || outcome.code === "ENOTSUP") {
    throw new RipstopError(
      "MODULE_MISSING",
      `this kernel cannot make ${kind} devices; load the module ${kind} (modprobe ${kind})`,
      { op: `link add ${name}`, errno: outcome.errno },
    );
  }
  const hint =
    outcome.code === "EEXIST"
      ? "; another device already uses these settings (ip -d link), remove it or choose another VNI or Port"
      : "";
  throw new RipstopError("LINK_FAILED", `cannot make ${name}: ${outcome.message} (${outcome.code})${hint}`, {
    op: `link add ${name}`,
    errno: outcome.errno,
  });
}

async function present(netlink: Netlink, name: string): Promise<NetlinkLink> {
  const link = await netlink.link(name);
  if (link !== null) return link;
  throw new RipstopError("LINK_MISSING", `${name} vanished while it was being set up; it will be made again`, {
    op: `link ${name}`,
  });
}

/** The wanted address is there; other addresses inside the network (IPv6: any but link-local) are not. */
export async function ensureAddress(
  netlink: Netlink,
  link: NetlinkLink,
  wanted: Prefix,
  network: Prefix,
): Promise<readonly HostChange[]> {
  const { family } = wanted;
  const changes: HostChange[] = [];
  let there = false;
  for (const address of await netlink.dump("address", { linkIndex: link.index, family })) {
    const own = parsePrefixWithHost(address.prefix);
    if (own === null || address.scope === SCOPE.link) continue;
    if (formatPrefix(own) === formatPrefix(wanted)) {
      there = true;
    } else if (family === 6 || prefixCovers(network, { ...own, length: 32 } as Prefix)) {
      const { prefix, local } = address;
      await netlink.applyOne({ verb: "delete", object: "address", linkIndex: link.index, prefix, local });
      changes.push({ object: `address ${prefix} on ${link.name}`, action: "delete" });
    }
  }
  if (there) return changes;
  // No duplicate detection: the address is ours by lease, and must be usable at once.
  const flags = family === 6 ? ADDRESS_FLAG.noDad : 0;
  await netlink.applyOne({
    verb: "replace",
    object: "address",
    linkIndex: link.index,
    prefix: formatPrefix(wanted),
    flags,
  });
  changes.push({ object: `address ${formatAddress(wanted)} on ${link.name}`, action: "add" });
  return changes;
}
