// bin/mk-docker-opts: the same output as flannel's script for the same options.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const SCRIPT = join(import.meta.dirname, "../../../../bin/mk-docker-opts");
const directory = mkdtempSync(join(tmpdir(), "ripstop-docker-"));
after(() => rmSync(directory, { recursive: true }));

const ENV = "FLANNEL_NETWORK=10.99.0.0/16\nFLANNEL_SUBNET=10.99.74.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

function run(options: readonly string[], input = ENV, environment: Record<string, string> = {}) {
  const source = join(directory, "subnet.env");
  const target = join(directory, "docker.env");
  writeFileSync(source, input);
  writeFileSync(target, "what was there before\n");
  const result = spawnSync(SCRIPT, ["-f", source, "-d", target, ...options], {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...environment },
  });
  return { status: result.status, stderr: result.stderr, output: readFileSync(target, "utf8") };
}

const INDIVIDUAL =
  'DOCKER_OPT_BIP="--bip=10.99.74.1/24"\nDOCKER_OPT_IPMASQ="--ip-masq=false"\nDOCKER_OPT_MTU="--mtu=1450"\n';
const COMBINED = 'DOCKER_OPTS=" --bip=10.99.74.1/24 --ip-masq=false --mtu=1450"\n';

test("prints both forms, or the one that is asked for", () => {
  assert.deepEqual(run([]), { status: 0, stderr: "", output: INDIVIDUAL + COMBINED });
  assert.equal(run(["-i", "-c"]).output, INDIVIDUAL + COMBINED);
  assert.equal(run(["-i"]).output, INDIVIDUAL);
  assert.equal(run(["-c"]).output, COMBINED);
});

test("the combined variable can be named and keeps what it held", () => {
  assert.equal(run(["-c", "-k", "OPTS"]).output, COMBINED.replace("DOCKER_OPTS", "OPTS"));
  assert.equal(
    run(["-c"], ENV, { DOCKER_OPTS: "--debug" }).output,
    'DOCKER_OPTS="--debug --bip=10.99.74.1/24 --ip-masq=false --mtu=1450"\n',
  );
});

test("masquerading is the inverse of ours, and can be left out", () => {
  assert.match(run(["-i"], ENV.replace("true", "false")).output, /--ip-masq=true/);
  assert.equal(run(["-c", "-m"]).output, 'DOCKER_OPTS=" --bip=10.99.74.1/24 --mtu=1450"\n');
});

test("mistakes exit with 1 and one reason", () => {
  const bad = run([], ENV.replace("true", "maybe"));
  assert.deepEqual([bad.status, /FLANNEL_IPMASQ=maybe/.test(bad.stderr)], [1, true]);
  for (const option of ["-h", "-?", "-x"]) assert.match(run([option]).stderr, /Usage: /);
  assert.equal(run(["-x"]).status, 1);
  assert.equal(run(["-k", "a b; touch /tmp/x"]).status, 1);
  const missing = spawnSync(SCRIPT, ["-f", join(directory, "nothing"), "-d", join(directory, "out")], {
    encoding: "utf8",
  });
  assert.deepEqual([missing.status, /cannot read/.test(missing.stderr)], [1, true]);
});

test("a subnet that the routing table already reaches over a gateway is refused", () => {
  // A routing table of the test's own, instead of the machine's.
  const fake = join(directory, "ip");
  writeFileSync(fake, "#!/bin/sh\necho '10.99.74.0/24 via 192.0.2.1 dev eth0'\n", { mode: 0o755 });
  const result = run([], ENV, { PATH: `${directory}:/usr/bin:/bin` });
  assert.deepEqual([result.status, /10\.99\.74\.0\/24 via a gateway/.test(result.stderr)], [1, true]);
  assert.equal(result.output, "what was there before\n");
});
