// How `ripstop status` looks to people. Pure: status in, text out.
import type { DataplaneStatus, NodeStatus } from "../agent/node-status.js";
import type { AgentStatus } from "../agent/status.js";
import { paint } from "./paint.js";
import { LANE_NAMES, totalDrops } from "../dataplane/counters.js";

const LABEL_WIDTH = 12;
const COLOR_OF_CONDITION = {
  ok: "green",
  degraded: "yellow",
  starting: "yellow",
  stopping: "yellow",
  down: "red",
} as const;

export function formatStatus(status: NodeStatus, colors = false): string {
  const rows: Array<readonly [label: string, text: string]> = [
    ["node", colors ? paint(status.condition, COLOR_OF_CONDITION[status.condition]) : status.condition],
  ];
  for (const reason of status.reasons) rows.push(["", `- ${reason}`]);
  if (status.agent !== null) rows.push(...agentRows(status.agent));
  rows.push(...dataplaneRows(status.dataplane, status.agent));
  return `${rows.map(([label, text]) => `${label.padEnd(LABEL_WIDTH)}${text}`.trimEnd()).join("\n")}\n`;
}

function agentRows(agent: AgentStatus): Array<readonly [string, string]> {
  const { store, network } = agent;
  const sync = store.lastSyncAgeMs === null ? "never read" : `read ${seconds(store.lastSyncAgeMs)} ago`;
  const rows: Array<readonly [string, string]> = [
    ["agent", `ripstop ${agent.version}, pid ${agent.pid}, since ${agent.startedAt}`],
    ["store", `${store.kind}, ${store.connected ? "connected" : "not connected"}, ${sync} (${store.detail})`],
  ];
  if (network !== null) {
    const subnets = [network.subnet, network.ipv6Subnet].filter((subnet) => subnet !== null).join(" and ");
    const publicIps = [network.publicIp, network.publicIpv6].filter((address) => address !== null).join(" and ");
    rows.push(
      ["lease", `${subnets}, announced at ${publicIps} on ${network.externalInterface}${expiry(agent)}`],
      ["overlay", `${network.backend} ${network.devices.join(" ")}, MTU ${network.mtu}, ${agent.peers.length} peers`],
    );
  }
  if (agent.guard?.problem === null) rows.push(["guard", guardText(agent.guard)]);
  for (const { key, reason } of agent.refused) rows.push(["", `- lease ${key} is not used: ${reason}`]);
  for (const { key, reason } of agent.contested) rows.push(["", `- lease ${key} is used, but ${reason}`]);
  for (const { object, message } of agent.kernelFailures) rows.push(["", `- ${object}: ${message}`]);
  return rows;
}

function dataplaneRows(dataplane: DataplaneStatus, agent: AgentStatus | null): Array<readonly [string, string]> {
  const { inspection, counters } = dataplane;
  const mode = agent === null ? "" : ` (--dataplane=${agent.dataplane.mode})`;
  const who = dataplane.pid === null ? "" : `, pid ${dataplane.pid}`;
  const carries = dataplane.state === "running" ? "user space carries" : "the kernel path carries";
  const rows: Array<readonly [string, string]> = [["data plane", `${dataplane.state}${who}: ${carries}${mode}`]];
  if (dataplane.heardMsAgo !== undefined)
    rows.push(["", `slow to answer; this is what the agent heard ${seconds(dataplane.heardMsAgo)} ago`]);
  if (inspection !== null) {
    const { steering, heartbeatAgeMs, peers, tableVersion, framesFree, framesTotal } = inspection;
    rows.push([
      "",
      `steering ${steering}, heartbeat ${heartbeatAgeMs.toFixed(0)} ms old, table ${tableVersion} with ${peers} peers, ${framesFree}/${framesTotal} frames free`,
    ]);
    const { listener, pathsLowered } = inspection.pathMtu;
    if (listener !== "on") rows.push(["", `paths smaller than the device's MTU are not noticed: ${listener}`]);
    if (pathsLowered > 0) rows.push(["", `${pathsLowered} peers behind a path smaller than the device's MTU`]);
    for (const port of inspection.ports)
      rows.push(["", `${port.side} port ${port.kind}: ${port.description} (${port.reason})`]);
  }
  if (counters !== null) {
    for (const lane of LANE_NAMES) {
      const { rxPackets, txPackets, punts, replies, drops } = counters[lane];
      rows.push([
        lane,
        `${rxPackets} received, ${txPackets} sent, ${punts} to the kernel, ${replies} answered, ${totalDrops(drops)} dropped${dropList(drops)}`,
      ]);
    }
  }
  return rows;
}

/** Of one that is there; what keeps it from being there is among the reasons. */
function guardText({ table, dropped }: NonNullable<AgentStatus["guard"]>): string {
  const { ownNode, otherNodes } = dropped;
  return `nft table ${table}: ${ownNode} packets of pods for this node's tunnel dropped, ${otherNodes} for others'`;
}

/** Renewed an hour before, unless --subnet-lease-renew-margin says otherwise. */
function expiry({ leaseExpiresInMs: ms }: AgentStatus): string {
  return ms === null ? "" : `, runs out in ${(ms / 3_600_000).toFixed(1)} h unless renewed`;
}

function dropList(drops: Readonly<Record<string, bigint>>): string {
  const some = Object.entries(drops).filter(([, count]) => count > 0n);
  return some.length === 0 ? "" : ` (${some.map(([label, count]) => `${label} ${count}`).join(", ")})`;
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
