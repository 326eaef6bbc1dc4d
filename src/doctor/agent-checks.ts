// Checks of what agent and data plane say of themselves: running, store, drops, checksums. Pure but for reading the
// kernel's counters.
import { readFile } from "node:fs/promises";
import type { NodeStatus } from "../agent/node-status.js";
import { type Counters, LANE_NAMES, totalDrops } from "../dataplane/counters.js";
import { type Finding, fail, ok, skip, warn } from "./finding.js";

/** More than one packet in a thousand. */
const DROP_SHARE = 1000n;

export function checkAgent(status: NodeStatus): Finding {
  if (status.agent === null) {
    const [reason = "no agent runs here"] = status.reasons;
    return fail(
      "agent",
      reason,
      "what the kernel and the data plane know goes on working, but nothing is repaired and no new peer is learnt",
      reason.startsWith("no agent runs here")
        ? "systemctl start ripstop; journalctl -u ripstop says why it ended"
        : "systemctl restart ripstop: another takes over what it made, and traffic goes on; kill -CONT wakes one that was stopped",
    );
  }
  const shown = `ripstop ${status.agent.version}, pid ${status.agent.pid}, ${status.condition}`;
  if (status.reasons.length === 0) return ok("agent", shown);
  return warn(
    "agent",
    `${shown}: ${status.reasons.join("; ")}`,
    "see there",
    "ripstop status shows each with its reason",
  );
}

export function checkStore({ agent }: NodeStatus): Finding {
  if (agent === null) return skip("store", "needs a running agent");
  const { kind, connected, detail, lastSyncAgeMs } = agent.store;
  const age = lastSyncAgeMs === null ? "never read" : `read ${Math.round(lastSyncAgeMs / 1000)} s ago`;
  if (connected) return ok("store", `${kind}, ${age}`);
  return fail(
    "store",
    `${kind}, ${age}: ${detail}`,
    "traffic goes on, but nodes that join or leave are not noticed, and this node's lease is not renewed",
    "make the store reachable again; the agent connects by itself",
  );
}

export function checkDataplane(status: NodeStatus): Finding {
  const { dataplane, agent } = status;
  const mode = agent?.dataplane.mode ?? "auto";
  if (dataplane.state === "running") {
    const ports = dataplane.inspection?.ports.map(({ side, kind }) => `${side} ${kind}`).join(", ") ?? "";
    return ok("dataplane", `running, pid ${dataplane.pid ?? "?"}, ${ports}`);
  }
  if (mode === "kernel" || agent?.dataplane.phase === "off")
    return ok("dataplane", "the kernel's path carries, as configured");
  return warn(
    "dataplane",
    `${dataplane.state}: ${agent?.dataplane.reason ?? "the kernel's path carries"}`,
    "packets are carried by the kernel: all works, but slower and without this data plane's counters",
    "ripstop status says why; dataplane.log in the run directory has its last words",
  );
}

export function checkDrops({ dataplane }: NodeStatus): Finding {
  const { counters } = dataplane;
  if (counters === null) return skip("drops", "needs a running data plane");
  const received = LANE_NAMES.reduce((sum, name) => sum + counters[name].rxPackets, 0n);
  const dropped = LANE_NAMES.reduce((sum, name) => sum + totalDrops(counters[name].drops), 0n);
  const shown = `${dropped} of ${received} packets: ${topReasons(counters) || "none"}`;
  if (dropped * DROP_SHARE <= received) return ok("drops", shown);
  return warn(
    "drops",
    shown,
    "docs/drop-reasons.md explains each reason",
    "ripstop capture -i drop shows the packets themselves",
  );
}

/** Wrong checksums on the wire are nearly always a NIC or hypervisor that was told to fill them and did not. */
export async function checkChecksums({ dataplane }: NodeStatus): Promise<Finding> {
  const drops = dataplane.counters?.decap.drops ?? {};
  const own = ["outer_csum", "udp_csum", "inner_csum"].filter((reason) => (drops[reason] ?? 0n) > 0n);
  const kernel = await kernelChecksumErrors();
  if (own.length === 0 && kernel === 0) return ok("checksums", "no packet with a wrong checksum has come");
  const seen = [
    ...own.map((reason) => `${drops[reason]} dropped as ${reason}`),
    ...(kernel > 0 ? [`${kernel} UDP datagrams refused by the kernel`] : []),
  ];
  return fail(
    "checksums",
    seen.join(", "),
    "a peer's NIC or hypervisor sends packets whose checksum it was to fill and did not (checksum offload): connections stall for seconds",
    "on the peer: ethtool -K UPLINK tx-checksum-ip-generic off, and ethtool -K flannel.1 tx-checksum-ip-generic off for the kernel's path",
  );
}

async function kernelChecksumErrors(): Promise<number> {
  const text = await readFile("/proc/net/snmp", "utf8").catch(() => "");
  const [names, values] = text.split("\n").filter((line) => line.startsWith("Udp:"));
  const at = names?.split(" ").indexOf("InCsumErrors") ?? -1;
  return at < 0 ? 0 : Number(values?.split(" ")[at] ?? 0);
}

export function topReasons(counters: Counters): string {
  const sums = new Map<string, bigint>();
  for (const name of LANE_NAMES) {
    for (const [reason, count] of Object.entries(counters[name].drops))
      if (count > 0n) sums.set(reason, (sums.get(reason) ?? 0n) + count);
  }
  const sorted = [...sums].sort(([, a], [, b]) => (a < b ? 1 : -1));
  return sorted.map(([reason, count]) => `${reason} ${count}`).join(", ");
}
