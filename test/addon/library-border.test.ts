// The library's part of the border under misuse: an error object or a TypeError, never a crash, never a leftover. Each scenario
// runs in a process of its own (test/support/library-scenarios.ts). No root, except to give root up.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { rootNeeded } from "../support/lab.js";

const program = fileURLToPath(new URL("../support/library-scenarios.js", import.meta.url));

function run<T>(scenario: string): T {
  const command = ["--expose-gc", program, scenario];
  return JSON.parse(execFileSync(process.execPath, command, { encoding: "utf8", timeout: 60_000 })) as T;
}

test("options of the wrong kind are answered, whatever they are", () => {
  const codes = run<string[]>("bad options");
  assert.deepEqual(codes.slice(0, 16), Array(16).fill("BAD_OPTION"));
  assert.deepEqual(codes.slice(16), ["MEMORY_PORT_SIZE", "FRAME_POOL_SIZE"]);
});

test("arguments of the wrong kind are a TypeError or an error object", () => {
  const [toSomething, toNetwork, shortArray, noFunction, noArray, noTable, badTable, counts] =
    run<unknown[]>("bad arguments");
  assert.deepEqual([toSomething, toNetwork], Array(2).fill("send() takes a native port"));
  assert.match(String(shortArray), /BigUint64Array of portCounterLayout/);
  assert.match(String(noFunction), /wait\(\) takes a function/);
  assert.match(String(noArray), /BigUint64Array of networkCounterLayout/);
  assert.deepEqual([noTable, badTable], ["BAD_TABLE", "TABLE_INVALID"]);
  assert.deepEqual(counts, [0, 0, 64, 0]);
});

test("no class can be constructed but by its opener", () => {
  for (const [index, opener] of ["openPort", "openFabric", "addNetwork"].entries()) {
    for (const message of run<string[][]>("forged constructors")[index] ?? [])
      assert.match(message, new RegExp(opener));
  }
});

test("a method on another object is refused", () => {
  for (const message of run<string[]>("borrowed methods")) assert.notEqual(message, "nothing thrown");
});

test("what is closed answers as closed, and may be closed again", () => {
  assert.deepEqual(run("use after close"), [0, 0, 0, 0, null, null, "OVERLAY_CLOSED", null, [], "UNDERLAY_CLOSED", 0]);
});

test("a process may exit while workers run and somebody waits", () => {
  assert.equal(run("exit while running"), "bridged");
});

test("what was forgotten is closed when it is collected, and its memory outlives it", () => {
  assert.deepEqual(run("collected"), [true, true, 7]);
});

test("a worker thread that ends takes its overlays and ports along", () => {
  assert.deepEqual(run("worker thread"), ["opened", true, 1]);
});

test("two copies of the addon in one process do not meet", () => {
  assert.deepEqual(run("double load"), [false, 3, 3, 3, "send() takes a native port"]);
});

test("a refusal names the capability that is missing, the kernel's answer and the system call", {
  skip: rootNeeded,
}, () => {
  const module = new URL("../../src/index.js", import.meta.url).href;
  const script = `const { Overlay } = await import(${JSON.stringify(module)});
    try { Overlay.open({ underlay: { address: "127.0.0.1" }, vni: 1 }); } catch (error) {
      const { code, errno, syscall, message, cause } = error;
      console.log(JSON.stringify({ code, errno, syscall, message, cause: cause.code })); }`;
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
  const { stdout, stderr } = spawnSync("setpriv", [...nobody, process.execPath, "--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  const said = JSON.parse(stdout) as { code: string; errno: number; syscall: string; message: string; cause: string };
  assert.match(said.code, /^TAP_(OPEN|CREATE)_FAILED$/);
  assert.ok(said.errno < 0);
  assert.match(said.cause, /^(EPERM|EACCES)$/);
  assert.match(said.syscall, /tun|TUNSETIFF/);
  assert.match(said.message, /run as root or grant CAP_NET_ADMIN/);
});
