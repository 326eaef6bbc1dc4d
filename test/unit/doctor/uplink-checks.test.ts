// What the doctor makes of a network device, in ethtool's own words.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  judgeQueues,
  judgeUplink,
  readUplink,
  ringSizes,
  spread,
  type UplinkDetails,
} from "../../../src/doctor/uplink-checks.js";

const RINGS = `Ring parameters for eth0:
Pre-set maximums:
RX:		4096
RX Mini:	n/a
TX:		4096
Current hardware settings:
RX:		512
RX Mini:	n/a
TX:		512
`;
const TABLE = `RX flow hash indirection table for eth0 with 4 RX ring(s):
    0:      0     1     0     1     0     1     0     1
    8:      0     1     0     1     0     1     0     1
RSS hash key:
Operation not supported
`;
const LINK = { ifname: "eth0", mtu: 1500, flags: ["UP"] };
const DETAILS: UplinkDetails = {
  driver: "ice",
  features: "",
  rxQueues: 4,
  spreadOver: 4,
  rxRing: { now: 512, most: 4096 },
};

test("rings and RSS are read from ethtool, and are unknown where it says nothing", async () => {
  assert.deepEqual(ringSizes(RINGS), { now: 512, most: 4096 });
  assert.equal(ringSizes("netlink error: Operation not supported"), null);
  assert.equal(spread(TABLE), 2);
  assert.equal(spread("Cannot get RX ring count: Operation not supported"), null);
  const answers: Record<string, string> = {
    "-i": "driver: ice\nversion: 6\n",
    "-k": "x: on\n",
    "-g": RINGS,
    "-x": TABLE,
  };
  const seen = await readUplink("no-such-device", ([, flag = ""]) =>
    Promise.resolve({ code: 0, stdout: answers[flag] ?? "", stderr: "" }),
  );
  assert.deepEqual(seen, {
    driver: "ice",
    features: "x: on\n",
    rxQueues: 0,
    spreadOver: 2,
    rxRing: { now: 512, most: 4096 },
  });
  const blind = await readUplink("no-such-device", () => Promise.reject(new Error("no ethtool")));
  assert.deepEqual([blind.driver, blind.spreadOver, blind.rxRing], ["unknown", null, null]);
});

test("queues that get no packets are named", () => {
  assert.deepEqual(
    judgeQueues("eth0", DETAILS, "tap", 1).value,
    "eth0: 4 rx queues, RSS over 4, rx ring 512 of 4096, used by a tap port with 1 worker",
  );
  const narrow = judgeQueues("eth0", { ...DETAILS, spreadOver: 1 }, "xdp", 4);
  assert.equal(narrow.verdict, "warn");
  assert.match(narrow.fix, /ethtool -X eth0 equal 4/);
  assert.equal(judgeQueues("eth0", { ...DETAILS, spreadOver: null, rxQueues: 1 }, "packet", 2).verdict, "warn");
});

test("offloads that merge packets or hide tags count only where XDP is used, and tags only where there are some", () => {
  const features = "rx-vlan-offload: on\nlarge-receive-offload: on\n\trx-gro-hw: on [fixed]\n";
  const details = { ...DETAILS, features };
  assert.equal(judgeUplink(LINK, details, false, true).verdict, "ok");
  assert.match(judgeUplink(LINK, details, true, true).fix, /ethtool -K eth0 lro off rx-gro-hw off rxvlan off/);
  assert.match(judgeUplink(LINK, details, true, false).fix, /lro off rx-gro-hw off$/);
  assert.match(judgeUplink(LINK, DETAILS, true, false).value, /driver ice \(native XDP, zero-copy\), MTU 1500/);
});

test("an MTU beyond a page, a program of somebody else and a device that is down are named", () => {
  assert.match(judgeUplink({ ...LINK, mtu: 9000 }, DETAILS, true, false).meaning, /up to an MTU of 3498/);
  assert.equal(judgeUplink({ ...LINK, mtu: 9000 }, DETAILS, false, false).verdict, "ok");
  const foreign = judgeUplink({ ...LINK, xdp: { prog: { id: 7, name: "lb" } } }, DETAILS, false, false);
  assert.match(foreign.value, /XDP program 7 lb/);
  assert.equal(judgeUplink({ ...LINK, flags: [] }, DETAILS, false, false).verdict, "fail");
});
