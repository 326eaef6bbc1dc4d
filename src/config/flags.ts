// The one table of the agent's flags: flanneld's, then ours. docs/compatibility.md lists the same names; a test compares.
// Pure data.
import { USUAL } from "./agent-folders.js";
import type { FlagSpec } from "./go-flags.js";

export const STORE_KINDS = ["etcd", "kube", "file"] as const;
export const DATAPLANE_MODES = ["auto", "kernel", "userspace"] as const;
export const UNDERLAY_PORTS = ["auto", "tap", "xdp", "packet", "udp"] as const;
export const OVERLAY_PORTS = ["auto", "tap", "xdp", "packet", "tun"] as const;

const text = (name: string, initial: string, usage: string): FlagSpec => ({ name, kind: "string", initial, usage });
const bool = (name: string, initial: boolean, usage: string): FlagSpec => ({ name, kind: "bool", initial, usage });
const int = (name: string, initial: number, usage: string): FlagSpec => ({ name, kind: "int", initial, usage });
const list = (name: string, usage: string): FlagSpec => ({ name, kind: "strings", initial: [], usage });
const choice = (name: string, choices: readonly string[], initial: string, usage: string): FlagSpec => ({
  name,
  kind: "string",
  initial,
  usage: `${usage}: ${choices.join(", ")}`,
  choices,
});

/** Names, types and defaults as flanneld has them. */
export const FLANNEL_FLAGS: readonly FlagSpec[] = [
  text("etcd-endpoints", "http://127.0.0.1:4001,http://127.0.0.1:2379", "comma-separated etcd endpoints"),
  text("etcd-prefix", "/coreos.com/network", "key prefix in etcd"),
  text("etcd-keyfile", "", "private key of the etcd client certificate"),
  text("etcd-certfile", "", "etcd client certificate"),
  text("etcd-cafile", "", "certificate authority that signed the etcd servers' certificates"),
  text("etcd-username", "", "etcd user"),
  { name: "etcd-password", kind: "string", initial: "", usage: "password of the etcd user", secret: true },
  bool("kube-subnet-mgr", false, "take leases from the Kubernetes API instead of etcd"),
  text("kube-api-url", "", "Kubernetes API server; empty: kubeconfig or in-cluster"),
  text("kubeconfig-file", "", "kubeconfig file"),
  text("kube-annotation-prefix", "flannel.alpha.coreos.com", "prefix of the node annotations"),
  text("net-config-path", "/etc/kube-flannel/net-conf.json", "network configuration for the Kubernetes store"),
  bool("set-node-network-unavailable", true, "set the node's NetworkUnavailable condition"),
  list("iface", "interface (name or IP) for traffic between hosts; may be repeated, the first match wins"),
  list("iface-regex", "regular expression over interface IPs, then names; tried after every -iface"),
  text("iface-can-reach", "", "use the interface that routes to this IP"),
  text("public-ip", "", "IPv4 address that other hosts reach this one by"),
  text("public-ipv6", "", "IPv6 address that other hosts reach this one by"),
  text("subnet-file", USUAL["subnet-file"], "where subnet and MTU are written for CNI and Docker"),
  int("subnet-lease-renew-margin", 60, "minutes before expiry at which the lease is renewed (1..1439)"),
  bool("ip-masq", false, "masquerade traffic that leaves the overlay network"),
  bool("ip-masq-fully-random-disable", false, "do not randomize masquerade ports"),
  int("iptables-resync", 5, "seconds between checks of the packet-filter rules"),
  bool("iptables-forward-rules", true, "install rules that accept forwarded overlay traffic"),
  bool("ip-blackhole-route", false, "keep a blackhole route for the own subnet"),
  text("healthz-ip", "0.0.0.0", "address of the health and metrics server"),
  int("healthz-port", 0, "port of the health and metrics server; 0: none"),
  bool("version", false, "print the version and exit"),
  int("v", 0, "log verbosity"),
  text("vmodule", "", "per-file verbosity; accepted, has no effect"),
  text("log_backtrace_at", "", "accepted, has no effect"),
];

export const RIPSTOP_FLAGS: readonly FlagSpec[] = [
  choice("store", STORE_KINDS, "etcd", "where leases live"),
  text("store-dir", "/var/lib/ripstop/store", "directory of the file store"),
  choice("dataplane", DATAPLANE_MODES, "auto", "who carries the packets"),
  choice("dataplane-launch", ["agent", "host"], "agent", "who starts the data-plane process"),
  choice("underlay-port", UNDERLAY_PORTS, "auto", "how the data plane reaches the network"),
  choice("overlay-port", OVERLAY_PORTS, "auto", "how the data plane reaches the pods"),
  int("dataplane-workers", 0, "threads that carry packets (1..16); 0: one for each of -dataplane-cpus, else one"),
  text("dataplane-cpus", "", "comma-separated CPUs that the workers are bound to, such as 2,3 or 4-7; empty: any"),
  text("never-masquerade", "", "comma-separated CIDRs that see pod addresses in spite of -ip-masq"),
  text(
    "cni-conf-file",
    "",
    "CNI network list to write when ready, such as /etc/cni/net.d/10-ripstop.conflist; empty: none",
  ),
  text("run-dir", USUAL["run-dir"], "sockets and process state"),
  text("state-dir", USUAL["state-dir"], "state that survives a reboot"),
];

export const AGENT_FLAGS: readonly FlagSpec[] = [...FLANNEL_FLAGS, ...RIPSTOP_FLAGS];

/** The usage text, flags in alphabetical order as Go prints them. */
export function usageText(program: string, specs: readonly FlagSpec[]): string {
  const lines = [`Usage: ${program} [OPTION]...`];
  for (const spec of [...specs].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const initial =
      spec.initial === "" || spec.initial === false || Array.isArray(spec.initial)
        ? ""
        : ` (default ${String(spec.initial)})`;
    lines.push(
      `  -${spec.name}${spec.kind === "bool" ? "" : ` ${spec.kind === "strings" ? "value" : spec.kind}`}`,
      `    \t${spec.usage}${initial}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
