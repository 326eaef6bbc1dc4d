// What the host was last told to hold, by scope. Owned by the host: written by its reconciling, read when the kernel announces
// a change.
import type { Prefix } from "../addr/address.js";
import { formatPrefix } from "../addr/prefix.js";
import type { PeerScope } from "./host.js";
import type { WantedPeers } from "./wanted-peers.js";

export class OwnScopes {
  readonly #scopes = new Map<string, PeerScope & { readonly wanted: WantedPeers }>();

  set({ device, network }: PeerScope, wanted: WantedPeers): void {
    this.#scopes.set(keyOf(device, network), { device, network, wanted });
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

  /** What our device of that index was called; null when it is none of ours. */
  nameOf(linkIndex: number): string | null {
    for (const { device, wanted } of this.#scopes.values()) if (wanted.deviceIndex === linkIndex) return device;
    return null;
  }

  onDevice(linkIndex: number): readonly WantedPeers[] {
    return this.values().filter(({ deviceIndex }) => deviceIndex === linkIndex);
  }
}

function keyOf(device: string | null, network: Prefix): string {
  return `${device ?? ""} ${formatPrefix(network)}`;
}
