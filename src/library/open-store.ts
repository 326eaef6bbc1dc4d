// The stores that come with Ripstop, for programs: each is loaded only when it is asked for (the etcd client is large).
import type { EtcdOptions } from "../config/options.js";
import type { Store } from "../store/store.js";

export type StoreChoice =
  | { readonly kind: "file"; readonly directory: string }
  | ({ readonly kind: "etcd" } & EtcdOptions);

export async function openStore(choice: StoreChoice): Promise<Store> {
  if (choice.kind === "file") {
    const { FileStore } = await import("../store/file/file-store.js");
    return new FileStore({ directory: choice.directory });
  }
  const { openEtcdStore } = await import("../store/etcd/etcd-store.js");
  const { kind: _, ...options } = choice;
  return openEtcdStore(options);
}
