// Go's flag syntax, row by row, and the agent's behaviour on mistakes under both manners.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { AGENT_FLAGS, FLANNEL_FLAGS } from "../../../src/config/flags.js";
import { type FlagSpec, parseGoFlags, parseGoInt } from "../../../src/config/go-flags.js";

const SPECS: FlagSpec[] = [
  { name: "ip-masq", kind: "bool", initial: false, usage: "" },
  { name: "iface", kind: "strings", initial: [], usage: "" },
  { name: "public-ip", kind: "string", initial: "", usage: "" },
  { name: "healthz-port", kind: "int", initial: 0, usage: "" },
  { name: "password", kind: "string", initial: "", usage: "", secret: true, choices: ["right"] },
];

function values(...words: string[]) {
  const outcome = parseGoFlags(SPECS, words);
  assert.ok(outcome.ok, outcome.ok ? "" : outcome.problem.message);
  return outcome.flags;
}
function problem(...words: string[]) {
  const outcome = parseGoFlags(SPECS, words);
  assert.ok(!outcome.ok, `accepted ${words.join(" ")}`);
  return outcome.problem;
}

test("one dash and two dashes mean the same, with = or the next word", () => {
  for (const words of [
    ["-public-ip=1.2.3.4"],
    ["--public-ip=1.2.3.4"],
    ["-public-ip", "1.2.3.4"],
    ["--public-ip", "1.2.3.4"],
  ]) {
    assert.equal(values(...words).values.get("public-ip"), "1.2.3.4");
  }
});

test("a bool never takes the next word, so parsing stops there", () => {
  const flags = values("-ip-masq", "false", "-public-ip=1.2.3.4");
  assert.equal(flags.values.get("ip-masq"), true);
  assert.equal(flags.values.get("public-ip"), "");
  assert.deepEqual(flags.rest, ["false", "-public-ip=1.2.3.4"]);
  for (const word of ["1", "t", "T", "TRUE", "true", "True"])
    assert.equal(values(`-ip-masq=${word}`).values.get("ip-masq"), true);
  for (const word of ["0", "f", "F", "FALSE", "false", "False"])
    assert.equal(values(`-ip-masq=${word}`).values.get("ip-masq"), false);
  assert.equal(problem("-ip-masq=yes").kind, "bad-value");
  assert.equal(problem("-ip-masq=").kind, "bad-value");
});

test("flags end at --, at - and at the first word that is none", () => {
  assert.deepEqual(values("--", "-ip-masq").rest, ["-ip-masq"]);
  assert.deepEqual(values("-", "-ip-masq").rest, ["-", "-ip-masq"]);
  assert.deepEqual(values("", "-ip-masq").rest, ["", "-ip-masq"]);
});

test("a value may start with a dash or be empty, and may contain =", () => {
  assert.equal(values("-public-ip", "-ip-masq").values.get("public-ip"), "-ip-masq");
  assert.equal(values("-public-ip=").values.get("public-ip"), "");
  assert.equal(values("-public-ip=a=b").values.get("public-ip"), "a=b");
});

test("repeatable flags keep their order; others take the last value", () => {
  assert.deepEqual(values("-iface=eth0", "--iface", "eth1,eth2").values.get("iface"), ["eth0", "eth1,eth2"]);
  assert.equal(values("-public-ip=a", "-public-ip=b").values.get("public-ip"), "b");
});

test("integers are read as Go reads them", () => {
  const rows: [string, number | null][] = [
    ["0", 0],
    ["12", 12],
    ["-3", -3],
    ["+3", 3],
    ["0x1F", 31],
    ["0o17", 15],
    ["0b101", 5],
    ["017", 15],
    ["1_000", 1000],
    ["", null],
    ["1.5", null],
    ["1e3", null],
    ["08", null],
    ["0x", null],
    ["1__0", null],
    ["1_", null],
    ["ten", null],
    ["99999999999999999999", null],
  ];
  for (const [text, value] of rows) assert.equal(parseGoInt(text), value, text);
});

test("problems say what was wrong and what to write", () => {
  assert.equal(problem("-no-such-flag").kind, "unknown");
  assert.match(problem("--ifcae=eth0").message, /unknown flag -ifcae; did you mean -iface\?/);
  assert.match(problem("-public-ip").message, /flag -public-ip needs a value: write -public-ip=VALUE/);
  assert.match(problem("-healthz-port=many").message, /"many".*-healthz-port.*whole number/);
  assert.equal(problem("---ip-masq").kind, "syntax");
  assert.equal(problem("-=x").kind, "syntax");
  for (const word of ["-h", "--help", "-help"]) assert.equal(problem(word).kind, "help");
  assert.doesNotMatch(problem("-password=hunter2").message, /hunter2/);
});

test("never throws, whatever the words", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("-ip-masq", "--iface", "-iface=", "--", "-healthz-port", "0x", "-v"),
  );
  fc.assert(fc.property(fc.array(word), (words) => void parseGoFlags(AGENT_FLAGS, words)));
});

test("every flanneld flag is known, and no name is listed twice", () => {
  assert.equal(FLANNEL_FLAGS.length, 31);
  assert.equal(new Set(AGENT_FLAGS.map((flag) => flag.name)).size, AGENT_FLAGS.length);
});
