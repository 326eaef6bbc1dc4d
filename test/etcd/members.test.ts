// Three etcd members: one lost is nothing, a lost quorum is noticed and outlived. And TLS with an authority alone.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { etcdOptions, openStore, SnapshotLog } from "../support/etcd-client.js";
import { EtcdServer, freePort } from "../support/etcd-server.js";
import { until } from "../support/until.js";

const PREFIX = "/coreos.com/network";
const run = promisify(execFile);

test("a killed member is nothing; without a quorum peers stay; with it back changes are seen", async (t) => {
  const ports = await Promise.all([0, 1, 2].map(async () => [await freePort(), await freePort()] as const));
  const cluster = ports.map(([, peer], i) => `m${i}=http://127.0.0.1:${peer}`).join();
  const members = await Promise.all(ports.map((pair, i) => EtcdServer.spawn({ ports: pair, name: `m${i}`, cluster })));
  const stop = new AbortController();
  const { store } = openStore(etcdOptions(members.map((member) => member.endpoint)));
  t.after(async () => {
    stop.abort();
    await store.close();
    await Promise.all(members.map((member) => member.destroy()));
  });
  const [first, second, third] = members;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await first.untilHealthy();
  const put = (name: string) => first.ctl(["put", `${PREFIX}/subnets/${name}`, '{"PublicIP":"192.0.2.1"}']);
  await put("10.1.1.0-24");
  const log = new SnapshotLog(store.watchLeases(stop.signal));
  await until("the lease", () => log.keys().length === 1, 20_000);
  await third.stop();
  await until(
    "two members answer",
    () =>
      put("10.1.2.0-24").then(
        () => true,
        () => false,
      ),
    20_000,
  );
  await until("the second lease", () => log.keys().length === 2, 20_000);
  await second.stop();
  await until("the lost quorum is noticed", () => !store.health().connected, 20_000);
  assert.equal(log.keys().length, 2);
  second.start();
  third.start();
  await until(
    "the quorum is back",
    () =>
      put("10.1.3.0-24").then(
        () => true,
        () => false,
      ),
    30_000,
  );
  await until("the third lease", () => log.keys().length === 3, 20_000);
  assert.ok(!log.everMissed("10.1.1.0-24"));
});

test("TLS needs no more than the authority; another authority is refused with the flag to check", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "ripstop-tls-"));
  const file = (name: string) => join(directory, name);
  const openssl = (...words: string[]) => run("openssl", words, { cwd: directory });
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-subj",
    "/CN=test authority",
    "-days",
    "2",
  );
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "other.key",
    "-out",
    "other.pem",
    "-subj",
    "/CN=other authority",
    "-days",
    "2",
  );
  await openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "server.key",
    "-out",
    "server.csr",
    "-subj",
    "/CN=etcd",
  );
  await writeFile(file("names"), "subjectAltName=IP:127.0.0.1\n");
  await openssl(
    "x509",
    "-req",
    "-in",
    "server.csr",
    "-CA",
    "ca.pem",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-out",
    "server.pem",
    "-days",
    "2",
    "-extfile",
    "names",
  );
  const etcd = await EtcdServer.spawn({
    scheme: "https",
    arguments: [`--cert-file=${file("server.pem")}`, `--key-file=${file("server.key")}`],
  });
  const good = openStore(etcdOptions([etcd.endpoint], { caFile: file("ca.pem") })).store;
  const bad = openStore(etcdOptions([etcd.endpoint], { caFile: file("other.pem") })).store;
  t.after(async () => {
    await Promise.all([good.close(), bad.close()]);
    await etcd.destroy();
    await rm(directory, { recursive: true });
  });
  const signal = AbortSignal.timeout(60_000);
  await until(
    "the server answers over TLS",
    () =>
      good.listLeases(signal).then(
        () => true,
        () => false,
      ),
    20_000,
  );
  await assert.rejects(bad.listLeases(signal), { code: "STORE_UNAVAILABLE" });
  assert.throws(() => openStore(etcdOptions([etcd.endpoint], { certFile: file("server.pem") })), {
    code: "STORE_TLS_INVALID",
    message: /-etcd-keyfile/,
  });
});
