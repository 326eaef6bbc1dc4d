// Checks of what the kernel grants for BPF and AF_XDP: locked memory, the BPF file system, type information. Reads /proc and /sys.
import { access, readFile } from "node:fs/promises";
import type { NodeStatus } from "../agent/node-status.js";
import { effectiveCapabilities } from "../agent/privileges.js";
import { type Finding, ok, skip, warn } from "./finding.js";

/** The frames of an AF_XDP port (native/port/xdp_port.cc) and its rings. */
const LOCKED_BYTES = 48 * 1024 * 1024;

/** Of the agent when it runs, of this process otherwise. */
export async function checkLockedMemory(status: NodeStatus): Promise<Finding> {
  const pid = status.agent?.pid ?? "self";
  try {
    const [limits, capabilities] = await Promise.all([
      readFile(`/proc/${pid}/limits`, "utf8"),
      readFile(`/proc/${pid}/status`, "utf8"),
    ]);
    return judgeLockedMemory(limits, effectiveCapabilities(capabilities).has("CAP_IPC_LOCK"));
  } catch {
    return skip("memlock", `process ${pid} cannot be looked at from here`);
  }
}

export function judgeLockedMemory(limits: string, mayExceed: boolean): Finding {
  const limit = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? "unknown";
  const shown = `limit ${limit === "unlimited" ? limit : `${limit} bytes`}${mayExceed ? ", and CAP_IPC_LOCK, which lifts it" : ""}`;
  if (mayExceed || limit === "unlimited" || Number(limit) >= LOCKED_BYTES) return ok("memlock", shown);
  return warn(
    "memlock",
    shown,
    "an AF_XDP port cannot lock its frames (up to 32 MiB), and kernels before 5.11 count BPF maps here too",
    "systemd: LimitMEMLOCK=infinity; Kubernetes: securityContext.capabilities.add: [IPC_LOCK]; a shell: ulimit -l unlimited",
  );
}

/** Nothing of ours is pinned: a data plane hands over to its successor (docs/decisions/0074). So this is for information. */
export async function checkBpf(mounts = "/proc/self/mounts", types = "/sys/kernel/btf/vmlinux"): Promise<Finding> {
  const mounted = / bpf /.test(await readFile(mounts, "utf8").catch(() => ""));
  const typed = await access(types).then(
    () => true,
    () => false,
  );
  const fileSystem = `bpffs ${mounted ? "mounted" : "not mounted"} (not needed: no program is pinned)`;
  return ok("bpf", `${fileSystem}, kernel type information ${typed ? "present" : "absent (not needed)"}`);
}
