// The child of confine.test.ts: confines itself with the addon named on its command line, says so, and on the next line of
// input tries things and tells what the kernel answered.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Binding } from "../../src/dataplane/binding.js";

const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`);
const require = createRequire(import.meta.url);
const binding = require(process.argv[2] ?? "") as Binding;
const own = join(tmpdir(), `ripstop-confined-${process.pid}`);
const socketPath = `${own}.sock`;
writeFileSync(own, "");
const server = createServer((socket) => socket.pipe(socket)).listen(socketPath);
await once(server, "listening");
const friend = connect(socketPath);
await once(friend, "connect");

const attempts: Record<string, () => unknown> = {
  "read a file": () => readFileSync("/etc/hostname"),
  "write a file": () => openSync(`${own}.new`, "w"),
  "list a directory": () => readdirSync("/"),
  "run a program": () => {
    // libuv aborts when it may not wait for a child; the pipe it wants first is refused before.
    const { error } = spawnSync("/bin/true");
    if (error !== undefined) throw error;
  },
  "make a socket": async () => {
    const socket: Socket = connect(1, "127.0.0.1");
    await once(socket, "connect");
  },
  "signal another process": () => process.kill(process.ppid, "SIGCONT"),
  "load code": () => require("../../src/lib/backoff.js") as unknown,
  "change the user": () => process.setuid?.(65_534),
  // The first asynchronous call on a file makes the thread pool.
  "start a thread": () => stat("/"),
  allocate: () => Buffer.alloc(64 << 20, 1).length,
  "remove its own file": () => rmSync(own),
  wait: () => setTimeout(5),
  "talk to who is connected": async () => {
    friend.write("x");
    await once(friend, "data");
  },
};

const refused = binding.confineProcess();
say(refused === null ? { confined: "yes" } : refused);
await once(process.stdin, "data");
const answers: Record<string, string> = {};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    answers[name] = "ok";
  } catch (error) {
    answers[name] = (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
say(answers);
await once(process.stdin, "end");
rmSync(socketPath, { force: true });
process.exit(0);
