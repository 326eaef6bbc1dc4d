// From command line and environment to options, and how mistakes end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ipv4 } from "../../../src/addr/ipv4.js";
import type { Environment } from "../../../src/config/environment.js";
import { type CommandLineManners, parseAgentCommandLine, redactOptions } from "../../../src/config/options.js";

const parse = (words: string[], environment: Environment = {}, manners: CommandLineManners = "ripstop") =>
  parseAgentCommandLine(words, environment, manners, "1.2.3");
function run(words: string[], environment: Environment = {}, manners: CommandLineManners = "ripstop") {
  const outcome = parse(words, environment, manners);
  assert.ok(outcome.kind === "run", outcome.kind === "exit" ? outcome.stderr : "");
  return outcome;
}
function exit(words: string[], environment: Environment = {}, manners: CommandLineManners = "ripstop") {
  const outcome = parse(words, environment, manners);
  assert.ok(outcome.kind === "exit", "accepted");
  return outcome;
}

test("without flags everything is flanneld's default", () => {
  const { options, warnings } = run([]);
  assert.deepEqual(warnings, []);
  assert.equal(options.store, "etcd");
  assert.deepEqual(options.etcd.endpoints, ["http://127.0.0.1:4001", "http://127.0.0.1:2379"]);
  assert.equal(options.etcd.prefix, "/coreos.com/network");
  assert.equal(options.subnetFile, "/run/flannel/subnet.env");
  assert.equal(options.renewMarginMs, 60 * 60_000);
  assert.equal(options.forwardRules, true);
  assert.equal(options.ipMasqFullyRandom, true);
  assert.deepEqual(options.dataPlane, {});
  assert.ok(Object.isFrozen(options));
});

test("flanneld's documented command line works unchanged", () => {
  const { options } = run([
    "-etcd-endpoints=http://a:2379, http://b:2379,",
    "-ip-masq",
    "-v=2",
    "--iface=eth0",
    "--iface",
    "10.0.0.1",
    "-public-ip=192.0.2.1",
  ]);
  assert.deepEqual(options.etcd.endpoints, ["http://a:2379", "http://b:2379"]);
  assert.deepEqual(options.iface, ["eth0", "10.0.0.1"]);
  assert.equal(options.publicIp, ipv4(0xc0000201));
  assert.equal(options.verbosity, 2);
});

test("variables fill what the command line left out, and only that", () => {
  const environment = {
    FLANNELD_ETCD_PREFIX: "/net",
    FLANNELD_IFACE: "eth0,eth1",
    FLANNELD_V: "",
    FLANNELD_IP_MASQ: "true",
    FLANNELD_VERSION: "true",
  };
  const { options } = run(["-etcd-prefix=/mine"], environment);
  assert.equal(options.etcd.prefix, "/mine");
  assert.deepEqual(options.iface, ["eth0,eth1"]);
  assert.equal(options.ipMasq, true);
});

test("a bad variable keeps the default and is reported; a misspelt one is pointed at", () => {
  const { options, warnings } = run([], {
    FLANNELD_HEALTHZ_PORT: "many",
    FLANNEL_IFACE: "eth0",
    FLANNELD_NONSENSE: "1",
    FLANNEL_MTU: "1450",
  });
  assert.equal(options.healthzPort, 0);
  assert.equal(warnings.length, 3);
  assert.match(warnings.join("\n"), /FLANNELD_HEALTHZ_PORT="many"/);
  assert.match(warnings.join("\n"), /FLANNEL_IFACE is ignored: the variable is called FLANNELD_IFACE/);
});

test("a bad flag is one line and a failure for ripstop, usage and success for flanneld", () => {
  const ours = exit(["-no-such"]);
  assert.notEqual(ours.exitCode, 0);
  assert.equal(ours.stderr.trimEnd().split("\n").length, 1);
  const theirs = exit(["-no-such"], {}, "flanneld");
  assert.equal(theirs.exitCode, 0);
  assert.match(theirs.stderr, /Usage: flanneld/);
  assert.match(theirs.stderr, /-etcd-endpoints string/);
});

test("no mistake on the command line or in a variable repeats a password", () => {
  const secret = "correct-horse";
  for (const manners of ["ripstop", "flanneld"] as const) {
    for (const words of [
      ["-ip-masq", "false", `-etcd-password=${secret}`],
      ["-ip-masq", "false", "-etcd-password", secret],
      ["-etcd-password=", secret],
      [`-etcd-pasword=${secret}`],
      [`-etcd-password=${secret}`, "-ip-masq=perhaps"],
      [`-etcd-password=${secret}`, "-public-ip=example.org"],
    ]) {
      const environment = { FLANNEL_ETCD_PASSWORD: secret, FLANNELD_ETCD_PASSWORD: secret };
      const outcome = parseAgentCommandLine(words, environment, manners, "1.2.3");
      const said = outcome.kind === "exit" ? outcome.stderr : outcome.warnings.join();
      assert.notEqual(said, "", words.join(" "));
      assert.ok(!said.includes(secret), said);
    }
  }
});

test("help and version go to standard error and succeed", () => {
  for (const manners of ["ripstop", "flanneld"] as const) {
    assert.equal(exit(["--help"], {}, manners).exitCode, 0);
    assert.deepEqual(exit(["-version"], {}, manners), { kind: "exit", exitCode: 0, stderr: "1.2.3\n" });
  }
});

test("values out of range fail under both manners, as flanneld's renew margin does", () => {
  for (const margin of ["0", "1440"]) {
    assert.equal(exit([`-subnet-lease-renew-margin=${margin}`], {}, "flanneld").exitCode, 1);
    assert.match(exit([`-subnet-lease-renew-margin=${margin}`]).stderr, /1 to 1439/);
  }
  assert.match(exit(["-public-ip=example.org"]).stderr, /-public-ip="example.org"/);
  assert.match(exit(["-iface-regex=("]).stderr, /regular expression/);
  assert.match(exit(["-dataplane-workers=17"]).stderr, /out of range: give a number from 0 to 16/);
  for (const list of ["a", "3-2", "0,,1", "1024"])
    assert.match(exit([`-dataplane-cpus=${list}`]).stderr, /is no CPU or range of CPUs up to 1023/);
  assert.match(exit(["-store=zookeeper"]).stderr, /etcd, kube, file/);
  assert.match(exit(["-kube-subnet-mgr", "-store=file"]).stderr, /contradicts/);
});

test("stray words fail for ripstop and are ignored by flanneld", () => {
  assert.match(exit(["-ip-masq", "false"]).stderr, /-ip-masq=false/);
  assert.match(run(["-ip-masq", "false"], {}, "flanneld").warnings.join(), /ignored/);
});

test("only what was said about the data plane is set", () => {
  assert.deepEqual(run(["-underlay-port=xdp"]).options.dataPlane, { underlayPort: "xdp" });
  assert.deepEqual(run(["-dataplane-workers=3", "-dataplane-cpus=2,4-6,5"]).options.dataPlane, {
    workers: 3,
    cpus: [2, 4, 5, 6],
  });
  assert.deepEqual(run([], { FLANNELD_DATAPLANE: "kernel" }).options.dataPlane, { mode: "kernel" });
});

test("secrets do not survive redaction", () => {
  const { options } = run([
    "-etcd-password=hunter2",
    "-etcd-username=root",
    "-etcd-endpoints=https://u:hunter2@h:2379",
  ]);
  assert.doesNotMatch(JSON.stringify(redactOptions(options)), /hunter2/);
});
