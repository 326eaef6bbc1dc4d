// `ripstop doctor --migrate`: what a swap of the running flanneld for our agent would change on this node. Starts nothing and
// writes nothing: reads how flanneld was started, what its store and the kernel hold, and compares that with what we would make.
import { formatIpv4 } from "../addr/ipv4.js";
import { formatPrefix } from "../addr/prefix.js";
import { openStore } from "../agent/open-store.js";
import { readVtepMac } from "../backend/vxlan/backend-data.js";
import { parseVxlanOptions } from "../config/backend-options.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import { type AgentOptions, parseAgentCommandLine } from "../config/options.js";
import type { Lease } from "../lease/lease.js";
import { ripstopVersion } from "../lib/version.js";
import type { Store } from "../store/store.js";
import { readSubnetEnv } from "../subnet/subnet-env.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";
import { type HostFacts, type LinkFact, readHostFacts } from "./host-facts.js";
import { findFlanneld, type RunningFlanneld } from "./running-flanneld.js";

const STORE_MS = 10_000;
/** Backends that we carry or program; the others name a cloud. */
const BACKENDS = ["vxlan", "udp", "host-gw", "alloc", "extension", "ipip", "wireguard"];
const OVERHEAD: Readonly<Record<string, number>> = { vxlan: 50, udp: 28, "host-gw": 0 };

export async function examineMigration(): Promise<readonly Finding[]> {
  const running = await findFlanneld();
  if (running === null) {
    return [
      fail(
        "flanneld",
        "does not run in this network namespace",
        "there is nothing to compare with",
        "run this on a node (in a cluster: in a pod with hostNetwork and hostPID) while flanneld is up",
      ),
    ];
  }
  const options = optionsOf(running);
  if (typeof options === "string") {
    return [
      fail(
        "flanneld",
        `pid ${running.pid}: ${options}`,
        "our agent would not start with this command line",
        "change that flag first; docs/compatibility.md lists all of them",
      ),
    ];
  }
  const flags = ok(
    "flanneld",
    `pid ${running.pid}, store ${options.store}; all of its ${running.words.length} flags are ours too`,
  );
  const signal = AbortSignal.timeout(STORE_MS);
  let store: Store | null = null;
  try {
    store = await openStore(options, () => undefined, signal);
    const network = parseNetworkConfig(await store.readNetworkConfig(signal), { allocates: store.kind !== "kube" });
    const { leases, quarantined } = await store.listLeases(signal);
    const facts = await readHostFacts();
    return [
      flags,
      ...checkConfig(network),
      ...quarantined.map(({ key, reason }) =>
        warn("lease", `${key}: ${reason}`, "flannel may use it, we do not", "correct or delete that record"),
      ),
      ...(await checkNode(options, network, [...leases.values()], facts)),
    ];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      flags,
      fail("store", reason, "our agent would wait for it", "make it reachable with flanneld's own flags first"),
    ];
  } finally {
    await store?.close();
  }
}

function optionsOf({ words, environment }: RunningFlanneld): AgentOptions | string {
  const outcome = parseAgentCommandLine(words, environment, "ripstop", ripstopVersion());
  return outcome.kind === "run" ? outcome.options : (outcome.stderr.trim().split("\n")[0] ?? "it ends at once");
}

function checkConfig(network: NetworkConfig): Finding[] {
  const { backendType, warnings } = network;
  const backend = BACKENDS.includes(backendType)
    ? ok("net_conf", `backend ${backendType}`)
    : fail("net_conf", `backend ${backendType}`, "we have no such backend", "stay with flannel on this cluster");
  return [
    backend,
    ...warnings.map((text) =>
      warn("net_conf", text, "we read it as flannel does", "say what is meant in net-conf.json"),
    ),
  ];
}

async function checkNode(
  options: AgentOptions,
  network: NetworkConfig,
  leases: readonly Lease[],
  facts: HostFacts,
): Promise<Finding[]> {
  const env = await readSubnetEnv(options.subnetFile);
  if (env === null || env.subnet === null) {
    return [skip("subnet_file", `${options.subnetFile} names no IPv4 subnet; nothing more is compared`)];
  }
  const subnet = formatPrefix(env.subnet);
  const own = leases.find((lease) => lease.subnet !== null && formatPrefix(lease.subnet) === subnet);
  if (own === undefined) {
    return [
      fail(
        "lease",
        `no record for ${subnet}, which ${options.subnetFile} names`,
        "we would take another subnet, and the pods here would lose their network",
        "restart flanneld so that it writes its lease again",
      ),
    ];
  }
  const address = own.attrs.publicIp === null ? null : formatIpv4(own.attrs.publicIp);
  const uplink = facts.links.find(({ addr_info }) => addr_info?.some(({ local }) => local === address));
  const kept = ok("lease", `${subnet} with public IP ${address ?? "none"}: we keep it`);
  if (uplink === undefined) {
    const why = "that address is on no interface here: it is overwritten, or behind NAT";
    return [
      kept,
      warn(
        "public_ip",
        `${address ?? "none"}: ${why}`,
        "we would publish what we find",
        "give --public-ip, or the annotation public-ip-overwrite",
      ),
    ];
  }
  return [kept, ...checkDevice(network, own, uplink, facts), checkMtu(network, env.mtu ?? null, uplink)];
}

/** The kernel's device is taken over as it is when it is what we would make; another one is made anew, which pods notice. */
function checkDevice(network: NetworkConfig, own: Lease, uplink: LinkFact, facts: HostFacts): Finding[] {
  if (network.backendType !== "vxlan") return [];
  const wanted = parseVxlanOptions(network.backend);
  const name = `flannel.${wanted.vni}`;
  const device = facts.links.find(({ ifname }) => ifname === name);
  if (device === undefined)
    return [
      warn("device", `${name} does not exist`, "we make it; its peers learn a new MAC", "see why flanneld did not"),
    ];
  const data = device.linkinfo?.info_data ?? {};
  const port = wanted.port === 0 ? 8472 : wanted.port;
  const differs = [
    ...(data["id"] === wanted.vni ? [] : [`VNI ${String(data["id"])} instead of ${wanted.vni}`]),
    ...(data["port"] === port ? [] : [`port ${String(data["port"])} instead of ${port}`]),
    ...(data["link"] === uplink.ifname ? [] : [`on ${String(data["link"])} instead of ${uplink.ifname}`]),
  ];
  const mac = readVtepMac(own.attrs.backendData);
  if (typeof mac === "string" && device.address !== mac)
    differs.push(`MAC ${device.address ?? "none"} instead of ${mac} in the lease`);
  if (differs.length === 0) return [ok("device", `${name}: we take it over as it is`)];
  return [
    warn(
      "device",
      `${name}: ${differs.join(", ")}`,
      "we make it anew: packets are lost for a moment",
      "drain the node before the swap",
    ),
  ];
}

function checkMtu({ backendType }: NetworkConfig, mtu: number | null, uplink: LinkFact): Finding {
  const overhead = OVERHEAD[backendType];
  if (mtu === null || overhead === undefined) return skip("mtu", `not compared for ${backendType}`);
  const ours = uplink.mtu - overhead;
  if (mtu === ours) return ok("mtu", `${mtu}, as we compute it`);
  return warn(
    "mtu",
    `${mtu} in subnet.env; ${uplink.ifname} has ${uplink.mtu}, so we would say ${ours}`,
    "pods that exist keep their MTU, new ones get another",
    "set Backend.MTU in net-conf.json, or the interface's MTU, before the swap",
  );
}
