// What the host was last told to hold, by scope. Owned by the host: written by its reconciling, read when the kernel announces
// a change.
import type { Prefix } from "../addr/address.js";
import { formatPrefix } from "../addr/prefix.js";
import type { PeerScope } from "./host.js";
import type { WantedPeers } from "./wanted-peers.js";

export class OwnScopes {
  readonly #scopes = new Map<string, { readonly network: Prefix; readonly wanted: WantedPeers }>();

  set({ device, network }: PeerScope, wanted: WantedPeers): void {
    this.#scopes.set(keyOf(device, network), { network, wanted });
  }

  /** Null: nothing was ever made there. */
  get({ device, network }: PeerScope): WantedPeers | null {
    return this.#scopes.get(keyOf(device, network))?.wanted ?? null;
  }

  values(): readonly WantedPeers[] {
    return [...this.#scopes.values()].map(({ wanted }) => wanted);
  }

  networks(): readonly Prefix[] {
    return [...this.#scopes.values()].map(({ network }) => network);
  }

  onDevice(linkIndex: number): readonly WantedPeers[] {
    return this.values().filter(({ deviceIndex }) => deviceIndex === linkIndex);
  }
}

function keyOf(device: string | null, network: Prefix): string {
  return `${device ?? ""} ${formatPrefix(network)}`;
}
