// A lab's etcd: one real server on the switch, which every node reaches over the underlay. Spoken to with etcdctl from the
// switch's namespace, because the lab itself is not in any of them.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { encodeLeaseAttrs, encodeSubnetKey } from "../lease/codec.js";
import { findDaemon, lastLogLine, startDaemon } from "./daemon.js";
import type { LabLock } from "./lock.js";
import { namespaceIdentity, networkNamespaceOf } from "./namespace.js";
import { type LabPlan, labFiles } from "./plan.js";
import { stopProcesses } from "./process-record.js";
import { Runner } from "./runner.js";
import type { LabStore, PeerLease } from "./store.js";
import { waitFor } from "./wait.js";

const NAME = "etcd";
const PORT = 2379;
const PREFIX = "/coreos.com/network";
const START_TIMEOUT_MS = 30_000;

export class EtcdLabStore implements LabStore {
  readonly agentArguments: readonly string[];
  readonly #plan: LabPlan;
  readonly #endpoint: string;

  constructor(plan: LabPlan) {
    this.#plan = plan;
    this.#endpoint = `http://${plan.gateway}:${PORT}`;
    this.agentArguments = ["--store=etcd", `--etcd-endpoints=${this.#endpoint}`, `--etcd-prefix=${PREFIX}`];
  }

  async prepare(lock: LabLock, networkConfig: string, signal?: AbortSignal): Promise<void> {
    await this.#ensureServer(lock);
    const healthy = async (): Promise<true | null> =>
      (await this.#etcdctl(["endpoint", "health"])).code === 0 ? true : null;
    await waitFor("etcd to answer", healthy, {
      timeoutMs: START_TIMEOUT_MS,
      everyMs: 100,
      ...(signal === undefined ? {} : { signal }),
      explain: () => lastLogLine(this.#plan.directory, NAME),
    });
    await this.#put(`${PREFIX}/config`, networkConfig);
  }

  async hold(lease: PeerLease): Promise<void> {
    await this.#put(`${PREFIX}/subnets/${encodeSubnetKey(lease)}`, encodeLeaseAttrs(lease.attrs));
  }

  async release(lease: PeerLease): Promise<void> {
    await this.#etcdctl(["del", `${PREFIX}/subnets/${encodeSubnetKey(lease)}`]);
  }

  async #ensureServer(lock: LabLock): Promise<void> {
    const { directory, switchNamespace } = this.#plan;
    const running = await findDaemon(directory, NAME);
    if (running !== null) {
      if ((await networkNamespaceOf(running.pid)) === (await namespaceIdentity(switchNamespace))) return;
      await stopProcesses([running], 2000);
    }
    const data = join(labFiles.store(directory), "etcd");
    await mkdir(data, { recursive: true, mode: 0o700 });
    const urls = [`--listen-client-urls=${this.#endpoint}`, `--advertise-client-urls=${this.#endpoint}`];
    const peer = ["--listen-peer-urls=http://127.0.0.1:2380"];
    const argv = ["etcd", `--data-dir=${data}`, ...urls, ...peer, "--unsafe-no-fsync"];
    await startDaemon(lock, directory, { name: NAME, namespace: switchNamespace, argv });
  }

  async #put(key: string, value: string): Promise<void> {
    await new Runner().mustIn(this.#plan.switchNamespace, "etcdctl", this.#arguments(["put", key]), { input: value });
  }

  #etcdctl(args: readonly string[]) {
    return new Runner().runIn(this.#plan.switchNamespace, "etcdctl", this.#arguments(args));
  }

  #arguments(args: readonly string[]): string[] {
    return [`--endpoints=${this.#endpoint}`, "--dial-timeout=5s", "--command-timeout=20s", ...args];
  }
}
