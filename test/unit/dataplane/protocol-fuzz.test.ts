// The socket between agent and data plane, fuzzed on both sides over a real socket: mutated requests against the real server,
// mutated answers against the real client. Guided by coverage: an input that runs a block never run before, or is answered as
// none was before, joins the pool that later ones are made from. The corpus under test/fuzz/corpus/protocol is the pool to begin
// with. RIPSTOP_PROTOCOL_RUNS makes it longer and adds to the corpus; RIPSTOP_SEED repeats a run.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DataplaneClient } from "../../../src/dataplane/client.js";
import { MESSAGE_MAX_BYTES, MessageReader } from "../../../src/dataplane/framing.js";
import { answerSchema } from "../../../src/dataplane/protocol.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { RipstopError } from "../../../src/lib/errors.js";
import { BlockCoverage } from "../../support/block-coverage.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";
import { encode, MessageMutator } from "../../support/message-mutator.js";
import { SeededRandom } from "../../support/random.js";

const LONG = process.env["RIPSTOP_PROTOCOL_RUNS"] !== undefined;
const RUNS = Number(process.env["RIPSTOP_PROTOCOL_RUNS"] ?? "400");
const SEED = Number(process.env["RIPSTOP_SEED"] ?? "1");
/** Taking coverage costs more than an input; a group that ran something new joins the pool whole. */
const GROUP = 8;
const MESSAGES_MAX = 6;
const CORPUS = fileURLToPath(new URL("../../../../test/fuzz/corpus/protocol/", import.meta.url));

/** One message a line, by direction. */
class Pool {
  readonly lines: string[];
  readonly #file: string;
  readonly #shapes = new Set<string>();

  constructor(name: string) {
    this.#file = join(CORPUS, `${name}.jsonl`);
    this.lines = readFileSync(this.#file, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  /** True the first time that something is answered so. */
  isNew(outcome: string): boolean {
    const shape = outcome.replace(/\d+/g, "0").slice(0, 90);
    return this.#shapes.size !== this.#shapes.add(shape).size;
  }

  add(messages: readonly string[]): void {
    for (const message of messages)
      if (message.length < 2_000 && !this.lines.includes(message)) this.lines.push(message);
  }

  keep(): void {
    if (LONG) writeFileSync(this.#file, `${this.lines.join("\n")}\n`);
  }
}

/** The bodies of a stream's frames that are text on one line: what may join a pool. */
function bodies(stream: Buffer): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at + 4 <= stream.length; ) {
    const length = stream.readUInt32BE(at);
    if (at + 4 + length > stream.length) break;
    const body = stream.toString("utf8", at + 4, at + 4 + length);
    if (!/[\n\r]/.test(body) && body !== "") found.push(body);
    at += 4 + length;
  }
  return found;
}

/** Makes streams until there were enough; `run` answers what came of one. */
async function fuzz(
  pool: Pool,
  random: SeededRandom,
  run: (pieces: readonly Buffer[]) => Promise<string>,
): Promise<number> {
  const mutator = new MessageMutator(random);
  const coverage = new BlockCoverage("/dist/src/dataplane/");
  try {
    for (const line of pool.lines) pool.isNew(await run([encode(line)]));
    coverage.take();
    for (let done = 0; done < RUNS; ) {
      const group: Buffer[] = [];
      for (; group.length < GROUP; done++) {
        const messages = Array.from({ length: 1 + random.below(MESSAGES_MAX) }, () => random.pick(pool.lines));
        const stream = mutator.stream(messages);
        group.push(stream);
        const outcome = await run(mutator.pieces(stream)).catch((error: unknown) => {
          throw new Error(`seed ${SEED}, input ${done}: ${stream.toString("base64")}`, { cause: error });
        });
        if (pool.isNew(outcome)) pool.add(bodies(stream));
      }
      if (coverage.take() > 0) pool.add(group.flatMap(bodies));
    }
    return coverage.blocks;
  } finally {
    coverage.stop();
    pool.keep();
  }
}

async function send(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  // A turn of the loop between pieces lets them arrive apart.
  for (const piece of pieces.slice(0, 20)) {
    if (socket.destroyed) return;
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end(Buffer.concat(pieces.slice(20)));
}

test("no stream of requests makes the server fail, answer amiss or forget another client", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-fuzz-"));
  const path = join(folder, "dp.sock");
  const binding = new FakeBinding();
  const server = new DataplaneServer(() => binding, { onShutdown: () => undefined, onEvent: () => undefined });
  await server.listen(path);
  const observer = await DataplaneClient.connect(path, { deadlineMs: 30_000 });
  await observer.hello("observe");
  const pool = new Pool("requests");
  const control = pool.lines.find((line) => line.includes('"control"')) ?? assert.fail("a greeting is in the corpus");
  const random = new SeededRandom(SEED);
  let looked = 0;
  try {
    const blocks = await fuzz(pool, random, async (pieces) => {
      const socket = connect(path);
      const reader = new MessageReader();
      const heard: string[] = [];
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        for (const message of reader.push(chunk)) heard.push(outcomeOf(message));
      });
      const closed = once(socket, "close");
      // Most of what there is to break is behind the control role.
      await send(socket, random.below(4) === 0 ? pieces : [encode(control), ...pieces]);
      await closed;
      assert.equal(reader.midMessage, false, "every answer is whole");
      if (++looked % 50 === 0) await observer.hello("observe");
      const openNow = binding.opened.filter(({ closed }) => closed === 0).length;
      assert.ok(openNow <= 1, `${openNow} data planes are open`);
      for (const { captures } of binding.opened) assert.ok(captures >= 0 && captures <= 1, `${captures} captures`);
      return heard.join(";");
    });
    assert.equal((await observer.hello("observe")).pid, process.pid);
    context.diagnostic(`${looked} streams, ${blocks} blocks, pool of ${pool.lines.length}`);
  } finally {
    observer.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
});

function outcomeOf(message: unknown): string {
  const { error, result } = answerSchema.parse(message);
  assert.notEqual(error?.code, "INTERNAL", JSON.stringify(message));
  assert.ok((error === undefined) !== (result === undefined), "a result or an error");
  return error === undefined ? "ok" : `${error.code} ${error.message}`;
}

test("no stream of answers makes the client fail otherwise than with an error that has a code", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-fuzz-"));
  const path = join(folder, "dp.sock");
  let answers: readonly Buffer[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => void send(socket, answers));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const pool = new Pool("answers");
  const random = new SeededRandom(SEED);
  const calls: ReadonlyArray<(client: DataplaneClient) => Promise<unknown>> = [
    (client) => client.hello("control"),
    (client) => client.open(openOptions()),
    (client) => client.apply(new Uint8Array(64)),
    (client) => client.counters(),
    (client) => client.workerCounters(),
    (client) => client.inspect(),
    (client) => client.peers(),
    (client) => client.captureStart({ points: 1, snapBytes: 64, filter: new Uint8Array(0) }),
    (client) => client.captureRead(),
    (client) => client.shutdown(),
  ];
  let asked = 0;
  try {
    const blocks = await fuzz(pool, random, async (pieces) => {
      answers = pieces;
      const client = await DataplaneClient.connect(path, { deadlineMs: 30_000 });
      const started = random.below(calls.length);
      // Their ids are 1, 2 and 3; the answers of the corpus are to these.
      const outcomes = await Promise.all(
        [0, 1, 2].map((next) => settle(calls[(started + next) % calls.length]!(client))),
      );
      client.disconnect();
      await client.ended;
      asked += outcomes.length;
      return outcomes.join(";");
    });
    context.diagnostic(`${asked} calls, ${blocks} blocks, pool of ${pool.lines.length}`);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
    rmSync(folder, { recursive: true });
  }
});

async function settle(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    assert.ok(error instanceof RipstopError, `${String(error)} has no code`);
    assert.notEqual(error.code, "DATAPLANE_SILENT", "a connection that has ended is not waited for");
    return error.code;
  }
}

test("a length just within the limit is waited for, one beyond it refused before a byte of the body", () => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(MESSAGE_MAX_BYTES);
  assert.deepEqual([...new MessageReader().push(length)], []);
  length.writeUInt32BE(MESSAGE_MAX_BYTES + 1);
  assert.throws(() => [...new MessageReader().push(length)], { code: "PROTOCOL_TOO_LARGE" });
});
