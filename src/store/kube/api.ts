// The few calls we make to a Kubernetes API server, as an interface: the reflector and the store see no HTTP. One
// implementation speaks to a real server (http-api.ts).

export type JsonObject = Readonly<Record<string, unknown>>;

export interface NodePage {
  readonly resourceVersion: string;
  /** Token of the next page; empty on the last. */
  readonly continueToken: string;
}

/** One line of a watch: type and object as they came. */
export interface WatchLine {
  readonly type: string;
  readonly object: unknown;
}

export interface WatchListener {
  /** The server has taken the watch; a quiet cluster may say nothing for a minute. */
  opened(): void;
  heard(line: WatchLine): void;
}

/** Errors are RipstopError with code STORE_UNAVAILABLE, or STORE_REFUSED when the server forbids it; KubeGone is its own. */
export interface KubeApi {
  /** Null when there is no such node. */
  getNode(name: string, signal: AbortSignal): Promise<JsonObject | null>;
  getPod(namespace: string, name: string, signal: AbortSignal): Promise<JsonObject | null>;
  /** Each node is told as it comes; a page that breaks off in the middle rejects all the same. */
  listNodes(
    limit: number,
    continueToken: string,
    hear: (item: unknown) => void,
    signal: AbortSignal,
  ): Promise<NodePage>;
  /** Resolves when the server ends the stream; rejects when it breaks, falls silent, or the listener throws. */
  watchNodes(resourceVersion: string, listener: WatchListener, signal: AbortSignal): Promise<void>;
  /** Strategic merge patch of the status subresource: all that flannel's ClusterRole allows. Null: no such node. */
  patchNodeStatus(name: string, patch: JsonObject, signal: AbortSignal): Promise<JsonObject | null>;
  /** True when it was recorded; false when the role does not allow events. */
  createEvent(namespace: string, event: JsonObject, signal: AbortSignal): Promise<boolean>;
  describe(): string;
  close(): void;
}

/** The server no longer has the version to list or watch from (HTTP 410): begin with a new list. */
export class KubeGone extends Error {}
