// How native failures become errors that an operator can act on.
import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { isNativeError, toRipstopError } from "../../../src/dataplane/errors.js";

const { EPERM, EACCES, ENODEV } = constants.errno;

test("the kernel's answer is given in words and by name", () => {
  const error = toRipstopError({
    code: "TAP_OPEN_FAILED",
    errno: ENODEV,
    op: "open(/dev/net/tun)",
    detail: "load the tun module",
  });
  assert.equal(error.message, "open(/dev/net/tun) failed: no such device (ENODEV): load the tun module");
  assert.equal(error.code, "TAP_OPEN_FAILED");
  assert.equal(error.errno, -ENODEV);
  assert.equal(error.op, "open(/dev/net/tun)");
  assert.equal(error.syscall, "open(/dev/net/tun)");
});

test("the cause is what Node itself would have thrown", () => {
  const { cause } = toRipstopError({ code: "X", errno: EPERM, op: "ioctl(TUNSETIFF)", detail: "" });
  const { code, errno, syscall, message } = cause as NodeJS.ErrnoException;
  assert.deepEqual([code, errno, syscall], ["EPERM", -EPERM, "ioctl(TUNSETIFF)"]);
  assert.match(message, /operation not permitted/);
});

for (const { op, errno, capability } of [
  { op: "ioctl(TUNSETIFF)", errno: EPERM, capability: "CAP_NET_ADMIN" },
  { op: "bpf(BPF_PROG_LOAD)", errno: EPERM, capability: "CAP_BPF and CAP_NET_ADMIN" },
  { op: "socket(AF_XDP)", errno: EPERM, capability: "CAP_NET_RAW" },
  { op: "socket(AF_PACKET)", errno: EACCES, capability: "CAP_NET_RAW" },
]) {
  test(`a refusal of ${op} names ${capability}`, () => {
    const { message } = toRipstopError({ code: "X", errno, op, detail: "" });
    assert.ok(message.endsWith(`run as root or grant ${capability}`), message);
  });
}

test("without a system call there is no errno, and an unknown errno is a number", () => {
  assert.equal(
    toRipstopError({ code: "TABLE_INVALID", errno: 0, op: "apply", detail: "peer 3: bad prefix" }).errno,
    undefined,
  );
  assert.match(toRipstopError({ code: "X", errno: 3999, op: "bind", detail: "" }).message, /bind failed: errno 3999/);
});

test("only a complete answer counts as an error", () => {
  assert.equal(isNativeError({ code: "X", errno: 1, op: "bind", detail: "" }), true);
  assert.equal(isNativeError({ apply() {}, close() {} }), false);
  assert.equal(isNativeError(null), false);
});
