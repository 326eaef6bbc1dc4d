// Stores over a real etcd for tests, and the snapshots they show.
import { EtcdConnection } from "../../src/store/etcd/connection.js";
import { EtcdStore } from "../../src/store/etcd/etcd-store.js";
import type { EtcdOptions } from "../../src/config/options.js";
import type { LeaseSnapshot } from "../../src/store/store.js";

export function etcdOptions(endpoints: readonly string[], overrides: Partial<EtcdOptions> = {}): EtcdOptions {
  return {
    endpoints,
    prefix: "/coreos.com/network",
    keyFile: "",
    certFile: "",
    caFile: "",
    username: "",
    password: "",
    ...overrides,
  };
}

export function openStore(options: EtcdOptions): { readonly store: EtcdStore; readonly connection: EtcdConnection } {
  const connection = new EtcdConnection(options);
  return { store: new EtcdStore({ transport: connection, prefix: options.prefix }), connection };
}

/** Everything a follower is shown; `withdrawn` counts keys that went away. */
export class SnapshotLog {
  readonly all: LeaseSnapshot[] = [];
  readonly done: Promise<void>;

  constructor(snapshots: AsyncIterable<LeaseSnapshot>) {
    this.done = (async () => {
      for await (const snapshot of snapshots) this.all.push(snapshot);
    })();
  }

  get latest(): LeaseSnapshot | undefined {
    return this.all.at(-1);
  }

  /** Names without the prefix, sorted. */
  keys(): string[] {
    return [...(this.latest?.leases.keys() ?? [])].map((key) => key.slice(key.lastIndexOf("/") + 1)).sort();
  }

  everMissed(key: string): boolean {
    return this.all.some((snapshot) => ![...snapshot.leases.keys()].some((name) => name.endsWith(`/${key}`)));
  }
}
