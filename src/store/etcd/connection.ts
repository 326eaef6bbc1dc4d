// The etcd transport over etcd3. Uses its RPC clients and not its watcher, which loses events when a stream drops while it
// is catching up and ends the process on an answer it did not expect. Reads are repeated on the next endpoint; writes never.
import {
  type Etcd3,
  type IKeyValue,
  type IRangeRequest,
  type IRangeResponse,
  isRecoverableError,
  type IWatchResponse,
} from "etcd3";
import type { EtcdOptions } from "../../config/options.js";
import { RipstopError } from "../../lib/errors.js";
import { createEtcdClient, etcdEndpoints, readTlsFiles, type TlsFiles } from "./client.js";
import type { Endpoints } from "./endpoints.js";
import type { EtcdEvent, EtcdListing, EtcdRecord, EtcdSwap, EtcdSwapOutcome, EtcdTransport } from "./transport.js";

/** Records in one answer; 5,000 leases take five requests. */
const PAGE_RECORDS = 1_000;
const LIST_RESTARTS = 3;

export class EtcdConnection implements EtcdTransport {
  readonly #options: EtcdOptions;
  readonly #endpoints: Endpoints;
  #tls: TlsFiles;
  #client: Etcd3;
  /** Unary calls made, for the benchmark that counts them. */
  requests = 0;

  /** Throws when an option can never work; an etcd that is away is no reason. */
  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#endpoints = etcdEndpoints(options);
    this.#tls = readTlsFiles(options, this.#endpoints.secure);
    this.#client = createEtcdClient(options, this.#endpoints, this.#tls);
  }

  describe(): string {
    return this.#endpoints.origins.join(", ");
  }

  async list(prefix: string, signal: AbortSignal): Promise<EtcdListing> {
    this.#reloadTls();
    for (let restart = 1; ; restart++) {
      try {
        return await this.#listPages(prefix, signal);
      } catch (error) {
        // The revision of the first page was compacted before the last page: begin again.
        if (restart === LIST_RESTARTS || !/compacted/.test((error as Error).message)) throw error;
      }
    }
  }

  async #listPages(prefix: string, signal: AbortSignal): Promise<EtcdListing> {
    const records: EtcdRecord[] = [];
    const end = rangeEnd(prefix);
    let key = Buffer.from(prefix);
    let revision = "";
    for (;;) {
      const request: IRangeRequest = {
        key,
        ...(end === null ? {} : { range_end: end }),
        limit: PAGE_RECORDS,
        ...(revision === "" ? {} : { revision }),
      };
      const page: IRangeResponse = await this.#read("list", signal, () => this.#client.kv.range(request));
      if (revision === "") revision = page.header.revision;
      for (const entry of page.kvs) records.push(recordOf(entry));
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return { revision: BigInt(revision), records };
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async watch(
    prefix: string,
    fromRevision: bigint,
    onEvents: (events: readonly EtcdEvent[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    if (signal.aborted) return;
    const stream = await this.#client.watchClient.watch().catch((error: unknown) => {
      throw this.#failure("watch", error);
    });
    const end = rangeEnd(prefix);
    await new Promise<void>((resolve, reject) => {
      const finish = (outcome: () => void) => {
        signal.removeEventListener("abort", stop);
        outcome();
        // Ending first marks the stream as ours to close; cancelling alone would count as a failure of the whole host.
        stream.end();
        stream.cancel();
      };
      const stop = () => finish(resolve);
      signal.addEventListener("abort", stop, { once: true });
      stream.on("error", (error) => finish(() => reject(this.#failure("watch", error))));
      stream.on("end", () => finish(resolve));
      stream.on("data", (answer: IWatchResponse) => {
        if (answer.canceled) return finish(() => reject(this.#failure("watch", new Error(cancelReason(answer)))));
        if (answer.events.length > 0) onEvents(answer.events.map(eventOf));
      });
      stream.write({
        create_request: {
          key: Buffer.from(prefix),
          ...(end === null ? {} : { range_end: end }),
          start_revision: String(fromRevision),
          progress_notify: true,
        },
      });
      if (signal.aborted) stop();
    });
  }

  async swap({ key, expected, write }: EtcdSwap, signal: AbortSignal): Promise<EtcdSwapOutcome> {
    const name = Buffer.from(key);
    const compare =
      expected === 0n
        ? ({ target: "Version", result: "Equal", key: name, version: "0" } as const)
        : ({ target: "Mod", result: "Equal", key: name, mod_revision: String(expected) } as const);
    const change =
      write === null
        ? { request_delete_range: { key: name } }
        : { request_put: { key: name, value: Buffer.from(write.value), lease: write.leaseId } };
    const answer = await this.#call("write", signal, () =>
      this.#client.kv.txn({ compare: [compare], success: [change], failure: [{ request_range: { key: name } }] }),
    );
    const [found] = answer.succeeded ? [] : (answer.responses[0]?.response_range.kvs ?? []);
    return {
      succeeded: answer.succeeded,
      revision: BigInt(answer.header.revision),
      current: found === undefined ? null : recordOf(found),
    };
  }

  async grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: string; ttlSeconds: number }> {
    const answer = await this.#call("grant a lease", signal, () =>
      this.#client.leaseClient.leaseGrant({ TTL: ttlSeconds, ID: 0 }),
    );
    return { leaseId: answer.ID, ttlSeconds: Number(answer.TTL) };
  }

  async revoke(leaseId: string, signal: AbortSignal): Promise<void> {
    await this.#call("revoke a lease", signal, () => this.#client.leaseClient.leaseRevoke({ ID: leaseId }));
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /** Certificates are renewed on disk while agents run: a changed file means a new client. */
  #reloadTls(): void {
    if (!this.#endpoints.secure) return;
    const tls = readTlsFiles(this.#options, true);
    if (tls.fingerprint === this.#tls.fingerprint) return;
    this.#client.close();
    this.#tls = tls;
    this.#client = createEtcdClient(this.#options, this.#endpoints, tls);
  }

  async #read<T>(what: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#call(what, signal, call);
      } catch (error) {
        const cause = (error as RipstopError).cause;
        const elsewhere =
          cause instanceof Error && isRecoverableError(cause) && attempt < this.#endpoints.origins.length;
        if (!elsewhere || signal.aborted) throw error;
      }
    }
  }

  async #call<T>(what: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    this.requests++;
    try {
      return await call();
    } catch (error) {
      throw this.#failure(what, error);
    }
  }

  #failure(what: string, error: unknown): RipstopError {
    const message = (error as Error).message || String(error);
    return new RipstopError(
      "STORE_UNAVAILABLE",
      `etcd at ${this.describe()} did not ${what} (${message}); ${remedy(message)}`,
      { op: what, cause: error },
    );
  }
}

function remedy(message: string): string {
  if (/permission denied/i.test(message)) return "grant the user read and write on the prefix";
  if (/user name|authentication failed|invalid auth token/i.test(message))
    return "check -etcd-username and -etcd-password";
  if (/certificate|ssl|tls/i.test(message)) return "check -etcd-cafile, -etcd-certfile and -etcd-keyfile";
  if (/no leader/i.test(message)) return "the member has lost its quorum; bring the others back";
  if (/database space exceeded/i.test(message)) return "compact and defragment etcd, then disarm the alarm";
  return "check that it runs and is reachable";
}

/** Null: a single key. */
function rangeEnd(prefix: string): Buffer | null {
  if (!prefix.endsWith("/")) return null;
  const end = Buffer.from(prefix);
  end[end.length - 1] = "/".charCodeAt(0) + 1;
  return end;
}

function recordOf(entry: IKeyValue): EtcdRecord {
  return {
    key: entry.key.toString(),
    value: entry.value.toString(),
    createRevision: BigInt(entry.create_revision),
    modRevision: BigInt(entry.mod_revision),
    leaseId: entry.lease,
  };
}

function eventOf(event: IWatchResponse["events"][number]): EtcdEvent {
  if (event.type === "Put") return { kind: "put", record: recordOf(event.kv) };
  return { kind: "delete", key: event.kv.key.toString(), modRevision: BigInt(event.kv.mod_revision) };
}

function cancelReason(answer: IWatchResponse): string {
  if (answer.compact_revision !== "0") return `the watched revision was compacted at ${answer.compact_revision}`;
  return answer.cancel_reason || "the watch was cancelled";
}
