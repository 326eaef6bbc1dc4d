// The default store of a lab: a folder that all agents share. Network namespaces share the file system, so it needs no server.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { encodeSubnetKey } from "../lease/codec.js";
import { writeFileAtomic } from "../lib/atomic-file.js";
import { RipstopError } from "../lib/errors.js";
import { FileStore } from "../store/file/file-store.js";
import type { LabLock } from "./lock.js";
import { type LabPlan, labFiles } from "./plan.js";
import type { LabStore, PeerLease } from "./store.js";

const NEVER = new AbortController().signal;

export class FileLabStore implements LabStore {
  readonly agentArguments: readonly string[];
  readonly #directory: string;

  constructor(plan: LabPlan) {
    this.#directory = labFiles.store(plan.directory);
    this.agentArguments = ["--store=file", `--store-dir=${this.#directory}`];
  }

  async prepare(_lock: LabLock, networkConfig: string): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    await writeFileAtomic(join(this.#directory, "config"), networkConfig);
  }

  hold(lease: PeerLease): Promise<void> {
    return this.#with(async (store) => {
      const outcome = await store.createLease(lease, lease.attrs, null, NEVER);
      if (outcome.created || outcome.holder?.attrs.publicIp === lease.attrs.publicIp) return;
      throw new RipstopError(
        "LAB_DIFFERENT",
        `subnet ${encodeSubnetKey(lease)} of a kernel peer is leased to another node; run \`ripstop lab down\` first`,
      );
    });
  }

  release(lease: PeerLease): Promise<void> {
    return this.#with(async (store) => {
      const held = (await store.listLeases(NEVER)).leases.get(encodeSubnetKey(lease));
      if (held !== undefined && held.attrs.publicIp === lease.attrs.publicIp) await store.deleteLease(held, NEVER);
    });
  }

  async #with(use: (store: FileStore) => Promise<void>): Promise<void> {
    const store = new FileStore({ directory: this.#directory });
    try {
      await use(store);
    } finally {
      await store.close();
    }
  }
}
