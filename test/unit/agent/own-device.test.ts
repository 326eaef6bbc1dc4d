// When the data plane's own device counts as removed by somebody else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { OwnDevice } from "../../../src/agent/own-device.js";
import { ManualClock } from "../../support/manual-clock.js";

test("a device that was never there, or is away for a restart, is not lost", () => {
  const clock = new ManualClock();
  const device = new OwnDevice(clock);
  const look = (present: boolean) => {
    clock.advance(2_000);
    return device.look(present);
  };
  const looks = [false, false, false, true, false, true, false, true].map(look);
  assert.deepEqual(looks, [0, 0, 0, 0, 0, 0, 0, 0]);
});

test("an absence that lasts is a loss, told once, and again while nothing helps", () => {
  const clock = new ManualClock();
  const device = new OwnDevice(clock);
  device.look(true);
  assert.equal(device.look(false), 0);
  clock.advance(3_000);
  assert.equal(device.look(false), 1);
  clock.advance(2_999);
  assert.equal(device.look(false), 1);
  clock.advance(1);
  assert.equal(device.look(false), 2);
  assert.equal(device.look(true), 2);
});
