// PacketPort over memory ports: no root, real native code. Every test ends with the law of the counters.
// Alone: it judges a rate.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { PerformanceObserver } from "node:perf_hooks";
import v8 from "node:v8";
import { RipstopError } from "../../src/lib/errors.js";
import { PacketPort } from "../../src/library/packet-port.js";
import { unaccountedPort } from "../../src/library/port-counters.js";
import { until } from "../support/until.js";

const FRAME = Uint8Array.from({ length: 64 }, (_, index) => index);

function withPair(body: (a: PacketPort, b: PacketPort) => void | Promise<void>, poison = false) {
  return async (): Promise<void> => {
    const [a, b] = PacketPort.pair({ poison });
    try {
      await body(a, b);
      for (const port of [a, b]) {
        const held = port.closed ? 0 : port.count;
        assert.equal(unaccountedPort(port.counters(), held), 0n, "the law of the counters");
      }
    } finally {
      a.close();
      b.close();
    }
  };
}

/** `count` frames of 64 bytes, waiting at b. */
function fill(a: PacketPort, count: number): void {
  assert.equal(a.allocate(count), count);
  for (let i = 0; i < count; i++) {
    a.arena.set(FRAME, a.offset(i));
    a.setLength(i, FRAME.length);
  }
  assert.equal(a.send(), count);
}

const code = (expected: string) => (error: unknown) => error instanceof RipstopError && error.code === expected;

describe("PacketPort in place", () => {
  it(
    "carries frames unchanged, in order, and counts them",
    withPair((a, b) => {
      fill(a, 64);
      assert.equal(b.receive(10), 10);
      for (let i = 0; i < 10; i++) {
        assert.deepEqual(b.arena.subarray(b.offset(i), b.offset(i) + b.length(i)), FRAME);
      }
      assert.equal(b.receive(), 54);
      assert.equal(b.send(), 54);
      assert.equal(a.receive(), 54);
      const { received, released, sent } = b.counters();
      assert.deepEqual([received, released, sent], [64n, 10n, 54n]);
    }),
  );

  it(
    "lets a program strip and prepend headers by moving the start",
    withPair((a, b) => {
      fill(a, 2);
      b.receive();
      b.moveStart(0, 14);
      b.moveStart(1, -50);
      b.arena.fill(7, b.offset(1), b.offset(1) + 50);
      assert.equal(b.send(), 2);
      const [stripped, longer] = a.receiveCopies();
      assert.deepEqual(stripped, FRAME.slice(14));
      assert.deepEqual(longer, Uint8Array.from([...new Array<number>(50).fill(7), ...FRAME]));
    }),
  );

  it(
    "refuses descriptors that lie, and counts them",
    withPair((a, b) => {
      fill(a, 6);
      b.receive();
      const table = b.descriptors;
      table[0] = 0; // Another frame's bytes.
      table[4 + 1] = 0xffffffff; // Longer than the frame.
      table[8 + 3] = 1; // An earlier batch.
      table[12] = (table[12] ?? 0) - 128; // Into the port's own headroom.
      b.setLength(4, 0); // Not wanted.
      assert.equal(b.send(), 1);
      assert.equal(b.counters().drops["bad_descriptor"], 4n);
      assert.equal(b.counters().released, 1n);
      assert.deepEqual(a.receiveCopies(), [FRAME]);
    }),
  );

  it(
    "passes packets from one port to another without a copy of its own",
    withPair(async (a, b) => {
      await withPair((c, d) => {
        fill(a, 32);
        b.receive();
        assert.equal(b.send(c), 32);
        assert.equal(d.receiveCopies().length, 32);
        assert.deepEqual([b.counters().passed, b.counters().sent], [32n, 0n]);
        assert.deepEqual([c.counters().taken, c.counters().sent], [32n, 32n]);
      })();
    }),
  );

  it(
    "drops and counts what the far side has no room for",
    withPair((a, b) => {
      let accepted = 0;
      for (let round = 0; round < 8; round++) {
        a.allocate(64);
        for (let i = 0; i < a.count; i++) a.setLength(i, 60);
        accepted += a.send();
      }
      assert.equal(accepted, 256);
      assert.equal(a.counters().drops["tx_full"], 256n);
      for (let left = 256; left > 0; left -= 64) assert.equal(b.receive(), 64);
      assert.equal(b.receive(), 0);
    }),
  );

  it("leaves nothing to touch after close", () => {
    const [a, b] = PacketPort.pair();
    fill(a, 1);
    b.receive();
    const view = b.arena.subarray(b.offset(0), b.offset(0) + 64);
    b.close();
    b.close();
    assert.equal(view.length, 0);
    assert.equal(b.arena.length, 0);
    view[0] = 1;
    assert.throws(() => b.receive(), code("PORT_CLOSED"));
    assert.throws(() => a.send(b), code("PORT_CLOSED"));
    assert.equal(b.inspect(), null);
    assert.equal(b.counters().received, 1n);
    fillUnheard(a);
    a.close();
  });

  it(
    "overwrites ended batches when asked to",
    withPair((a, b) => {
      fill(a, 1);
      b.receive();
      const kept = b.arena.subarray(b.offset(0), b.offset(0) + 64);
      b.release();
      assert.ok(kept.every((byte) => byte === 0xde));
    }, true),
  );

  it(
    "cannot be moved to another thread by a transfer",
    withPair((a) => {
      try {
        structuredClone(a.arena, { transfer: [a.arena.buffer as ArrayBuffer] });
      } catch (error) {
        assert.equal((error as Error).name, "DataCloneError");
      }
      assert.ok(a.arena.length > 0);
    }),
  );
});

/** The far end is gone: everything is dropped and counted. */
function fillUnheard(a: PacketPort): void {
  a.allocate(3);
  for (let i = 0; i < 3; i++) a.setLength(i, 60);
  assert.equal(a.send(), 0);
  assert.equal(a.counters().drops["tx_full"], 3n);
}

describe("PacketPort with objects", () => {
  it(
    "gives packets that know when their batch has ended",
    withPair(async (a, b) => {
      fill(a, 2);
      for await (const batch of b.batches()) {
        const packet = batch.at(1);
        assert.equal(packet.readUint16(12), 0x0c0d);
        assert.equal(packet.readUint32(0), 0x00010203);
        packet.writeUint8(0, 9);
        batch.at(0).drop();
        assert.equal(batch.send(), 1);
        assert.throws(() => packet.readUint8(0), code("PACKET_STALE"));
        assert.throws(() => packet.view(), code("PACKET_STALE"));
        assert.throws(() => batch.at(0), code("PACKET_STALE"));
        assert.equal(batch.count, 0);
        break;
      }
      assert.deepEqual(
        a.receiveCopies().map((frame) => frame[0]),
        [9],
      );
    }),
  );

  it(
    "refuses to read or write outside a packet",
    withPair(async (a, b) => {
      fill(a, 1);
      for await (const batch of b.batches()) {
        const packet = batch.at(0);
        assert.throws(() => packet.readUint8(64), RangeError);
        assert.throws(() => packet.readUint16(63), RangeError);
        assert.throws(() => packet.writeUint16(-1, 0), RangeError);
        assert.throws(() => packet.readUint32(Number.NaN), RangeError);
        assert.throws(() => packet.write(new Uint8Array(5000)), RangeError);
        assert.throws(() => batch.at(1), code("PACKET_STALE"));
        packet.write(Uint8Array.of(1, 2, 3));
        assert.deepEqual([...packet.copy()], [1, 2, 3]);
        break;
      }
    }),
  );

  it(
    "copies frames in and out, of any number, and counts what fits no frame",
    withPair((a, b) => {
      const frames = Array.from({ length: 100 }, (_, index) => Uint8Array.of(...FRAME, index));
      assert.equal(a.sendCopies([...frames.slice(0, 50), new Uint8Array(5000), ...frames.slice(50)]), 100);
      const got: Uint8Array[] = [];
      for (let copies = b.receiveCopies(); copies.length > 0; copies = b.receiveCopies()) got.push(...copies);
      assert.deepEqual(got, frames);
      assert.equal(a.counters().drops["bad_descriptor"], 1n);
    }),
  );
});

describe("PacketPort asynchronously", () => {
  it(
    "wakes a waiting reader, and ends with the signal",
    withPair(async (a, b) => {
      const end = new AbortController();
      const seen: number[] = [];
      const reading = (async () => {
        for await (const batch of b.batches({ signal: end.signal })) seen.push(batch.count);
      })();
      fill(a, 3);
      await until("three packets", () => seen.length === 1);
      fill(a, 2);
      await until("two more", () => seen.length === 2);
      assert.deepEqual(seen, [3, 2]);
      end.abort();
      await reading;
      assert.equal(b.counters().released, 5n);
    }),
  );

  it(
    "rejects a wait with the signal's reason, and a second reader with a sentence",
    withPair(async (a) => {
      const end = new AbortController();
      const waiting = a.wait(end.signal);
      await assert.rejects(a.wait(), code("PORT_BUSY"));
      end.abort(new Error("enough"));
      await assert.rejects(waiting, /enough/);
      await assert.rejects(a.wait(AbortSignal.abort(new Error("never"))), /never/);
    }),
  );

  it(
    "lets timers run while packets never stop",
    withPair(async (a, b) => {
      let fired = false;
      setTimeout(() => (fired = true), 1);
      const feed = (): void => {
        a.allocate(64);
        for (let i = 0; i < a.count; i++) a.setLength(i, 60);
        a.send();
      };
      feed();
      for await (const batch of b.batches()) {
        assert.ok(batch.count > 0);
        feed();
        if (fired) break;
      }
      assert.ok(fired);
    }),
  );

  it("ends an iteration that waits when the port is closed", async () => {
    const [a, b] = PacketPort.pair();
    const ended = (async () => {
      for await (const _ of b.packets()) assert.fail("nothing was sent");
    })();
    await until("the reader waits", () => b.inspect() !== null);
    setImmediate(() => b.close());
    await ended;
    a.close();
  });
});

describe("PacketPort on files", () => {
  it("records what is sent and replays it, ending with the file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ripstop-pcap-"));
    try {
      const file = join(folder, "sent.pcapng");
      const writer = PacketPort.open({ kind: "pcap", record: file });
      assert.equal(writer.sendCopies([FRAME, FRAME.slice(0, 30)]), 2);
      writer.close();
      const reader = PacketPort.open({ kind: "pcap", replay: file });
      const lengths: number[] = [];
      for await (const packet of reader.packets()) lengths.push(packet.length);
      assert.deepEqual(lengths, [64, 30]);
      assert.equal(unaccountedPort(reader.counters(), 0), 0n);
      reader.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("names the option that is wrong, and what the kernel said", () => {
    assert.throws(() => PacketPort.open({ kind: "tap", device: "a-name-that-is-too-long" }), {
      code: "PORT_OPTIONS_INVALID",
      message: /packet-port option device .*longer than the kernel's 15/,
    });
    assert.throws(() => PacketPort.open({ kind: "gre" } as never), { code: "PORT_OPTIONS_INVALID" });
    assert.throws(() => PacketPort.pair({ ringPackets: 3 }), { code: "PORT_OPTIONS_INVALID", message: /power of two/ });
    assert.throws(() => PacketPort.open({ kind: "pcap", replay: "/nowhere/at/all" }), {
      code: "PCAP_FILE_FAILED",
      message: /ENOENT/,
    });
  });
});

describe("PacketPort at speed", () => {
  /** b receives what a sends, turns it around, a takes it back: 2 packets carried per slot and round. */
  function bounce(a: PacketPort, b: PacketPort, rounds: number): number {
    let carried = 0;
    const { arena } = b;
    for (let round = 0; round < rounds; round++) {
      carried += a.send(); // What a holds: received or, at first, allocated.
      const count = b.receive();
      for (let i = 0; i < count; i++) {
        const at = b.offset(i);
        const first = arena[at] as number;
        arena[at] = arena[at + 6] as number;
        arena[at + 6] = first;
      }
      carried += b.send();
      a.receive();
    }
    return carried;
  }

  it("receives and sends a million 64-byte packets a second on one core, in batches of 64", () => {
    const [a, b] = PacketPort.pair();
    try {
      fill64(a);
      bounce(a, b, 2_000);
      // CPU time, not the clock on the wall: other programs may want this core too.
      const started = process.cpuUsage();
      const carried = bounce(a, b, 20_000);
      const { user, system } = process.cpuUsage(started);
      assert.equal(carried, 20_000 * 128);
      const perSecond = (carried / (user + system)) * 1e6;
      assert.ok(perSecond >= 1e6, `${Math.round(perSecond)} packets a second`);
    } finally {
      a.close();
      b.close();
    }
  });

  it("allocates nothing in JavaScript for a batch", async () => {
    const [a, b] = PacketPort.pair();
    try {
      fill64(a);
      bounce(a, b, 20_000);
      let collections = 0;
      const observer = new PerformanceObserver((list) => (collections += list.getEntries().length));
      observer.observe({ entryTypes: ["gc"] });
      const before = v8.getHeapStatistics();
      bounce(a, b, 50_000);
      const after = v8.getHeapStatistics();
      await new Promise((resolve) => setImmediate(resolve));
      observer.disconnect();
      assert.equal(collections, 0, "the garbage collector ran");
      const grown = after.used_heap_size - before.used_heap_size;
      // An object a batch would be 50,000 times 16 bytes at least; the readings themselves take some.
      assert.ok(grown < 100_000, `${grown} bytes for 50,000 rounds`);
      assert.equal(after.external_memory, before.external_memory);
    } finally {
      a.close();
      b.close();
    }
  });

  function fill64(a: PacketPort): void {
    a.allocate(64);
    for (let i = 0; i < 64; i++) {
      a.arena.set(FRAME, a.offset(i));
      a.setLength(i, 64);
    }
  }
});
