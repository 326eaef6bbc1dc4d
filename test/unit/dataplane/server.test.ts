// The data-plane socket: roles, limits, versions, and that no client can spoil it for another.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { DataplaneClient } from "../../../src/dataplane/client.js";
import { encodeMessage, MESSAGE_MAX_BYTES, MessageReader } from "../../../src/dataplane/framing.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { RipstopError } from "../../../src/lib/errors.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";

const DEADLINE = { deadlineMs: 30_000 };
let folder: string;
let path: string;
let binding: FakeBinding;
let server: DataplaneServer;
let shutdowns: number;
const cleanups: Array<() => void> = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ripstop-server-"));
  path = join(folder, "dp.sock");
  binding = new FakeBinding();
  shutdowns = 0;
  server = makeServer();
  await server.listen(path);
});

afterEach(async () => {
  for (const clean of cleanups.splice(0)) clean();
  await server.stop();
  rmSync(folder, { recursive: true });
});

function makeServer(): DataplaneServer {
  return new DataplaneServer(() => binding, { onShutdown: () => shutdowns++, onEvent: () => {} });
}

async function client(role?: "control" | "observe"): Promise<DataplaneClient> {
  const made = await DataplaneClient.connect(path, DEADLINE);
  cleanups.push(() => made.disconnect());
  if (role !== undefined) await made.hello(role);
  return made;
}

async function rawSocket(): Promise<Socket> {
  const socket = connect(path);
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Sends raw bytes and gives the first answer, or null when the server hung up without one. */
async function firstAnswer(bytes: Buffer): Promise<{ id: number; error?: { code: string; message: string } } | null> {
  const socket = await rawSocket();
  const reader = new MessageReader();
  socket.write(bytes);
  for await (const chunk of socket) {
    for (const message of reader.push(chunk as Buffer)) return message as never;
  }
  return null;
}

test("the socket is readable and writable for its owner only", () => {
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

/** What a client hears that greets, until it is hung up on; it may be before it has said a word. */
function bytesHeard(): Promise<number> {
  const socket = connect(path);
  socket.on("error", () => undefined);
  socket.write(encodeMessage({ v: 1, id: 1, method: "hello", role: "observe" }));
  socket.resume();
  return new Promise((resolve) => socket.once("close", () => resolve(socket.bytesRead)));
}

test("whoever is neither root nor the owner is hung up on, whatever the mode of the socket", async () => {
  // The addon is asked for the credentials; here it says what a stranger's would be.
  binding.peer = 65_534;
  assert.equal(await bytesHeard(), 0);
  binding.peer = null;
  assert.equal(await bytesHeard(), 0, "one of whom the kernel says nothing");
  binding.peer = process.geteuid?.() ?? 0;
  assert.equal((await (await client()).hello("observe")).opened, null);
});

test("the first table that is accepted confines the process, and it opens nothing more", async () => {
  const agent = await client("control");
  await agent.open(openOptions(), "eth0 2");
  assert.equal((await agent.hello("control")).confined, false);
  await agent.apply(new Uint8Array(8));
  await agent.apply(new Uint8Array(8));
  assert.equal(binding.confined, 1);
  await agent.close();
  assert.equal((await agent.hello("control")).confined, true);
  await assert.rejects(agent.open(openOptions(), "eth0 2"), { code: "DATAPLANE_CONFINED" });
});

test("a controlling client opens, applies, reads and closes", async () => {
  const agent = await client();
  assert.equal((await agent.hello("control")).opened, null);
  await agent.open(openOptions({ vni: 7 }), "eth0 2");
  assert.deepEqual((await agent.hello("control")).opened, openOptions({ vni: 7 }));
  const table = Uint8Array.from({ length: 1_000_000 }, (_, i) => i & 0xff);
  await agent.apply(table);
  assert.deepEqual(Buffer.from(binding.opened[0]?.tables[0] ?? []), Buffer.from(table));
  const { encap, decap } = await agent.counters();
  assert.deepEqual([encap.rxPackets, decap.rxPackets], [1n, 12n]);
  assert.equal((await agent.inspect()).running, true);
  await agent.close();
  assert.equal(binding.opened[0]?.closed, 1);
  await assert.rejects(agent.inspect(), { code: "NOT_OPEN" });
});

test("a second client may look but not touch", async () => {
  const agent = await client("control");
  await agent.open(openOptions(), "eth0 2");
  const status = await client("observe");
  assert.equal((await status.inspect()).running, true);
  assert.equal((await status.counters()).encap.rxPackets, 1n);
  await assert.rejects(status.close(), { code: "NOT_IN_CONTROL" });
  await assert.rejects(status.hello("control"), { code: "CONTROL_HELD" });
  assert.equal(binding.opened[0]?.closed, 0);
});

test("when the controlling client goes, the data plane stays and the next client may take over", async () => {
  const first = await client("control");
  await first.open(openOptions(), "eth0 2");
  first.disconnect();
  const second = await client();
  await assert.doesNotReject(async () => {
    // The server learns of the hang-up in its own time.
    for (;;) {
      try {
        return await second.hello("control");
      } catch (error) {
        if (!(error instanceof RipstopError && error.code === "CONTROL_HELD")) throw error;
      }
    }
  });
  const { opened, incarnation } = await second.hello("control");
  assert.deepEqual({ opened, incarnation }, { opened: openOptions(), incarnation: "eth0 2" });
  assert.equal(binding.opened[0]?.closed, 0);
});

test("opening twice is refused and what cannot be opened says why", async () => {
  const agent = await client("control");
  binding.refuse = { code: "TAP_OPEN_FAILED", errno: 1, op: "ioctl(TUNSETIFF)", detail: "" };
  await assert.rejects(agent.open(openOptions(), "eth0 2"), {
    code: "TAP_OPEN_FAILED",
    errno: -1,
    message: /CAP_NET_ADMIN/,
  });
  await assert.rejects(agent.open(openOptions({ vni: -1 }), "eth0 2"), {
    code: "OPEN_OPTIONS_INVALID",
    message: /vni \(-1\)/,
  });
  binding.refuse = null;
  await agent.open(openOptions(), "eth0 2");
  await assert.rejects(agent.open(openOptions(), "eth0 2"), { code: "ALREADY_OPEN" });
});

test("shutdown closes the data plane and tells the process", async () => {
  const agent = await client("control");
  await agent.open(openOptions(), "eth0 2");
  const ended = agent.shutdown();
  await assert.doesNotReject(async () => {
    while (shutdowns === 0) await new Promise(setImmediate);
    await server.stop();
    await ended;
  });
  assert.equal(binding.opened[0]?.closed, 1);
  server = makeServer();
});

test("a version that is not spoken here is refused with both versions named", async () => {
  const answer = await firstAnswer(encodeMessage({ v: 2, id: 5, method: "hello", role: "control" }));
  assert.equal(answer?.id, 5);
  assert.equal(answer?.error?.code, "PROTOCOL_VERSION");
  assert.match(answer?.error?.message ?? "", /speaks protocol version 1, the client 2/);
});

test("a message that is too large is refused and the connection ends", async () => {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(MESSAGE_MAX_BYTES + 1);
  assert.equal((await firstAnswer(header))?.error?.code, "PROTOCOL_TOO_LARGE");
});

test("a stale socket file is replaced, a living one is not", async () => {
  const rival = makeServer();
  await assert.rejects(rival.listen(path), { code: "DATAPLANE_RUNNING" });
  const stale = join(folder, "stale.sock");
  writeFileSync(stale, "");
  await rival.listen(stale);
  await rival.stop();
});

test("a stopped data plane does not stop its callers", async () => {
  const silent = createServer(() => {});
  const silentPath = join(folder, "silent.sock");
  silent.listen(silentPath);
  await once(silent, "listening");
  const observer = await DataplaneClient.connect(silentPath, { deadlineMs: 20 });
  await assert.rejects(observer.hello("observe"), { code: "DATAPLANE_SILENT", message: /within 20 ms/ });
  observer.disconnect();
  silent.close();
});

test("no request, however malformed, stops the server from serving others", async () => {
  const observer = await client("observe");
  const requests = fc.oneof(
    fc.jsonValue(),
    fc.record({
      v: fc.constant(1),
      id: fc.oneof(fc.nat(), fc.jsonValue()),
      method: fc.oneof(fc.constantFrom("hello", "open", "apply", "close"), fc.string()),
    }),
    fc.record({
      v: fc.constant(1),
      id: fc.nat(),
      method: fc.constant("apply"),
      table: fc.oneof(fc.base64String(), fc.string()),
    }),
    fc.record({
      v: fc.constant(1),
      id: fc.nat(),
      method: fc.constant("open"),
      incarnation: fc.string(),
      options: fc.dictionary(fc.string(), fc.jsonValue()),
    }),
  );
  await fc.assert(
    fc.asyncProperty(requests, async (request) => {
      const answer = await firstAnswer(encodeMessage(request));
      assert.ok(answer !== null, "every complete message is answered");
      assert.ok(answer.error === undefined || answer.error.code !== "INTERNAL", JSON.stringify(answer));
    }),
    { numRuns: 200 },
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const socket = await rawSocket();
      socket.end(bytes);
      socket.resume();
      await once(socket, "close");
    }),
    { numRuns: 100 },
  );
  assert.equal(binding.opened.length, 0);
  await assert.rejects(observer.inspect(), { code: "NOT_OPEN" });
});
