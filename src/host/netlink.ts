// rtnetlink for TypeScript: dumps, look-ups, batches with an outcome per item, and events. Part of the public library. The
// work happens on libuv's worker pool; the event loop only encodes requests, in slices. Needs CAP_NET_ADMIN to change things.
import { isNativeError, errnoName, toRipstopError, describeErrno } from "../dataplane/errors.js";
import { RipstopError } from "../lib/errors.js";
import type { NativeNetlink, NativeNetlinkSocket, NativeQuery } from "./netlink-binding.js";
import type {
  NetlinkEvents,
  NetlinkFilter,
  NetlinkGroup,
  NetlinkKind,
  NetlinkLink,
  NetlinkNeighbor,
  NetlinkObjectOf,
  NetlinkOutcome,
  NetlinkRequest,
  NetlinkRoute,
  RouteLookup,
} from "./netlink-objects.js";

/** Requests encoded in one go: about 2 ms of the event loop. */
const SLICE = 1024;
const DONE: NetlinkOutcome = { ok: true };

export interface NetlinkOptions {
  /** The addon's netlink part: `loadNative().netlink`. */
  readonly binding: NativeNetlink;
  /** A network namespace by path, e.g. "/run/netns/blue"; the process's own when absent. */
  readonly namespace?: string | undefined;
}

export class Netlink {
  readonly #binding: NativeNetlink;
  readonly #namespace: string;
  readonly #socket: NativeNetlinkSocket;
  /** Calls take turns: the kernel serves one dump per socket, and a batch must not interleave with another. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(binding: NativeNetlink, namespace: string, socket: NativeNetlinkSocket) {
    this.#binding = binding;
    this.#namespace = namespace;
    this.#socket = socket;
  }

  /** Throws NETLINK_OPEN_FAILED or NETNS_OPEN_FAILED. */
  static open(options: NetlinkOptions): Netlink {
    const namespace = options.namespace ?? "";
    const socket = options.binding.openSocket(namespace);
    if (isNativeError(socket)) throw toRipstopError(socket);
    return new Netlink(options.binding, namespace, socket);
  }

  /** All objects of a kind that match the filter. */
  async dump<K extends NetlinkKind>(kind: K, filter: NetlinkFilter = {}): Promise<readonly NetlinkObjectOf<K>[]> {
    const objects = (await this.#read({ dump: kind, ...filter })) as readonly NetlinkObjectOf<K>[];
    return objects.filter((object) => matches(object, kind, filter));
  }

  /** The link of that name; null when there is none. */
  async link(name: string): Promise<NetlinkLink | null> {
    const found = await this.#lookup({ get: "link", name }, ["ENODEV"]);
    return found?.object === "link" ? found : null;
  }

  /** The route the kernel would take; null when it has none. */
  async route(lookup: RouteLookup): Promise<NetlinkRoute | null> {
    const found = await this.#lookup({ get: "route", ...lookup }, ["ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL"]);
    return found?.object === "route" ? found : null;
  }

  /** The neighbor entry; null when there is none. */
  async neighbor(address: string, linkIndex: number): Promise<NetlinkNeighbor | null> {
    const found = await this.#lookup({ get: "neighbor", address, linkIndex }, ["ENOENT", "ENODEV"]);
    return found?.object === "neighbor" ? found : null;
  }

  /** Sends every request, in order, whatever happens to the others. Rejects only when the socket itself fails. */
  async apply(requests: readonly NetlinkRequest[]): Promise<readonly NetlinkOutcome[]> {
    const outcomes: NetlinkOutcome[] = requests.map(() => DONE);
    return this.#inTurn(async () => {
      for (let from = 0; from < requests.length; from += SLICE) {
        const answer = await this.#socket.apply(requests.slice(from, from + SLICE));
        if (isNativeError(answer)) throw toRipstopError(answer);
        for (let i = 0; i + 2 < answer.length; i += 3) {
          const errno = Number(answer[i + 1]);
          const message = String(answer[i + 2]) || describeErrno(errno);
          outcomes[from + Number(answer[i])] = { ok: false, errno, code: errnoName(errno), message };
        }
      }
      return outcomes;
    });
  }

  /** As apply(), for a single request; throws NETLINK_REFUSED with the kernel's text. */
  async applyOne(request: NetlinkRequest): Promise<void> {
    const [outcome = DONE] = await this.apply([request]);
    if (outcome.ok) return;
    const what = `${request.verb} ${request.object}`;
    throw new RipstopError("NETLINK_REFUSED", `the kernel refused to ${what}: ${outcome.message} (${outcome.code})`, {
      op: what,
      errno: outcome.errno,
    });
  }

  /** `name` is the part after /proc/sys/, in the socket's own network namespace. */
  async writeSysctl(name: string, value: string): Promise<void> {
    const error = await this.#socket.writeSysctl(name, value);
    if (error !== null) throw toRipstopError(error);
  }

  /**
   * Yields what happened since the last item, as soon as something did; joins the groups before it returns. `overrun`: notices
   * were lost, dump and compare. Ends with the signal. Never keeps the process alive.
   */
  events(groups: readonly NetlinkGroup[], signal: AbortSignal): AsyncIterable<NetlinkEvents> {
    let notify = (): void => undefined;
    let waiting = false;
    const stream = this.#binding.openEvents(this.#namespace, groups, () => {
      waiting = true;
      notify();
    });
    if (isNativeError(stream)) throw toRipstopError(stream);
    // Closes here too: an iterable that nobody ever iterates must not hold its socket and thread.
    const onAbort = (): void => {
      stream.close();
      notify();
    };
    signal.addEventListener("abort", onAbort);
    return (async function* () {
      try {
        while (!signal.aborted) {
          if (!waiting) await new Promise<void>((resolve) => (notify = resolve));
          if (signal.aborted) return;
          waiting = false;
          const { notices, overrun, errno } = stream.take();
          if (notices.length > 0 || overrun) yield { notices, overrun };
          if (errno > 0)
            throw toRipstopError({ code: "NETLINK_EVENTS_FAILED", errno, op: "recv(NETLINK_ROUTE)", detail: "" });
        }
      } finally {
        signal.removeEventListener("abort", onAbort);
        stream.close();
      }
    })();
  }

  /** Idempotent. Calls under way still finish. */
  close(): void {
    this.#socket.close();
  }

  async #lookup(query: NativeQuery, absent: readonly string[]) {
    try {
      const [first] = await this.#read(query);
      return first ?? null;
    } catch (error) {
      if (error instanceof RipstopError && absent.includes(errnoName(error.errno ?? 0))) return null;
      throw error;
    }
  }

  #read(query: NativeQuery) {
    return this.#inTurn(async () => {
      const answer = await this.#socket.read(query);
      if (isNativeError(answer)) throw toRipstopError(answer);
      return answer;
    });
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** Kernels differ in which filters they apply themselves. */
function matches(object: NetlinkObjectOf<NetlinkKind>, kind: NetlinkKind, filter: NetlinkFilter): boolean {
  if (object.object !== kind) return false;
  if (filter.linkIndex !== undefined && "linkIndex" in object && object.linkIndex !== filter.linkIndex) return false;
  if (filter.table !== undefined && "table" in object && object.table !== filter.table) return false;
  if (filter.protocol !== undefined && object.object === "route" && object.protocol !== filter.protocol) return false;
  if (filter.family === undefined || object.object === "fdb" || object.object === "link") return true;
  if (object.object === "rule") return object.family === filter.family;
  const text =
    object.object === "route" ? object.destination : object.object === "address" ? object.prefix : object.address;
  return (text ?? "").includes(":") === (filter.family === 6);
}
