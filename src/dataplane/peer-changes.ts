// What differs between two lists of peers. Pure. A peer that is as before is the same object, and mostly at the same place, so
// finding the few that are not costs a comparison of pointers each.
import type { Peer } from "./peer-table.js";

export interface PeerChanges {
  readonly gone: readonly Peer[];
  readonly come: readonly Peer[];
}

export function peerChanges(old: readonly Peer[], now: readonly Peer[]): PeerChanges {
  const gone = new Set<Peer>();
  const come = new Set<Peer>();
  const length = old === now ? 0 : Math.max(old.length, now.length);
  for (let i = 0; i < length; i++) {
    const [before, after] = [old[i], now[i]];
    if (before === after) continue;
    if (before !== undefined) gone.add(before);
    if (after !== undefined) come.add(after);
  }
  for (const peer of come) if (gone.delete(peer)) come.delete(peer);
  return { gone: [...gone], come: [...come] };
}
