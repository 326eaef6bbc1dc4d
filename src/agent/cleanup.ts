// Removes from this host what Ripstop made and nothing else: data-plane process (its TAPs and BPF programs go with it), tunnel
// devices, routes, neighbors, subnet.env, run files and state. Refuses while an agent runs: it would make everything again.
import { toldPeersPath } from "../backend/extension/told-peers.js";
import { readdressingTable } from "../backend/vxlan/readdressing.js";
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mac } from "../addr/address.js";
import { parseMac } from "../addr/mac.js";
import { formatAddress, prefixEquals } from "../addr/prefix.js";
import { readKey, wireguardKeyFile } from "../backend/wireguard/wireguard-key.js";
import { readWireguardData } from "../backend/wireguard/wireguard-peers.js";
import { DataplaneClient } from "../dataplane/client.js";
import { pidPathOf, socketAnswers, successorPathOf } from "../dataplane/socket-path.js";
import { makePacketFilter } from "../host/masquerade/packet-filter.js";
import { guardedDevices, TunnelGuard } from "../host/tunnel-guard.js";
import type { Netlink } from "../host/netlink.js";
import { temporaryNames } from "../host/replace-device.js";
import { findOwnFilters, removeOwnFilter } from "../host/own-filters.js";
import { findOwnObjects, type OwnObject, removeOwnObjects } from "../host/own-objects.js";
import type { Lease } from "../lease/lease.js";
import type { Clock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { isRunning, readPidFile, signalProcess } from "../lib/process-identity.js";
import { readSubnetEnv } from "../subnet/subnet-env.js";
import { readLocalSnapshot, snapshotPath } from "./local-snapshot.js";
import { runPaths } from "./run-dir.js";

export interface CleanupOptions {
  readonly runDir: string;
  readonly stateDir: string;
  readonly subnetFile: string;
  readonly netlink: Netlink;
  readonly clock: Clock;
}

export interface CleanupStep {
  /** For people: "data-plane process 4711". */
  readonly description: string;
  /** What could not be removed, and why; empty when all went well. */
  readonly run: () => Promise<readonly string[]>;
}

const DEADLINE_MS = 1_000;
const END_MS = 3_000;
const POLL_MS = 20;
const MAC_FILE = /^(.+)\.mac$/;

/** What is there to be removed, in order; nothing is changed yet. Rejects with AGENT_RUNNING. */
export async function planCleanup(options: CleanupOptions): Promise<readonly CleanupStep[]> {
  const paths = runPaths(options.runDir);
  if (await socketAnswers(paths.agentSocket)) {
    throw new RipstopError(
      "AGENT_RUNNING",
      `an agent runs (it answers at ${paths.agentSocket}); stop it before cleaning up`,
    );
  }
  const { netlink } = options;
  const successor = successorPathOf(paths.dataplaneSocket);
  const macs = await ownDevices(options.stateDir);
  const own = (await readLocalSnapshot(snapshotPath(options.stateDir)))?.own ?? null;
  const objects = await findOwnObjects(netlink, { macs, addresses: deviceAddresses(own) });
  const vnis = [...new Set([...macs.keys()].flatMap(vniOf))];
  return [
    ...(await dataplaneStep(paths.dataplaneSocket, options.clock)),
    // What an agent leaves that died in the middle of an upgrade.
    ...(await dataplaneStep(successor, options.clock)),
    ...objects.map((object) => ({ description: object.description, run: () => removeOwnObjects(netlink, [object]) })),
    ...(await steeringSteps(objects, vnis)),
    ...packetFilterStep(options.stateDir, vnis),
    ...(await guardSteps(netlink, macs)),
    ...(await subnetFileStep(options, own)),
    ...(await keyFileStep(own)),
    ...fileSteps([
      paths.agentSocket,
      paths.dataplaneSocket,
      pidPathOf(paths.agentSocket),
      pidPathOf(paths.dataplaneSocket),
      successor,
      pidPathOf(successor),
      paths.dataplaneLog,
      snapshotPath(options.stateDir),
      toldPeersPath(options.stateDir),
      ...macFiles(options.stateDir).map((name) => join(options.stateDir, name)),
    ]),
    ...directoryStep(options.runDir),
    ...directoryStep(options.stateDir),
  ];
}

async function dataplaneStep(socketPath: string, clock: Clock): Promise<CleanupStep[]> {
  const identity = readPidFile(pidPathOf(socketPath));
  if (identity === null) return [];
  const end = async (): Promise<readonly string[]> => {
    const client = await DataplaneClient.connect(socketPath, { deadlineMs: DEADLINE_MS }).catch(() => null);
    await client
      ?.hello("control")
      .then(() => client.shutdown())
      .catch(() => undefined);
    client?.disconnect();
    for (const until = clock.nowMs() + END_MS; isRunning(identity); ) {
      // One that does not end by itself is hung or stopped; SIGKILL ends both, and the kernel takes back what it held.
      if (client === null || clock.nowMs() >= until) signalProcess(identity, "SIGKILL");
      if (clock.nowMs() >= until + END_MS) return [`data-plane process ${identity.pid} does not end`];
      await clock.sleep(POLL_MS, new AbortController().signal);
    }
    return [];
  };
  return [{ description: `data-plane process ${identity.pid}`, run: end }];
}

/** Filters of a killed data plane; those of a device that goes, go with it. */
async function steeringSteps(objects: readonly OwnObject[], vnis: readonly number[]): Promise<CleanupStep[]> {
  const going = new Set(objects.map(({ description }) => description));
  const filters = (await findOwnFilters(vnis)).filter(({ device }) => !going.has(`device ${device}`));
  return filters.map((filter) => ({
    description: `tc filter on ${filter.device} ${filter.side}`,
    run: () => removeOwnFilter(filter),
  }));
}

function vniOf(device: string): readonly number[] {
  const vni = /^flannel(?:-v6)?\.(\d+)$/.exec(device)?.[1];
  return vni === undefined ? [] : [Number(vni)];
}

/** The tunnel devices that this state directory vouches for. */
async function ownDevices(stateDir: string): Promise<ReadonlyMap<string, Mac>> {
  const devices = new Map<string, Mac>();
  for (const file of macFiles(stateDir)) {
    const mac = parseMac((await readFile(join(stateDir, file), "utf8").catch(() => "")).trim());
    const name = MAC_FILE.exec(file)?.[1];
    if (mac === null || name === undefined) continue;
    devices.set(name, mac);
    // The IPv6 device shares the MAC and has no file of its own; nor have those that were about to change places with them.
    for (const device of [name, name.replace(/^flannel\./, "flannel-v6.")]) {
      for (const known of [device, ...temporaryNames(device)]) devices.set(known, mac);
    }
  }
  return devices;
}

function macFiles(stateDir: string): readonly string[] {
  return existsSync(stateDir) ? readdirSync(stateDir).filter((name) => MAC_FILE.test(name)) : [];
}

/** Rules carry no mark of ours (they are flannel's, word for word), so they go only where our state says that we ran. */
function packetFilterStep(stateDir: string, vnis: readonly number[]): CleanupStep[] {
  if (!existsSync(snapshotPath(stateDir))) return [];
  const remove = async (): Promise<readonly string[]> => {
    try {
      for (const vni of vnis) await readdressingTable(vni).remove();
      await makePacketFilter("iptables").remove();
    } catch (error) {
      // Without the tool there are no rules of ours.
      if (error instanceof RipstopError && error.code === "COMMAND_MISSING") return [];
      return [`packet-filter rules: ${error instanceof Error ? error.message : String(error)}`];
    }
    return [];
  };
  return [{ description: "packet-filter rules, if any", run: remove }];
}

/** Guards of our overlays, and of overlays whose device is gone: that of the udp format goes with the data plane. */
async function guardSteps(netlink: Netlink, own: ReadonlyMap<string, Mac>): Promise<CleanupStep[]> {
  return (await guardedDevices()).map((device) => {
    const guard = new TunnelGuard(device);
    const remove = async (): Promise<readonly string[]> => {
      const stays = !own.has(device) && (await netlink.dump("link")).some(({ name }) => name === device);
      return stays ? [] : attempt(guard.table, () => guard.remove());
    };
    return { description: `nft table ${guard.table}, if its overlay is ours or gone`, run: remove };
  });
}

/** Only when it says what our own lease says: flanneld may have written another one since. */
async function subnetFileStep({ subnetFile }: CleanupOptions, own: Lease | null): Promise<CleanupStep[]> {
  const written = await readSubnetEnv(subnetFile);
  if (written === null || own === null) return [];
  const { subnet, ipv6Subnet } = own;
  const ours = prefixEquals(written.subnet, subnet) && prefixEquals(written.ipv6Subnet, ipv6Subnet);
  return ours ? fileSteps([subnetFile]) : [];
}

/** Only the one whose public half our own lease announced. */
async function keyFileStep(own: Lease | null): Promise<CleanupStep[]> {
  if (own?.attrs.backendType !== "wireguard") return [];
  const path = wireguardKeyFile();
  const key = await readKey(path).catch(() => null);
  const announced = [own.attrs.backendData, own.attrs.backendV6Data].map(readWireguardData);
  const ours = announced.some((data) => "publicKey" in data && data.publicKey === key?.publicKey);
  return ours ? fileSteps([path]) : [];
}

/** What a tunnel device of ours has as its address. */
function deviceAddresses(own: Lease | null): ReadonlySet<string> {
  const subnets = own === null ? [] : [own.subnet, own.ipv6Subnet].filter((subnet) => subnet !== null);
  return new Set(subnets.map((subnet) => `${formatAddress(subnet)}/${subnet.family === 4 ? 32 : 128}`));
}

function fileSteps(paths: readonly string[]): CleanupStep[] {
  return paths.filter(existsSync).map((path) => ({
    description: `file ${path}`,
    run: async () => attempt(path, () => rmSync(path, { force: true })),
  }));
}

/** A directory goes only when nothing but ours was in it. */
function directoryStep(path: string): CleanupStep[] {
  if (!existsSync(path)) return [];
  const remove = () => {
    if (readdirSync(path).length === 0) rmdirSync(path);
  };
  return [{ description: `directory ${path}, if empty`, run: async () => attempt(path, remove) }];
}

async function attempt(path: string, action: () => unknown): Promise<readonly string[]> {
  try {
    await action();
    return [];
  } catch (error) {
    return [`${path}: ${error instanceof Error ? error.message : String(error)}`];
  }
}
