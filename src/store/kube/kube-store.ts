// Leases in the annotations of Node objects, as flannel's Kubernetes subnet manager keeps them. The cluster hands out the
// subnets (spec.podCIDRs) and a lease never expires; we write nothing but our own node's annotations and conditions.
import type { LeaseAttrs, Lease } from "../../lease/lease.js";
import { sameAttrs } from "../../lease/differ.js";
import { type Clock, systemClock } from "../../lib/clock.js";
import { RipstopError } from "../../lib/errors.js";
import { Latest } from "../../lib/latest.js";
import type {
  CreateOutcome,
  LeaseSnapshot,
  NodeAddresses,
  NodeAssignment,
  Store,
  StoreHealth,
  Subnets,
} from "../store.js";
import {
  type AnnotationNames,
  annotationNames,
  assignedSubnets,
  decodeNode,
  encodeAttrs,
  nodeAddresses,
  published,
} from "./annotations.js";
import type { KubeApi } from "./api.js";
import { CHANGE_BACK_MS, FlapDamper } from "./flap-damper.js";
import { type KubeNode, readNode, sameNode } from "./node.js";
import { NetConfFile } from "./net-conf-file.js";
import { OwnNode } from "./own-node.js";
import { NodeReflector } from "./reflector.js";

export interface KubeStoreOptions {
  readonly api: KubeApi;
  /** Our Node object's name. */
  readonly nodeName: string;
  readonly annotationPrefix: string;
  readonly netConfigPath: string;
  /** False: the NetworkUnavailable condition is left alone. */
  readonly setCondition: boolean;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Changes that come together are shown together: node heartbeats come in bursts. */
const SETTLE_MS = 10;
const LIST_MS = 30_000;

interface Known {
  readonly node: KubeNode;
  /** Null: not part of the overlay; a text: why it cannot be used. */
  readonly lease: Lease | null | string;
}

export class KubeStore implements Store {
  readonly kind = "kube";
  readonly assignment: NodeAssignment;
  readonly #api: KubeApi;
  readonly #name: string;
  readonly #names: AnnotationNames;
  readonly #clock: Clock;
  readonly #config: NetConfFile;
  readonly #reflector: NodeReflector;
  readonly #snapshots = new Latest<LeaseSnapshot>();
  readonly #closing = new AbortController();
  readonly #known = new Map<string, Known>();
  readonly #own: OwnNode;
  readonly #damper: FlapDamper;
  #wanted: LeaseAttrs | null = null;
  #revision = BigInt(Date.now()) * 1000n;
  #running: Promise<void> | null = null;
  #settling = false;
  /** Something is not as the last snapshot shows it. */
  #news = false;
  /** The last snapshot shows a node as it was, and another one is due. */
  #held = false;
  #waiting = false;

  constructor(options: KubeStoreOptions) {
    this.#api = options.api;
    this.#name = options.nodeName;
    this.#names = annotationNames(options.annotationPrefix);
    this.#clock = options.clock ?? systemClock;
    this.#config = new NetConfFile(options.netConfigPath, this.#clock);
    this.#damper = new FlapDamper(this.#clock);
    this.#own = new OwnNode(options.api, options.nodeName, options.setCondition);
    this.#reflector = new NodeReflector({
      api: options.api,
      names: this.#names,
      clock: this.#clock,
      random: options.random ?? Math.random,
      onChange: (nodes) => void this.#show(nodes),
    });
    this.assignment = {
      key: this.#name,
      subnets: (signal) => this.#assigned(signal),
      addresses: async (signal) => nodeAddresses(await this.#node(signal), this.#names),
      watchAddresses: (signal) => this.#watchAddresses(signal),
      tell: (standing, signal) => this.#own.tell(standing, signal),
    };
  }

  readNetworkConfig(signal: AbortSignal): Promise<string> {
    return this.#config.read(signal);
  }

  watchNetworkConfig(signal: AbortSignal): AsyncIterable<string> {
    return this.#config.follow(AbortSignal.any([signal, this.#closing.signal]));
  }

  /** The first list; afterwards what the watch has brought. */
  async listLeases(signal: AbortSignal): Promise<LeaseSnapshot> {
    for await (const snapshot of this.watchLeases(AbortSignal.any([signal, AbortSignal.timeout(LIST_MS)]))) {
      const { connected, failure } = this.#reflector.state;
      if (connected) return snapshot;
      throw new RipstopError("STORE_UNAVAILABLE", failure);
    }
    signal.throwIfAborted();
    throw new RipstopError(
      "STORE_UNAVAILABLE",
      this.#reflector.state.failure ||
        `the nodes could not be listed in ${LIST_MS / 1000} s; check ${this.#api.describe()}`,
    );
  }

  watchLeases(signal: AbortSignal): AsyncIterable<LeaseSnapshot> {
    this.#running ??= this.#reflector.run(this.#closing.signal);
    return this.#snapshots.follow(AbortSignal.any([signal, this.#closing.signal]));
  }

  async createLease(
    subnets: Subnets,
    attrs: LeaseAttrs,
    _ttl: number | null,
    signal: AbortSignal,
  ): Promise<CreateOutcome> {
    return await this.#write(subnets, attrs, signal);
  }

  async renewLease(held: Lease, attrs: LeaseAttrs, _ttl: number | null, signal: AbortSignal): Promise<CreateOutcome> {
    return await this.#write(held, attrs, signal);
  }

  /** Nothing: the subnet is the cluster's, and flannel leaves the annotations too. */
  async deleteLease(_held: Lease, _signal: AbortSignal): Promise<void> {
    // on purpose
  }

  health(): StoreHealth {
    const { connected, lastListAtMs, resyncs, failure } = this.#reflector.state;
    const age = lastListAtMs === null ? null : this.#clock.nowMs() - lastListAtMs;
    return { connected, lastSyncAgeMs: age, resyncs, detail: failure || this.#api.describe() };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#api.close();
  }

  async #write(subnets: Subnets, attrs: LeaseAttrs, signal: AbortSignal): Promise<CreateOutcome> {
    this.#wanted = attrs;
    const node = await this.#node(signal);
    const assigned = assignedSubnets(node);
    // The node was made anew and got another pod CIDR: what we hold is no longer ours.
    if (typeof assigned === "string" || !within(subnets, assigned)) return { created: false, holder: null };
    const annotations = encodeAttrs(attrs, node, this.#names);
    let written = node;
    if (Object.keys(annotations).length > 0) {
      const answer = await this.#api.patchNodeStatus(this.#name, { metadata: { annotations } }, signal);
      const read = answer === null ? null : readNode(answer, this.#names);
      if (read === null) return { created: false, holder: null };
      written = read;
    }
    this.#reflector.put(written);
    const lease = this.#leaseOf(written);
    if (lease === null || typeof lease === "string") {
      throw new RipstopError(
        "STORE_RECORD_INVALID",
        `our own node ${this.#name} cannot be read back (${lease ?? "it is not marked"}); another program rewrites its annotations: find it, or change -kube-annotation-prefix`,
      );
    }
    return { created: true, lease };
  }

  async #assigned(signal: AbortSignal): Promise<Subnets | string> {
    return assignedSubnets(await this.#node(signal));
  }

  async *#watchAddresses(signal: AbortSignal): AsyncGenerator<NodeAddresses, void, void> {
    let last = "";
    for await (const _ of this.watchLeases(signal)) {
      const node = this.#reflector.node(this.#name);
      if (node === undefined) continue;
      const addresses = nodeAddresses(node, this.#names);
      const { publicIp, publicIpv6, problems = [] } = addresses;
      const text = [publicIp, publicIpv6, ...problems].join("\n");
      if (text === last) continue;
      last = text;
      void this.#own.complain(problems, signal);
      yield addresses;
    }
  }

  async #node(signal: AbortSignal): Promise<KubeNode> {
    const object = await this.#api.getNode(this.#name, signal);
    const node = object === null ? null : readNode(object, this.#names);
    if (node !== null) return node;
    throw new RipstopError(
      "STORE_UNAVAILABLE",
      `the cluster has no node "${this.#name}"; wait for the kubelet to register it, or set NODE_NAME to its name`,
    );
  }

  async #show(nodes: ReadonlyMap<string, KubeNode>): Promise<void> {
    if (this.#settling) return;
    this.#settling = true;
    this.#held = false;
    await this.#clock.sleep(this.#snapshots.current === undefined ? 0 : SETTLE_MS, this.#closing.signal);
    this.#settling = false;
    if (this.#closing.signal.aborted) return;
    const leases = new Map<string, Lease>();
    const quarantined: { key: string; reason: string }[] = [];
    for (const node of nodes.values()) {
      const lease = this.#leaseOf(node);
      if (typeof lease === "string") quarantined.push({ key: node.name, reason: lease });
      else if (lease !== null) leases.set(node.name, lease);
    }
    for (const name of this.#known.keys()) {
      if (nodes.has(name)) continue;
      this.#know(name, null);
      this.#damper.forget(name);
    }
    if (this.#news || this.#snapshots.current === undefined) this.#snapshots.set({ leases, quarantined });
    this.#news = false;
    if (this.#held) void this.#showHeld(nodes);
  }

  /** What a node said that changes too often is shown in a while. */
  async #showHeld(nodes: ReadonlyMap<string, KubeNode>): Promise<void> {
    if (this.#waiting) return;
    this.#waiting = true;
    await this.#clock.sleep(CHANGE_BACK_MS, this.#closing.signal);
    this.#waiting = false;
    await this.#show(nodes);
  }

  /** The same object as long as nothing about the node changed that we read. */
  #leaseOf(node: KubeNode): Lease | null | string {
    const known = this.#known.get(node.name);
    const isKnown = known !== undefined && (known.node === node || sameNode(known.node, node));
    const isOwn = node.name === this.#name;
    if (isKnown && !isOwn) return known.lease;
    if (known !== undefined && !isOwn && !this.#damper.admits(node.name)) {
      this.#held = true;
      return known.lease;
    }
    const decoded = decodeNode(node, this.#names);
    if (decoded === null || typeof decoded === "string") {
      this.#know(node.name, { node, lease: decoded });
      return decoded;
    }
    const attrs = isOwn ? this.#asWanted(decoded.attrs, node) : decoded.attrs;
    if (isKnown && known.lease !== null && typeof known.lease !== "string") {
      if (sameAttrs(known.lease.attrs, attrs)) return known.lease;
    }
    this.#revision++;
    const lease: Lease = {
      key: node.name,
      ...decoded.subnets,
      attrs,
      expiresAt: null,
      createRevision: BigInt(node.createdMs),
      modRevision: this.#revision,
    };
    this.#know(node.name, { node, lease });
    return lease;
  }

  #know(name: string, known: Known | null): void {
    if (known === null) this.#known.delete(name);
    else this.#known.set(name, known);
    this.#news = true;
  }

  /** Our own record says what we wanted when it says that with the addresses which the user put in their place. */
  #asWanted(attrs: LeaseAttrs, node: KubeNode): LeaseAttrs {
    if (this.#wanted === null) return attrs;
    return sameAttrs(attrs, published(this.#wanted, node, this.#names)) ? this.#wanted : attrs;
  }
}

function within(subnets: Subnets, assigned: Subnets): boolean {
  const same = <P extends { address: unknown; length: number }>(a: P | null, b: P | null) =>
    a === null || (b !== null && a.address === b.address && a.length === b.length);
  return same(subnets.subnet, assigned.subnet) && same(subnets.ipv6Subnet, assigned.ipv6Subnet);
}
