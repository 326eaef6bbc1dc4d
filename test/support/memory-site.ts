// Nodes of an overlay on a segment in memory, for tests of the library: node N is 192.0.2.N and holds 10.42.N.0/24. The end of
// each test asserts the law of the counters on every overlay and port.
import assert from "node:assert/strict";
import { RipstopError } from "../../src/lib/errors.js";
import { Overlay, unaccountedOverlay } from "../../src/library/overlay.js";
import type { OverlayOptions, OverlayPeer } from "../../src/library/overlay-options.js";
import type { PacketPort } from "../../src/library/packet-port.js";
import { unaccountedPort } from "../../src/library/port-counters.js";
import type { Underlay } from "../../src/library/underlay.js";
import { MemoryLan } from "../../src/testing/memory-lan.js";
import { until } from "./until.js";

export const code = (expected: string) => (error: unknown) => error instanceof RipstopError && error.code === expected;
export const underlayOf = (node: number) => `192.0.2.${node}`;
export const peer = (node: number, more: Partial<OverlayPeer> = {}): OverlayPeer => ({
  underlay: underlayOf(node),
  ...more,
});
export const routedPeer = (node: number) => peer(node, { prefixes: [`10.42.${node}.0/24`] });

export class Site {
  readonly lan = new MemoryLan();
  readonly overlays: Overlay[] = [];

  open(node: number, options: Partial<OverlayOptions> = {}, underlay?: Underlay): Overlay {
    const overlay = Overlay.open({
      underlay: underlay ?? this.lan.join(underlayOf(node)),
      vni: 42,
      port: "memory",
      prefixes: options.mode === "bridged" ? [] : [`10.42.${node}.0/24`],
      ...options,
    });
    this.overlays.push(overlay);
    return overlay;
  }

  async end(): Promise<void> {
    for (const overlay of this.overlays) {
      // A worker may be in the middle of a batch.
      await until(
        `${overlay.toString()}: the law of the counters`,
        () => unaccountedOverlay(overlay.counters()) === 0n,
      );
      for (const port of [overlay.port, overlay.punts])
        if (port !== null) assert.equal(unaccountedPort(port.counters(), port.count), 0n);
    }
    await this.lan.close();
  }
}

export const withSite = (body: (site: Site) => Promise<void>) => async (): Promise<void> => {
  const site = new Site();
  try {
    await body(site);
  } finally {
    await site.end();
  }
};

/** The next frames that come out of an overlay. */
export async function take(overlay: Overlay, count: number): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  await until(`${count} frames of ${overlay.toString()}`, () => {
    frames.push(...(overlay.port as PacketPort).receiveCopies());
    return frames.length >= count;
  });
  return frames;
}

export const mac = (last: number) => `02:00:00:00:00:${last.toString(16).padStart(2, "0")}`;
