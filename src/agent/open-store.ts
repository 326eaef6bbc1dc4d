// The store that the options name. Loaded on demand: the clients of etcd and Kubernetes are large, and nobody needs both.
import type { AgentOptions } from "../config/options.js";
import type { Store } from "../store/store.js";

/** `waiting` is told why a Kubernetes API server has to be waited for before the store is open. */
export async function openStore(
  options: AgentOptions,
  waiting: (error: Error) => void,
  signal: AbortSignal,
): Promise<Store> {
  switch (options.store) {
    case "file": {
      const { FileStore } = await import("../store/file/file-store.js");
      return new FileStore({ directory: options.storeDir });
    }
    case "etcd": {
      const { openEtcdStore } = await import("../store/etcd/etcd-store.js");
      return openEtcdStore(options.etcd);
    }
    case "kube": {
      const { openKubeStore } = await import("../store/kube/open.js");
      return await openKubeStore(options.kube, options.node, waiting, signal);
    }
  }
}
