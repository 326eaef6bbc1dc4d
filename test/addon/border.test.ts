// The border between JavaScript and C++ under misuse: an error object or a TypeError, never a crash, never a leftover.
// Each scenario runs in a process and a network namespace of its own (test/support/border-scenarios.ts).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import type { NativeError } from "../../src/dataplane/binding.js";
import { rootNeeded } from "../support/lab.js";

const program = fileURLToPath(new URL("../support/border-scenarios.js", import.meta.url));

function run<T>(scenario: string): T {
  const command = ["--net", process.execPath, "--expose-gc", program, scenario];
  return JSON.parse(execFileSync("unshare", command, { encoding: "utf8", timeout: 60_000 })) as T;
}

test("an option of the wrong kind is answered with the field's name", { skip: rootNeeded }, () => {
  const errors = run<NativeError[]>("bad options");
  assert.deepEqual(
    errors.map(({ code }) => code),
    Array(6).fill("BAD_OPTION"),
  );
  for (const [index, field] of ["vni", "vni", "encapsulation", "disable", "workers"].entries()) {
    assert.match(errors[index]?.detail ?? "", new RegExp(`^${field} must be`));
  }
});

test("a device that does not exist is named with the kernel's answer", { skip: rootNeeded }, () => {
  const error = run<NativeError>("missing device");
  assert.equal(error.code, "DEVICE_NOT_FOUND");
  assert.match(error.op, /rst-nowhere/);
  assert.ok(error.errno > 0);
});

test("a second data plane of a device that is not shared is refused, and the first goes on", {
  skip: rootNeeded,
}, () => {
  const [first, second] = run<string[]>("occupied device");
  assert.equal(first, "open");
  assert.equal(second, "TAP_CREATE_FAILED");
});

test("a damaged table is refused, whatever it is", { skip: rootNeeded }, () => {
  const codes = run<string[]>("bad table");
  assert.equal(codes.length, 5);
  for (const code of codes) assert.match(code, /^[A-Z][A-Z_]+$/);
  assert.deepEqual(codes.slice(2), ["BAD_TABLE", "BAD_TABLE", "BAD_TABLE"]);
});

test("readCounters takes only an array of the right kind and length", { skip: rootNeeded }, () => {
  for (const message of run<string[]>("bad counters")) assert.match(message, /BigUint64Array/);
});

test("a closed data plane may be closed and read again, and has left no device", { skip: rootNeeded }, () => {
  assert.deepEqual(run("use after close"), ["PLANE_CLOSED", false, "0", false]);
});

test("the class cannot be constructed but by open()", { skip: rootNeeded }, () => {
  assert.deepEqual(run("forged constructor"), Array(3).fill("NativeDataplane is made by open()"));
});

test("a process may exit while its worker runs", { skip: rootNeeded }, () => {
  assert.equal(run("exit while open"), false);
});

test("a data plane that was forgotten is closed when it is collected", { skip: rootNeeded }, () => {
  assert.deepEqual(run("collected"), [true, false]);
});

test("a worker thread that ends takes its data plane along", { skip: rootNeeded }, () => {
  assert.deepEqual(run("worker thread"), ["opened", true, false, "open again"]);
});
