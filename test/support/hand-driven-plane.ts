// Our data plane on a kernel-peer node, without an agent: opened and given its peer table by the test. The kernel's VXLAN
// device stays programmed by hand, so the same node is carried by the kernel when the plane is closed.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseMac } from "../../src/addr/mac.js";
import { parsePrefix4 } from "../../src/addr/prefix.js";
import type { OpenOptions } from "../../src/dataplane/binding.js";
import { DataplaneClient } from "../../src/dataplane/client.js";
import { encodePeerTable } from "../../src/dataplane/codec.js";
import type { NextHop, Peer, PeerTable } from "../../src/dataplane/peer-table.js";
import { KERNEL_PEER_DEVICE, kernelPeerSubnet, kernelPeerVtep } from "../../src/lab/kernel-peer.js";
import { linkMac } from "../../src/lab/links.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { planeSocket } from "../../src/lab/plane.js";
import { Runner } from "../../src/lab/runner.js";
import { finishFramesOnCable } from "../../src/lab/underlay.js";
import { waitFor } from "../../src/lab/wait.js";

const DEADLINE_MS = 30_000;
const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));

export type PortChoice = Pick<OpenOptions, "underlayPort" | "disable"> &
  Partial<Pick<OpenOptions, "overlayPort" | "workers" | "cpus">>;

export class HandDrivenPlane {
  readonly #child: ChildProcess;
  readonly client: DataplaneClient;

  private constructor(child: ChildProcess, client: DataplaneClient) {
    this.#child = child;
    this.client = client;
  }

  /** On a node of a lab of kernel peers, with all other nodes in its table. `wrapper` goes before the program. */
  static async start(
    plan: LabPlan,
    node: LabNode,
    choice: PortChoice,
    wrapper: readonly string[] = [],
  ): Promise<HandDrivenPlane> {
    const runner = new Runner();
    await finishFramesOnCable(runner, plan, node, choice.underlayPort === "xdp");
    const place = { namespace: node.namespace, socket: planeSocket(node), wrapper };
    return HandDrivenPlane.open(place, openOptions(choice), await peerTable(runner, plan, node));
  }

  /** Anywhere: a process in the namespace, opened with these options, given this table. */
  static async open(
    place: { readonly namespace: string; readonly socket: string; readonly wrapper?: readonly string[] },
    options: OpenOptions,
    table: Uint8Array,
  ): Promise<HandDrivenPlane> {
    const { namespace, socket, wrapper = [] } = place;
    mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
    const argv = ["netns", "exec", namespace, ...wrapper, process.execPath, RIPSTOP, "dataplane", "--socket", socket];
    const child = spawn("ip", argv, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const connect = async (): Promise<DataplaneClient | null> => {
      if (child.exitCode !== null) throw new Error(`the data-plane process ended: ${said}`);
      return DataplaneClient.connect(socket, { deadlineMs: DEADLINE_MS }).catch(() => null);
    };
    const client = await waitFor("the data-plane process", connect, { timeoutMs: 30_000 });
    try {
      await client.hello("control");
      await client.open(options);
      await client.apply(table);
    } catch (error) {
      client.disconnect();
      child.kill("SIGKILL");
      throw new Error(`${(error as Error).message}\n${said}`, { cause: error });
    }
    return new HandDrivenPlane(child, client);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Ends the process in order; the kernel carries on. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    await this.client.shutdown().catch(() => undefined);
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await ended;
  }
}

export function openOptions(choice: PortChoice): OpenOptions {
  return {
    encapsulation: "vxlan",
    vni: 1,
    port: 8472,
    overlayDevice: KERNEL_PEER_DEVICE,
    overlayDeviceV6: "",
    underlayDevice: "eth0",
    overlayPort: "auto",
    checksumV4: false,
    workers: 1,
    cpus: [],
    busyPollUs: 0,
    ...choice,
  };
}

async function peerTable(runner: Runner, plan: LabPlan, node: LabNode): Promise<Uint8Array> {
  const mac = async (other: LabNode) => {
    const found = parseMac((await linkMac(runner, other.namespace, "eth0")) ?? "");
    if (found === null) throw new Error(`no eth0 in ${other.namespace}`);
    return found;
  };
  const peers: Peer[] = [];
  const hops = new Map<number, NextHop>();
  for (const other of plan.nodes) {
    if (other === node) continue;
    const vtep = kernelPeerVtep(other);
    peers.push({
      id: other.index,
      leaseKey: other.namespace,
      prefix: parsePrefix4(vtep.v4.subnet)!,
      underlay: { family: 4, address: parseIpv4(other.underlay)! },
      vtepMac: parseMac(vtep.mac),
      direct: false,
    });
    hops.set(other.index, { mac: await mac(other), pathMtu: 1500 });
  }
  const own = kernelPeerVtep(node);
  const table: PeerTable = {
    version: 1n,
    local: {
      prefixes: [parsePrefix4(own.v4.subnet)!],
      underlayV4: parseIpv4(node.underlay),
      underlayV6: null,
      underlayMac: await mac(node),
      vtepMac: parseMac(own.mac),
      overlayMtu: kernelPeerSubnet(node).mtu,
    },
    peers,
  };
  return encodePeerTable(table, hops);
}
