// Who may use a run directory, and that only one agent does.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lockSocket, prepareRunDirectory } from "../../../src/agent/run-dir.js";

const root = mkdtempSync(join(tmpdir(), "ripstop-run-"));
const hangUp = (socket: Socket) => void socket.destroy();
after(() => rmSync(root, { recursive: true }));

test("the run directory is made private", () => {
  const { directory } = prepareRunDirectory(join(root, "private/deeper"));
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test("a directory that others may write to is refused and left as it is", () => {
  const shared = join(root, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  assert.throws(() => prepareRunDirectory(shared), { code: "RUN_DIR_UNUSABLE", message: /others may write/ });
  assert.equal(statSync(shared).mode & 0o777, 0o777);
});

test("a run directory that cannot be used is named with the remedy", () => {
  assert.throws(() => prepareRunDirectory("/proc/ripstop"), { code: "RUN_DIR_UNUSABLE", message: /--run-dir/ });
});

test("a path too long for a Unix socket is refused", () => {
  assert.throws(() => prepareRunDirectory(join(root, "x".repeat(100))), { code: "SOCKET_PATH_TOO_LONG" });
});

test("the second agent is refused while the first lives, and succeeds after it", async () => {
  const { agentSocket } = prepareRunDirectory(join(root, "two"));
  const first = await lockSocket(agentSocket, hangUp);
  await assert.rejects(lockSocket(agentSocket, hangUp), { code: "AGENT_RUNNING", message: /--run-dir/ });
  assert.ok(existsSync(agentSocket), "the refused agent leaves the first one's socket alone");
  await new Promise((resolve) => first.close(resolve));
  const second = await lockSocket(agentSocket, hangUp);
  assert.equal(statSync(agentSocket).mode & 0o777, 0o600);
  await new Promise((resolve) => second.close(resolve));
});

test("the socket of a killed agent does not stand in the way, and of many starters one wins", async () => {
  const { agentSocket } = prepareRunDirectory(join(root, "stale"));
  const killed = spawnSync(process.execPath, [
    "-e",
    `require("net").createServer().listen(${JSON.stringify(agentSocket)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  assert.equal(killed.signal, "SIGKILL");
  assert.ok(existsSync(agentSocket));
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockSocket(agentSocket, hangUp)));
  const winners = outcomes.filter((outcome) => outcome.status === "fulfilled");
  assert.equal(winners.length, 1);
  await new Promise((resolve) => winners[0]?.value.close(resolve));
});
