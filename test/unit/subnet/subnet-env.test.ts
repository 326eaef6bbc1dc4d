// subnet.env against flannel's bytes, in a real directory.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { formatPrefix, parsePrefix4, parsePrefix6 } from "../../../src/addr/prefix.js";
import { parseSubnetEnv, readSubnetEnv, type SubnetEnv, writeSubnetEnv } from "../../../src/subnet/subnet-env.js";

const DUAL: SubnetEnv = {
  network: parsePrefix4("10.42.0.0/16"),
  subnet: parsePrefix4("10.42.0.0/24"),
  ipv6Network: parsePrefix6("2001:cafe:42::/56"),
  ipv6Subnet: parsePrefix6("2001:cafe:42::/64"),
  mtu: 1450,
  ipMasq: true,
};
const DUAL_TEXT = `FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.0.1/24
FLANNEL_IPV6_NETWORK=2001:cafe:42::/56
FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`;

test("writes flannel's bytes with mode 0644 whatever the umask, and leaves no temporary file", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "ripstop-env-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "flannel", "subnet.env");
  const umask = process.umask(0o077);
  try {
    await writeSubnetEnv(path, DUAL);
    await writeSubnetEnv(path, { ...DUAL, ipMasq: false });
    await writeSubnetEnv(path, DUAL);
  } finally {
    process.umask(umask);
  }
  assert.equal(await readFile(path, "utf8"), DUAL_TEXT);
  assert.equal((await stat(path)).mode & 0o777, 0o644);
  assert.deepEqual(await readdir(join(directory, "flannel")), ["subnet.env"]);
});

test("leaves out the lines of a family that is off", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "ripstop-env-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "subnet.env");
  await writeSubnetEnv(path, { ...DUAL, ipv6Network: null, ipv6Subnet: null, ipMasq: false, mtu: 8951 });
  assert.equal(
    await readFile(path, "utf8"),
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=8951\nFLANNEL_IPMASQ=false\n",
  );
});

test("a failed write names the file and the remedy, and the old file stays", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "ripstop-env-"));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "file"), "old");
  await assert.rejects(writeSubnetEnv(join(directory, "file", "subnet.env"), DUAL), {
    code: "SUBNET_ENV_WRITE",
    message: /-subnet-file/,
  });
  assert.equal(await readFile(join(directory, "file"), "utf8"), "old");
});

test("reads back what it wrote", () => {
  const previous = parseSubnetEnv(DUAL_TEXT);
  assert.equal(previous.subnet && formatPrefix(previous.subnet), "10.42.0.0/24");
  assert.equal(previous.ipv6Subnet && formatPrefix(previous.ipv6Subnet), "2001:cafe:42::/64");
  assert.equal(previous.mtu, 1450);
});

test("forgives quotes, comments, export, lists and lines without a value", () => {
  const previous = parseSubnetEnv(`# written by hand
export FLANNEL_NETWORK="10.0.0.0/8" # all
FLANNEL_SUBNET='nonsense,10.9.8.1/24'
FLANNEL_MTU
FLANNEL_IPV6_SUBNET=fd00::1/64
=
`);
  assert.equal(previous.network && formatPrefix(previous.network), "10.0.0.0/8");
  assert.equal(previous.subnet && formatPrefix(previous.subnet), "10.9.8.0/24");
  assert.equal(previous.mtu, null);
});

test("a missing file is no previous subnet, and no text makes it throw", async () => {
  assert.equal(await readSubnetEnv("/nonexistent/subnet.env"), null);
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^(FLANNEL_(SUBNET|MTU)=.*\n)*$/)),
      (text) => void parseSubnetEnv(text),
    ),
  );
});
