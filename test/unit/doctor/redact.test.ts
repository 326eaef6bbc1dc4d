// What leaves a node in a support bundle holds no secret, whatever form it was written in; and the archive is one that tar reads.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { redact } from "../../../src/doctor/redact.js";
import { tar } from "../../../src/lib/tar.js";

const SECRET = "s3cr3t-Wort";

test("secrets are masked in flags, variables, JSON, JSON inside JSON, URLs and keys", () => {
  const texts = [
    `ripstop agent --etcd-password=${SECRET} --iface=eth0`,
    `ripstop agent -etcd-password ${SECRET} -v 2`,
    `FLANNELD_ETCD_PASSWORD=${SECRET} FLANNELD_IFACE=eth0`,
    JSON.stringify({ Backend: { Type: "wireguard", PSK: SECRET } }),
    JSON.stringify({ networkConfig: JSON.stringify({ Backend: { PSK: SECRET } }) }),
    `etcd at https://root:${SECRET}@10.0.0.1:2379 is away`,
    `Authorization: ${SECRET}`,
    `-----BEGIN EC PRIVATE KEY-----\n${SECRET}\n-----END EC PRIVATE KEY-----`,
    `{"privateKey": "${SECRET}"}`,
  ];
  for (const text of texts) {
    assert.ok(!redact(text).includes(SECRET), redact(text));
    assert.match(redact(text), /REDACTED/);
  }
});

test("what is no secret stays", () => {
  for (const text of [
    "--iface=eth0 --ip-masq",
    '{"publicIp":"10.0.0.1","VtepMAC":"02:00:00:00:00:01"}',
    "inet 10.0.0.1/24 scope global eth0",
  ])
    assert.equal(redact(text), text);
});

test("tar reads the archive", () => {
  const archive = tar(
    [
      { name: "a/one", content: Buffer.from("1\n") },
      { name: "a/empty", content: Buffer.alloc(0) },
    ],
    1_700_000_000,
  );
  const { stdout, status, stderr } = spawnSync("tar", ["-xOf", "-", "a/one"], { input: archive, encoding: "utf8" });
  assert.deepEqual([status, stdout, stderr], [0, "1\n", ""]);
  const list = spawnSync("tar", ["-tvf", "-"], {
    input: archive,
    encoding: "utf8",
    env: { TZ: "UTC", PATH: "/bin:/usr/bin" },
  }).stdout;
  assert.match(list, /-rw------- 0\/0 +2 2023-11-14 22:13 a\/one\n-rw------- 0\/0 +0 2023-11-14 22:13 a\/empty\n/);
});
