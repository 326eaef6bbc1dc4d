// The agent's options as one frozen value, made from the command line and the environment. The only reader of flag names
// besides the table; everything downstream sees typed fields. Prints nothing and exits nothing: main.ts does.
import type { Ipv4, Ipv6, Prefix } from "../addr/address.js";
import { parseIpv4 } from "../addr/ipv4.js";
import { parseIpv6 } from "../addr/ipv6.js";
import { parsePrefix } from "../addr/prefix.js";
import { RipstopError } from "../lib/errors.js";
import { applyEnvironment, type Environment, type NodeEnvironment, readNodeEnvironment } from "./environment.js";
import { AGENT_FLAGS, usageText } from "./flags.js";
import { type FlagValue, type ParsedFlags, parseGoFlags } from "./go-flags.js";
import type { DataPlaneChoice } from "./network-config.js";
import { CPU_MAX, WORKERS_MAX } from "./plane-limits.js";

export interface EtcdOptions {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly keyFile: string;
  readonly certFile: string;
  readonly caFile: string;
  readonly username: string;
  readonly password: string;
}

export interface AgentOptions {
  readonly store: "etcd" | "kube" | "file";
  readonly storeDir: string;
  readonly etcd: EtcdOptions;
  readonly kube: {
    readonly apiUrl: string;
    readonly kubeconfigFile: string;
    readonly annotationPrefix: string;
    readonly netConfigPath: string;
    readonly setNodeNetworkUnavailable: boolean;
  };
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string;
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
  readonly subnetFile: string;
  /** Empty: none is written. */
  readonly cniConfigFile: string;
  readonly renewMarginMs: number;
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandom: boolean;
  /** Destinations outside the overlay that see pod addresses. */
  readonly neverMasquerade: readonly Prefix[];
  readonly ruleResyncMs: number;
  readonly forwardRules: boolean;
  readonly blackholeRoute: boolean;
  readonly healthzIp: string;
  readonly healthzPort: number;
  readonly verbosity: number;
  /** Only what a flag or variable said; Backend.DataPlane in the network configuration fills the rest. */
  readonly dataPlane: Partial<DataPlaneChoice>;
  /** `host`: a `ripstop dataplane --host` with the same run directory, usually in a container of its own. */
  readonly dataplaneLaunch: "agent" | "host";
  readonly runDir: string;
  readonly stateDir: string;
  readonly node: NodeEnvironment;
}

/** How mistakes on the command line end: flanneld exits 0 and prints its usage, ripstop says one line and exits 2. */
export type CommandLineManners = "ripstop" | "flanneld";

export type CommandLineOutcome =
  | { readonly kind: "run"; readonly options: AgentOptions; readonly warnings: readonly string[] }
  | { readonly kind: "exit"; readonly exitCode: number; readonly stderr: string };

const USAGE_EXIT_CODE = 2;

export function parseAgentCommandLine(
  words: readonly string[],
  environment: Environment,
  manners: CommandLineManners,
  version: string,
): CommandLineOutcome {
  const program = manners === "flanneld" ? "flanneld" : "ripstop agent";
  const outcome = parseGoFlags(AGENT_FLAGS, words);
  if (!outcome.ok) {
    const usage = usageText(program, AGENT_FLAGS);
    if (outcome.problem.kind === "help") return { kind: "exit", exitCode: 0, stderr: usage };
    if (manners === "flanneld") return { kind: "exit", exitCode: 0, stderr: `${outcome.problem.message}\n${usage}` };
    return { kind: "exit", exitCode: USAGE_EXIT_CODE, stderr: `${program}: ${outcome.problem.message}\n` };
  }
  if (outcome.flags.values.get("version") === true) return { kind: "exit", exitCode: 0, stderr: `${version}\n` };
  const rest = outcome.flags.rest;
  if (rest.length > 0 && manners === "ripstop") {
    return { kind: "exit", exitCode: USAGE_EXIT_CODE, stderr: `${program}: unexpected ${describeRest(rest)}\n` };
  }
  const { flags, filled, warnings } = applyEnvironment(AGENT_FLAGS, outcome.flags, environment);
  try {
    const options = buildOptions(flags, new Set([...flags.given, ...filled]), readNodeEnvironment(environment));
    const ignored = rest.length > 0 ? [`ignored: ${describeRest(rest)}`] : [];
    return { kind: "run", options, warnings: [...warnings, ...ignored] };
  } catch (error) {
    if (!(error instanceof RipstopError)) throw error;
    return {
      kind: "exit",
      exitCode: manners === "flanneld" ? 1 : USAGE_EXIT_CODE,
      stderr: `${program}: ${error.message}\n`,
    };
  }
}

/** Without the words themselves: where parsing stopped too early, a password is among them. */
function describeRest(rest: readonly string[]): string {
  const count = `${rest.length} word${rest.length === 1 ? "" : "s"} after the flags`;
  const [first = ""] = rest;
  if (!/^(true|false|[01tf])$/i.test(first)) return count;
  return `${count}, beginning with "${first}"; a bool takes its value with =, as in -ip-masq=${first}`;
}

function buildOptions(flags: ParsedFlags, said: ReadonlySet<string>, node: NodeEnvironment): AgentOptions {
  const get = (name: string): FlagValue => {
    const value = flags.values.get(name);
    if (value === undefined) throw new Error(`no flag called ${name}`);
    return value;
  };
  const text = (name: string) => get(name) as string;
  const bool = (name: string) => get(name) as boolean;
  const int = (name: string) => get(name) as number;
  const list = (name: string) => Object.freeze([...(get(name) as readonly string[])]);
  return Object.freeze<AgentOptions>({
    store: chooseStore(text("store"), said.has("store"), bool("kube-subnet-mgr")),
    storeDir: text("store-dir"),
    etcd: Object.freeze({
      endpoints: text("etcd-endpoints")
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
      prefix: text("etcd-prefix"),
      keyFile: text("etcd-keyfile"),
      certFile: text("etcd-certfile"),
      caFile: text("etcd-cafile"),
      username: text("etcd-username"),
      password: text("etcd-password"),
    }),
    kube: Object.freeze({
      apiUrl: text("kube-api-url"),
      kubeconfigFile: text("kubeconfig-file"),
      annotationPrefix: text("kube-annotation-prefix"),
      netConfigPath: text("net-config-path"),
      setNodeNetworkUnavailable: bool("set-node-network-unavailable"),
    }),
    iface: list("iface"),
    ifaceRegex: checkRegexes(list("iface-regex")),
    ifaceCanReach: text("iface-can-reach"),
    publicIp: address("public-ip", text("public-ip"), parseIpv4, "an IPv4 address such as 192.0.2.10"),
    publicIpv6: address("public-ipv6", text("public-ipv6"), parseIpv6, "an IPv6 address such as 2001:db8::10"),
    subnetFile: text("subnet-file"),
    cniConfigFile: text("cni-conf-file"),
    renewMarginMs: within("subnet-lease-renew-margin", int("subnet-lease-renew-margin"), 1, 1439) * 60_000,
    ipMasq: bool("ip-masq"),
    ipMasqFullyRandom: !bool("ip-masq-fully-random-disable"),
    neverMasquerade: Object.freeze(prefixes("never-masquerade", text("never-masquerade"))),
    ruleResyncMs: within("iptables-resync", int("iptables-resync"), 0, 31_536_000) * 1000,
    forwardRules: bool("iptables-forward-rules"),
    blackholeRoute: bool("ip-blackhole-route"),
    healthzIp: text("healthz-ip"),
    healthzPort: within("healthz-port", int("healthz-port"), 0, 65_535),
    verbosity: int("v"),
    dataPlane: Object.freeze({
      ...(said.has("dataplane") ? { mode: text("dataplane") as DataPlaneChoice["mode"] } : {}),
      ...(said.has("underlay-port") ? { underlayPort: text("underlay-port") as DataPlaneChoice["underlayPort"] } : {}),
      ...(said.has("dataplane-workers")
        ? { workers: within("dataplane-workers", int("dataplane-workers"), 0, WORKERS_MAX) }
        : {}),
      ...(said.has("dataplane-cpus") ? { cpus: Object.freeze(cpuList(text("dataplane-cpus"))) } : {}),
      ...(said.has("overlay-port") ? { overlayPort: text("overlay-port") as DataPlaneChoice["overlayPort"] } : {}),
    }),
    dataplaneLaunch: text("dataplane-launch") as AgentOptions["dataplaneLaunch"],
    runDir: text("run-dir"),
    stateDir: text("state-dir"),
    node: Object.freeze(node),
  });
}

/** For the start-up log line: every option, secrets left out. */
export function redactOptions(options: AgentOptions): AgentOptions {
  const password = options.etcd.password === "" ? "" : "***";
  const endpoints = options.etcd.endpoints.map((endpoint) => endpoint.replace(/\/\/[^/@]*@/, "//***@"));
  return { ...options, etcd: { ...options.etcd, endpoints, password } };
}

function chooseStore(store: string, said: boolean, kube: boolean): AgentOptions["store"] {
  if (kube && said && store !== "kube") {
    throw new RipstopError("FLAG_INVALID", `-kube-subnet-mgr contradicts -store=${store}: give only one of them`);
  }
  return kube ? "kube" : (store as AgentOptions["store"]);
}

function within(flag: string, value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw new RipstopError("FLAG_INVALID", `-${flag}=${value} is out of range: give a number from ${min} to ${max}`);
}

/** "2,4-6" as the kernel writes CPU lists; empty: none. */
function cpuList(list: string): readonly number[] {
  if (list.trim() === "") return [];
  const cpus = list.split(",").flatMap((part) => {
    const [, first, last = first] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) > CPU_MAX) {
      throw new RipstopError(
        "FLAG_INVALID",
        `-dataplane-cpus="${list}": "${part}" is no CPU or range of CPUs up to ${CPU_MAX}; give a list such as 2,3 or 4-7`,
      );
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
  return [...new Set(cpus)];
}

function address<T>(flag: string, text: string, parse: (text: string) => T | null, what: string): T | null {
  if (text === "") return null;
  const value = parse(text);
  if (value === null) throw new RipstopError("FLAG_INVALID", `-${flag}="${text}" is no address: give ${what}`);
  return value;
}

function prefixes(flag: string, text: string): readonly Prefix[] {
  const words = text.split(",").map((word) => word.trim());
  return words
    .filter((word) => word !== "")
    .map((word) => {
      const prefix = parsePrefix(word);
      if (prefix !== null) return prefix;
      throw new RipstopError(
        "FLAG_INVALID",
        `-${flag} names "${word}", which is no CIDR: give one such as 192.0.2.0/24`,
      );
    });
}

function checkRegexes(patterns: readonly string[]): readonly string[] {
  for (const pattern of patterns) {
    try {
      new RegExp(pattern);
    } catch (error) {
      throw new RipstopError(
        "FLAG_INVALID",
        `-iface-regex="${pattern}" is no regular expression: correct it or use -iface`,
        { cause: error },
      );
    }
  }
  return patterns;
}
