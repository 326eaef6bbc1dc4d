// bin/flanneld and `ripstop agent` as processes: what flannel's callers rely on before anything is started.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const program = (name: string) => fileURLToPath(new URL(`../../../../bin/${name}`, import.meta.url));
const run = (name: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
  spawnSync(process.execPath, [program(name), ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], ...environment },
    timeout: 60_000,
  });

const rows: ReadonlyArray<readonly [string, readonly string[], number, RegExp]> = [
  ["an unknown flag", ["-nope"], 0, /^unknown flag -nope[\s\S]*-etcd-endpoints/],
  ["a bad value", ["--ip-masq=perhaps"], 0, /^bad value "perhaps" for flag -ip-masq[\s\S]*-etcd-endpoints/],
  ["--help", ["--help"], 0, /-subnet-lease-renew-margin/],
  ["--version", ["--version"], 0, /^\S+\n$/],
  ["a renew margin of a day", ["-subnet-lease-renew-margin=1440"], 1, /renew-margin/],
];
for (const [what, args, status, says] of rows) {
  test(`flanneld ends with ${status} at ${what}, and says so on standard error`, () => {
    const ended = run("flanneld", args);
    assert.equal(ended.status, status, ended.stderr);
    assert.match(ended.stderr, says);
    assert.equal(ended.stdout, "");
  });
}

test("ripstop agent fails where flanneld only shows its flags", () => {
  assert.equal(run("ripstop", ["agent", "-nope"]).status, 2);
  assert.equal(run("ripstop", ["agent", "--ip-masq=perhaps"]).status, 2);
});

test("a bad variable does not end flanneld, and FLANNELD_VERSION means nothing", () => {
  const environment = { FLANNELD_SUBNET_LEASE_RENEW_MARGIN: "soon", FLANNELD_VERSION: "true" };
  // Ends at the next mistake, which shows that both were passed.
  const ended = run("flanneld", ["-subnet-lease-renew-margin=0"], environment);
  assert.equal(ended.status, 1, ended.stderr);
});
