// Checks of the machine: kernel, capabilities, program, devices, sysctls, hints about speed. Each gives value, meaning and fix.
import { createHash } from "node:crypto";
import { constants, existsSync, readFileSync } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { NodeStatus } from "../agent/node-status.js";
import { effectiveCapabilities, USERSPACE_CAPABILITIES } from "../agent/privileges.js";
import { loadNative, nativeCandidates } from "../dataplane/native.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";
import { readLine } from "./host-facts.js";

const OLDEST_KERNEL = [5, 15] as const;

export function checkKernel(version = release()): Finding {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const atLeast = (a: number, b: number) => major > a || (major === a && minor >= b);
  if (!atLeast(...OLDEST_KERNEL)) {
    return fail(
      "kernel",
      version,
      "older than 5.15: the user-space data plane is not tested on it",
      "use Linux 5.15 or newer, or --dataplane=kernel",
    );
  }
  const gives = [
    atLeast(6, 6) ? "tcx links" : "tc filters (tcx links from 6.6)",
    atLeast(6, 17) ? "tunnel GSO" : "no tunnel GSO (from 6.17): encapsulated packets are cut in user space",
  ];
  return ok("kernel", `${version}: ${gives.join(", ")}`);
}

/** Of the agent when it runs, of this process otherwise. */
export async function checkCapabilities(status: NodeStatus): Promise<Finding> {
  const pid = status.agent?.pid ?? null;
  const who = pid === null ? "this process" : `agent ${pid}`;
  let held: ReturnType<typeof effectiveCapabilities>;
  try {
    held = effectiveCapabilities(await readFile(`/proc/${pid ?? "self"}/status`, "utf8"));
  } catch {
    return skip("capabilities", `${who} lives in another PID namespace`);
  }
  const missing = USERSPACE_CAPABILITIES.filter(
    (name) => !held.has(name) && !(name === "CAP_BPF" && held.has("CAP_SYS_ADMIN")),
  );
  if (missing.length === 0) return ok("capabilities", `${who} holds ${USERSPACE_CAPABILITIES.join(", ")}`);
  return fail(
    "capabilities",
    `${who} lacks ${missing.join(", ")}`,
    missing.includes("CAP_NET_ADMIN") ? "the overlay cannot be programmed" : "only the kernel's path can carry packets",
    `systemd: AmbientCapabilities=${missing.join(" ")}; Kubernetes: securityContext.capabilities.add: [${missing.map((name) => name.slice(4)).join(", ")}]`,
  );
}

export function checkProgram(nativePath: string | undefined): Finding {
  try {
    loadNative({ path: nativePath });
    const file = nativeCandidates({ path: nativePath }).find((path) => existsSync(path)) ?? "";
    const sum = createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 12);
    const { glibcVersionRuntime } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
    return ok(
      "program",
      `Node ${process.versions.node}, ${process.platform}-${process.arch}, glibc ${glibcVersionRuntime ?? "unknown"}, addon ${file} (sha256 ${sum}...) loads`,
    );
  } catch (error) {
    return fail(
      "program",
      error instanceof Error ? error.message : String(error),
      "neither kernel programming nor the user-space data plane works without the addon",
      "npm run build:addon, or install a package with prebuilds for this machine",
    );
  }
}

export async function checkTunDevice(): Promise<Finding> {
  try {
    await access("/dev/net/tun", constants.R_OK | constants.W_OK);
    return ok("tun", "/dev/net/tun can be opened");
  } catch (error) {
    return warn(
      "tun",
      `/dev/net/tun: ${(error as NodeJS.ErrnoException).code ?? "unusable"}`,
      "TAP and TUN ports are not to be had: AF_PACKET carries instead, at more cost for bulk; no udp backend",
      "modprobe tun; in a container mount /dev/net/tun",
    );
  }
}

export async function checkForwarding(ipv6: boolean): Promise<Finding> {
  const paths = ["/proc/sys/net/ipv4/ip_forward", ...(ipv6 ? ["/proc/sys/net/ipv6/conf/all/forwarding"] : [])];
  const values = await Promise.all(paths.map(async (path) => [path, await readLine(path)] as const));
  const off = values.filter(([, value]) => value !== "1").map(([path]) => sysctlName(path));
  if (off.length === 0) return ok("ip_forward", paths.map((path) => `${sysctlName(path)}=1`).join(", "));
  return fail(
    "ip_forward",
    off.map((name) => `${name}=0`).join(", "),
    "packets between pods and the overlay are not forwarded: pods reach nobody outside their node",
    off.map((name) => `sysctl -w ${name}=1`).join("; "),
  );
}

export async function checkReversePath(devices: readonly string[]): Promise<Finding> {
  const all = Number((await readLine("/proc/sys/net/ipv4/conf/all/rp_filter")) ?? 0);
  const own = await Promise.all(
    devices.map(async (device) => {
      const value = Number((await readLine(`/proc/sys/net/ipv4/conf/${device}/rp_filter`)) ?? 0);
      return { device, value: Math.max(all, value) };
    }),
  );
  const shown = own.map(({ device, value }) => `${device}=${value}`).join(", ") || `all=${all}`;
  const strict = own.filter(({ device, value }) => value === 1 && !device.startsWith("flannel"));
  if (strict.length === 0) return ok("rp_filter", shown);
  return warn(
    "rp_filter",
    shown,
    "strict: packets from a peer are dropped where the way back would leave by another interface",
    `sysctl -w ${strict.map(({ device }) => `net.ipv4.conf.${device}.rp_filter=2`).join(" ")} on machines with several uplinks`,
  );
}

export async function checkBridgeNetfilter(): Promise<Finding> {
  const value = await readLine("/proc/sys/net/bridge/bridge-nf-call-iptables");
  if (value === "1") return ok("br_netfilter", "bridge-nf-call-iptables=1");
  const seen = value === null ? "br_netfilter is not loaded" : `bridge-nf-call-iptables=${value}`;
  return warn(
    "br_netfilter",
    seen,
    "Kubernetes services do not work between pods of one node; the overlay itself does not need it",
    value === null ? "modprobe br_netfilter" : "sysctl -w net.bridge.bridge-nf-call-iptables=1",
  );
}

/** Hints, never failures. `cpus`: those that workers are bound to. */
export async function checkTuning(device: string | null, cpus: readonly number[], root = "/"): Promise<Finding> {
  const read = (path: string) => readLine(join(root, path));
  const governor = await read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  const node = device === null ? null : await read(`sys/class/net/${device}/device/numa_node`);
  const near = node === null || node === "-1" ? null : await read(`sys/devices/system/node/node${node}/cpulist`);
  const isolated = await read("sys/devices/system/cpu/isolated");
  const huge = /^HugePages_Total:\s+(\d+)/m.exec(
    await readFile(join(root, "proc/meminfo"), "utf8").catch(() => ""),
  )?.[1];
  const shown = [
    `CPU governor ${governor ?? "unknown"}`,
    `${device ?? "uplink"} on NUMA node ${node ?? "unknown"}`,
    `workers on ${cpus.length === 0 ? "any CPU" : `CPU ${cpus.join(",")}`}`,
    `isolated CPUs ${isolated || "none"}`,
    `${huge ?? "?"} huge pages (not used)`,
  ].join(", ");
  const far = near === null ? [] : cpus.filter((cpu) => !inList(cpu, near));
  if (far.length > 0) {
    return warn(
      "tuning",
      shown,
      `CPU ${far.join(",")} is on another NUMA node than the network device: every packet crosses between them`,
      `--dataplane-cpus out of ${near}`,
    );
  }
  if (governor !== "powersave") return ok("tuning", shown);
  return warn(
    "tuning",
    shown,
    "latency and throughput vary with the load",
    "cpupower frequency-set -g performance, where speed matters more than power",
  );
}

/** `0-3,8`. */
function inList(cpu: number, list: string): boolean {
  return list.split(",").some((part) => {
    const [from = 0, to = from] = part.split("-").map(Number);
    return cpu >= from && cpu <= to;
  });
}

function sysctlName(path: string): string {
  return path.slice("/proc/sys/".length).replaceAll("/", ".");
}
