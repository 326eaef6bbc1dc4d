// A confined process: what the kernel says of every thread of it, and what it answers to whoever tries.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { nativeCandidates } from "../../src/dataplane/native.js";

const ATTEMPTS = fileURLToPath(new URL("../support/confined-attempts.js", import.meta.url));
const ADDON = nativeCandidates().find((path) => {
  try {
    return realpathSync(path) !== "";
  } catch {
    return false;
  }
});

/** Everything that a stranger in the process would try first. */
const REFUSED = [
  "read a file",
  "write a file",
  "list a directory",
  "run a program",
  "make a socket",
  "signal another process",
  "load code",
  "change the user",
];
const ALLOWED = ["start a thread", "allocate", "remove its own file", "wait", "talk to who is connected"];

test("no thread of a confined process holds a capability or may gain one, and only the list is allowed", async () => {
  assert.ok(ADDON !== undefined, "the addon is built");
  const child = spawn(process.execPath, [ATTEMPTS, ADDON], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const say = async () => JSON.parse(String((await lines.next()).value)) as Record<string, string>;
  try {
    assert.deepEqual(await say(), { confined: "yes" });
    const threads = readdirSync(`/proc/${child.pid}/task`);
    assert.ok(threads.length > 5, "Node has threads of its own");
    for (const thread of threads) {
      const status = readFileSync(`/proc/${child.pid}/task/${thread}/status`, "utf8");
      const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) assert.match(field(set) ?? "", /^0+$/, set);
      assert.equal(field("NoNewPrivs"), "1");
      assert.equal(field("Seccomp"), "2", "a filter");
    }
    child.stdin.write("try\n");
    const answers = await say();
    for (const attempt of REFUSED) assert.equal(answers[attempt], "EPERM", attempt);
    for (const attempt of ALLOWED) assert.equal(answers[attempt], "ok", attempt);
    assert.deepEqual(Object.keys(answers).sort(), [...REFUSED, ...ALLOWED].sort());
  } finally {
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  }
  assert.equal(child.exitCode, 0, "it ends in order");
});
