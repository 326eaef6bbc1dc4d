// Which capabilities this process holds, so that a start without them ends in one sentence and not half-way through.
// Reads /proc/self/status; changes nothing.
import { readFileSync } from "node:fs";
import { RipstopError } from "../lib/errors.js";

/** Bit numbers of capabilities(7). */
const CAPABILITY = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_IPC_LOCK: 14, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const;
export type Capability = keyof typeof CAPABILITY;

export function effectiveCapabilities(status = readFileSync("/proc/self/status", "utf8")): ReadonlySet<Capability> {
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const names = Object.keys(CAPABILITY) as Capability[];
  return new Set(names.filter((name) => ((bits >> BigInt(CAPABILITY[name])) & 1n) === 1n));
}

/** What the agent needs; opening ports and loading BPF programs needs more than programming the kernel. */
export const KERNEL_CAPABILITIES: readonly Capability[] = ["CAP_NET_ADMIN"];
export const USERSPACE_CAPABILITIES: readonly Capability[] = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"];

/** Throws CAPABILITY_MISSING, naming `who` needs them and every one that is missing. */
export function requireCapabilities(
  who: string,
  wanted: readonly Capability[],
  held: ReadonlySet<Capability> = effectiveCapabilities(),
): void {
  // Before Linux 5.8, and for whoever has it, CAP_SYS_ADMIN stands for CAP_BPF.
  const missing = wanted.filter((name) => !held.has(name) && !(name === "CAP_BPF" && held.has("CAP_SYS_ADMIN")));
  if (missing.length === 0) return;
  throw new RipstopError(
    "CAPABILITY_MISSING",
    `${who} lacks ${missing.join(", ")}; run it as root, or grant ${missing.length === 1 ? "it" : "them"} (systemd: AmbientCapabilities, Kubernetes: capabilities.add)`,
  );
}
