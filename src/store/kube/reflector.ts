// Our copy of the cluster's nodes: list in pages, then watch, and list again after anything unusual. A broken or silent watch
// goes on from the last version seen; a version that is gone (410) begins with a new list. While the API server is away
// the copy stays as it is. Owned by the Kubernetes store; never throws into it.
import { Backoff } from "../../lib/backoff.js";
import type { Clock } from "../../lib/clock.js";
import type { AnnotationNames } from "./annotations.js";
import { type KubeApi, KubeGone, type WatchLine } from "./api.js";
import { type KubeNode, readNode, record, sameNode } from "./node.js";

export interface ReflectorOptions {
  readonly api: KubeApi;
  readonly names: AnnotationNames;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called after the copy may have changed; the map is the live copy. */
  readonly onChange: (nodes: ReadonlyMap<string, KubeNode>) => void;
}

export interface ReflectorState {
  readonly connected: boolean;
  readonly lastListAtMs: number | null;
  /** Complete lists after the first. */
  readonly resyncs: number;
  /** Empty while all is well. */
  readonly failure: string;
}

const BACKOFF = { initialMs: 200, maxMs: 5_000 };
const PAGE_NODES = 500;
/** A full list now and then, whatever the watch says; jittered so that nodes do not list together. */
const RELIST_MS = 1_800_000;
/** So many failures in a row, and what the watch would go on from is not trusted any more. */
const RELIST_AFTER_FAILURES = 10;

export class NodeReflector {
  readonly #options: ReflectorOptions;
  readonly #nodes = new Map<string, KubeNode>();
  #version = "";
  #connected = false;
  #lastListAtMs: number | null = null;
  #lists = 0;
  #failure = "";

  constructor(options: ReflectorOptions) {
    this.#options = options;
  }

  get state(): ReflectorState {
    const resyncs = Math.max(0, this.#lists - 1);
    return { connected: this.#connected, lastListAtMs: this.#lastListAtMs, resyncs, failure: this.#failure };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const backoff = new Backoff({ ...BACKOFF, random });
    while (!signal.aborted) {
      try {
        if (this.#version === "") {
          this.#version = await this.#list(signal);
          backoff.reset();
        }
        const heard = await this.#watch(signal);
        if (heard) backoff.reset();
        else await clock.sleep(backoff.nextMs(), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#connected = false;
        if (error instanceof KubeGone || backoff.failures >= RELIST_AFTER_FAILURES) this.#version = "";
        if (!(error instanceof KubeGone)) this.#failure = (error as Error).message;
        await clock.sleep(backoff.nextMs(), signal);
      }
    }
  }

  node(name: string): KubeNode | undefined {
    return this.#nodes.get(name);
  }

  /** One node as we have just read or written it; the watch will bring it again. Before the first list it is no news. */
  put(node: KubeNode): void {
    if (this.#set(node) && this.#lastListAtMs !== null) this.#options.onChange(this.#nodes);
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { api, names, clock, onChange } = this.#options;
    const present = new Set<string>();
    let next = "";
    let version = "";
    const hear = (item: unknown): void => {
      const node = readNode(item, names);
      if (node === null) return;
      present.add(node.name);
      this.#set(node);
    };
    do {
      const page = await api.listNodes(PAGE_NODES, next, hear, signal);
      next = page.continueToken;
      version = page.resourceVersion;
    } while (next !== "");
    for (const name of this.#nodes.keys()) if (!present.has(name)) this.#nodes.delete(name);
    this.#lastListAtMs = clock.nowMs();
    this.#lists++;
    this.#connected = true;
    this.#failure = "";
    onChange(this.#nodes);
    return version;
  }

  /** True when the stream brought anything at all. */
  async #watch(signal: AbortSignal): Promise<boolean> {
    const { api, clock, random } = this.#options;
    const round = new AbortController();
    const bound = AbortSignal.any([signal, round.signal]);
    const relist = clock.sleep(RELIST_MS * (0.75 + 0.5 * random()), bound).then(() => {
      if (!bound.aborted) this.#version = "";
      round.abort();
    });
    let heard = false;
    try {
      await api.watchNodes(
        this.#version,
        {
          opened: () => {
            this.#connected = true;
            this.#failure = "";
          },
          heard: (line) => {
            heard = true;
            this.#apply(line);
          },
        },
        bound,
      );
    } catch (error) {
      if (signal.aborted || !round.signal.aborted) throw error;
    } finally {
      round.abort();
      await relist;
    }
    return heard;
  }

  #apply({ type, object }: WatchLine): void {
    if (type === "ERROR") {
      const { code, message } = record(object);
      if (code === 410) throw new KubeGone(String(message));
      throw new Error(`the watch ended with ${String(message)}`);
    }
    const { resourceVersion } = record(record(object)["metadata"]);
    if (typeof resourceVersion === "string") this.#version = resourceVersion;
    if (type === "BOOKMARK") return;
    const node = readNode(object, this.#options.names);
    if (node === null) return;
    const changed = type === "DELETED" ? this.#nodes.delete(node.name) : this.#set(node);
    if (changed) this.#options.onChange(this.#nodes);
  }

  /** Kubelets touch their node every few minutes; what we read of it seldom changes. */
  #set(node: KubeNode): boolean {
    const known = this.#nodes.get(node.name);
    if (known !== undefined && sameNode(known, node)) return false;
    this.#nodes.set(node.name, node);
    return true;
  }
}
