// Which TAPs of the data plane the agent sets up: those that fell, at once; those that are being made, not before their maker.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TapKeeper } from "../../../src/agent/tap-keeper.js";
import type { Host, Link } from "../../../src/host/host.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

function start(links: Map<string, { index: number; up: boolean }>) {
  const clock = new ManualClock();
  const raised: string[] = [];
  let looks = 0;
  const host = {
    raiseLinks: async (names: readonly string[], fell: (link: Link) => boolean) => {
      looks++;
      const down = names.filter((name) => {
        const link = links.get(name);
        return link !== undefined && fell(link as Link) && !link.up;
      });
      for (const name of down) links.set(name, { index: links.get(name)?.index ?? 0, up: true });
      raised.push(...down);
      return down;
    },
  } as unknown as Host;
  const keeper = new TapKeeper({ vni: 1, host, clock, logger: silentLogger() });
  const end = new AbortController();
  const running = keeper.run(end.signal);
  const look = async (stepMs: number): Promise<void> => {
    const before = looks;
    await until("another look", async () => {
      if (looks === before) clock.advance(stepMs);
      await new Promise(setImmediate);
      return looks > before;
    });
  };
  const hear = () => keeper.hear({ kind: "link", name: "rso.1", index: 7 });
  const stop = () => {
    end.abort();
    return running;
  };
  return { clock, raised, look, hear, stop };
}

test("a TAP that was up and is set down is set up at the next look", async () => {
  const links = new Map([["rso.1", { index: 7, up: true }]]);
  const { raised, look, hear, stop } = start(links);
  await look(1);
  links.set("rso.1", { index: 7, up: false });
  hear();
  await look(1);
  assert.deepEqual(raised, ["rso.1"]);
  await stop();
});

test("a TAP that is being made is left to its maker, and set up only when it stays down", async () => {
  const links = new Map([["rso.1", { index: 7, up: false }]]);
  const { clock, raised, look, hear, stop } = start(links);
  await look(1);
  for (let waitedMs = 0; waitedMs < 400; waitedMs += 100) {
    hear();
    clock.advance(50);
    await look(50);
    assert.deepEqual(raised, []);
  }
  // Another one of the same name begins anew.
  links.set("rso.1", { index: 9, up: false });
  hear();
  await look(50);
  const madeMs = clock.nowMs();
  await until("the TAP to be set up", async () => {
    if (raised.length === 0) await look(10);
    return raised.length > 0;
  });
  const tookMs = clock.nowMs() - madeMs;
  assert.ok(tookMs >= 500 && tookMs < 700, `set up after ${tookMs} ms`);
  await stop();
});
