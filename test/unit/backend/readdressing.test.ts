// What nft is told for peers that share a VTEP MAC: enough before their entries change, no more afterwards, nothing without them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMac } from "../../../src/addr/mac.js";
import { parsePrefix } from "../../../src/addr/prefix.js";
import { readdressingTable, VtepReaddressing } from "../../../src/backend/vxlan/readdressing.js";
import type { Peer } from "../../../src/dataplane/peer-table.js";
import type { CommandRunner } from "../../../src/host/command.js";
import { parseUnderlay } from "../../../src/host/text.js";
import { RipstopError } from "../../../src/lib/errors.js";

const [prefix, vtepMac] = [parsePrefix("10.244.2.0/24"), parseMac("02:00:00:00:00:02")];
const GONE = "add table inet ripstop_vteps_1\ndelete table inet ripstop_vteps_1\n";

function peer(alias: string | null, underlay = "192.0.2.2", direct = false): Peer {
  const [mac, to] = [alias === null ? null : parseMac(alias), parseUnderlay(underlay)];
  assert.ok(prefix && to);
  return { id: 1, leaseKey: "n2", prefix, underlay: to, vtepMac, direct, ...(mac === null ? {} : { alias: mac }) };
}

const ruleOf = (alias: string, to: string) =>
  `    ${to} udp dport 8472 @th,128,48 0x${alias} @th,128,48 set 0x020000000002`;
const tableOf = (...rules: readonly string[]) =>
  [
    `${GONE}table inet ripstop_vteps_1 {`,
    "  chain output {",
    "    type filter hook output priority mangle; policy accept;",
    ...rules,
    "  }",
    "}\n",
  ].join("\n");

/** An nft that shows what it was told last; somebody may take it away. */
class FakeNft {
  readonly said: string[] = [];
  table: string | null = null;
  readonly run: CommandRunner = async (argv, { input = "" } = {}) => {
    if (argv[1] === "list") return { code: this.table === null ? 1 : 0, stdout: this.table ?? "", stderr: "" };
    assert.deepEqual(argv, ["nft", "-f", "-"]);
    this.said.push(input);
    this.table = input === GONE ? null : input;
    return { code: 0, stdout: "", stderr: "" };
  };
}

test("a rule is there before the entries that need it and until they are gone, and nft is run for nothing else", async () => {
  const nft = new FakeNft();
  const { said } = nft;
  const readdressing = new VtepReaddressing(nft.run, 1, 8472);
  const pass = async (peers: readonly Peer[], compare = false) => {
    const before = await readdressing.prepare(peers, compare);
    const between = said.length;
    const after = await readdressing.finish(peers);
    assert.equal(before.changes.length + after.changes.length, said.length);
    return [between, ...said.splice(0)];
  };
  assert.deepEqual(await pass([peer(null)], true), [0], "no peer goes by an alias");
  const four = ruleOf("02000005fffd", "ip daddr 192.0.2.2");
  const six = ruleOf("02000007fffb", "ip6 daddr 2001:db8::2");
  const one = [peer("02:00:00:05:ff:fd"), peer("02:00:00:06:ff:fc", "192.0.2.3", true)];
  assert.deepEqual(await pass(one), [1, tableOf(four)]);
  assert.deepEqual(await pass(one), [0]);
  assert.deepEqual(await pass(one, true), [0]);
  nft.table = null;
  assert.deepEqual(await pass(one), [0], "nobody looks");
  assert.deepEqual(await pass(one, true), [1, tableOf(four)]);
  assert.deepEqual(await pass([peer("02:00:00:07:ff:fb", "2001:db8::2")]), [1, tableOf(four, six), tableOf(six)]);
  assert.deepEqual(await pass([peer(null)]), [0, GONE]);
});

test("that nft is missing or refuses is one failure, which is tried again, and no matter to a clean-up", async () => {
  let missing = true;
  const nft = new FakeNft();
  const run: CommandRunner = async (argv, options) => {
    if (missing) throw new RipstopError("COMMAND_MISSING", "cannot run nft (ENOENT); install it");
    return nft.run(argv, options);
  };
  const readdressing = new VtepReaddressing(run, 1, 8472);
  const peers = [peer("02:00:00:05:ff:fd")];
  assert.equal(await readdressingTable(1, run).remove(), false);
  const { failures } = await readdressing.prepare(peers, false);
  assert.match(failures[0]?.message ?? "", /install it; until then only the data plane reaches the pods/);
  missing = false;
  assert.deepEqual((await readdressing.prepare(peers, true)).failures, []);
  assert.equal(nft.said.length, 1);
  assert.equal(await readdressingTable(1, run).remove(), true);
  assert.equal(nft.table, null);
});
