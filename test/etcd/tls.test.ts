// TLS to a real etcd: an authority alone, client certificates, certificates renewed on disk, and what is refused with which
// remedy.
import assert from "node:assert/strict";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { EtcdOptions } from "../../src/config/options.js";
import { Certificates } from "../support/certificates.js";
import { etcdOptions, openStore } from "../support/etcd-client.js";
import { EtcdServer } from "../support/etcd-server.js";
import { until } from "../support/until.js";

interface Secured {
  readonly folder: Certificates;
  readonly etcd: EtcdServer;
  readonly list: (options: Partial<EtcdOptions>) => Promise<void>;
}

async function secured(t: TestContext, extra: (caFile: string) => readonly string[], names = "IP:127.0.0.1") {
  const folder = await Certificates.folder();
  const ca = await folder.authority("ca");
  const server = await folder.signed("server", ca, names);
  const files = [`--cert-file=${server.certificate}`, `--key-file=${server.key}`];
  const etcd = await EtcdServer.spawn({ scheme: "https", arguments: [...files, ...extra(ca.certificate)] });
  t.after(async () => {
    await etcd.destroy();
    await folder.remove();
  });
  const list = async (options: Partial<EtcdOptions>): Promise<void> => {
    const { store } = openStore(etcdOptions([etcd.endpoint], options));
    try {
      await store.listLeases(AbortSignal.timeout(10_000));
    } finally {
      await store.close();
    }
  };
  return { folder, ca, list, etcd };
}

const answers = (list: Secured["list"], options: Partial<EtcdOptions>) =>
  until("the server answers over TLS", () => list(options).then(...YES_OR_NO), 60_000);
const YES_OR_NO = [() => true, () => false] as const;

test("the authority alone is enough; another authority is refused with the flag to check", async (t) => {
  const { folder, ca, list } = await secured(t, () => []);
  await answers(list, { caFile: ca.certificate });
  const other = await folder.authority("other");
  await assert.rejects(list({ caFile: other.certificate }), {
    code: "STORE_UNAVAILABLE",
    message: /-etcd-cafile, -etcd-certfile and -etcd-keyfile|check that it runs/,
  });
});

test("a certificate for another host is refused, and the message says so", async (t) => {
  const { ca, list } = await secured(t, () => [], "DNS:elsewhere.example");
  const said = async () => {
    const error = await list({ caFile: ca.certificate }).then(() => assert.fail("it was taken"), String);
    return /altnames/.test(error);
  };
  await until("the refusal of the name", said, 60_000);
});

test("a server that demands client certificates takes ours, also after they were renewed on disk", async (t) => {
  const { folder, ca, list, etcd } = await secured(t, (caFile) => [
    "--client-cert-auth",
    `--trusted-ca-file=${caFile}`,
  ]);
  const stranger = await folder.signed("stranger", await folder.authority("other"), "DNS:node");
  const client = await folder.signed("client", ca, "DNS:node");
  const pair = { caFile: ca.certificate, certFile: client.certificate, keyFile: client.key };
  await answers(list, pair);
  await assert.rejects(list({ caFile: ca.certificate }), { code: "STORE_UNAVAILABLE" });

  // A store that runs on a certificate the server does not take finds the right one when the files are replaced.
  const used = { certFile: join(folder.directory, "used.pem"), keyFile: join(folder.directory, "used.key") };
  await copyFile(stranger.certificate, used.certFile);
  await copyFile(stranger.key, used.keyFile);
  const { store } = openStore(etcdOptions([etcd.endpoint], { caFile: ca.certificate, ...used }));
  t.after(() => store.close());
  const stop = new AbortController();
  t.after(() => stop.abort());
  let snapshots = 0;
  const following = (async () => {
    for await (const _ of store.watchLeases(stop.signal)) snapshots++;
  })();
  await until(
    "the refusal shows",
    () => store.health().lastSyncAgeMs === null && /did not/.test(store.health().detail),
  );
  assert.equal(snapshots, 0);
  await copyFile(client.certificate, used.certFile);
  await copyFile(client.key, used.keyFile);
  await until("the new files are used", () => store.health().connected, 60_000);
  stop.abort();
  await following;
});

test("a key without its certificate, and files that are none, are refused before anything is asked", async (t) => {
  const folder = await Certificates.folder();
  t.after(() => folder.remove());
  const pair = await folder.authority("ca");
  const open = (options: Partial<EtcdOptions>) => () => openStore(etcdOptions(["https://127.0.0.1:1"], options));
  assert.throws(open({ certFile: pair.certificate }), { code: "STORE_TLS_INVALID", message: /-etcd-keyfile/ });
  assert.throws(open({ keyFile: pair.key }), { code: "STORE_TLS_INVALID", message: /-etcd-certfile/ });
  assert.throws(open({ caFile: join(folder.directory, "none") }), {
    code: "STORE_TLS_INVALID",
    message: /-etcd-cafile/,
  });
  assert.throws(open({ caFile: fileURLToPath(import.meta.url) }), {
    code: "STORE_TLS_INVALID",
    message: /no PEM block/,
  });
});
