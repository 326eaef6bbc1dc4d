// Endpoints as operators write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoints } from "../../../src/store/etcd/endpoints.js";

test("blanks, slashes, missing schemes and ports are put right", () => {
  assert.deepEqual(parseEndpoints([" http://127.0.0.1:4001", "http://127.0.0.1:2379/ ", ""], false), {
    origins: ["http://127.0.0.1:4001", "http://127.0.0.1:2379"],
    secure: false,
  });
  assert.deepEqual(parseEndpoints(["h1:2379", "h1:2379"], false).origins, ["http://h1:2379"]);
  assert.deepEqual(parseEndpoints(["h1"], true), { origins: ["https://h1:2379"], secure: true });
  assert.deepEqual(parseEndpoints(["https://h1:443/", "http://"].slice(0, 1), false).origins, ["https://h1:443"]);
  assert.deepEqual(parseEndpoints(["http://[::1]:2379"], false).origins, ["http://[::1]:2379"]);
  assert.deepEqual(parseEndpoints(["http://h1:80"], false).origins, ["http://h1:80"]);
});

test("what cannot work is refused with the endpoint and the remedy, and without its password", () => {
  const rows: [string[], RegExp][] = [
    [[], /no endpoint is given; name at least one/],
    [["", " "], /no endpoint/],
    [["http://a:2379", "https://b:2379"], /https:\/\/b:2379 and http:\/\/a:2379 mix http and https/],
    [["unix:///run/etcd.sock"], /unix:/],
    [["http://a:2379/v2"], /more than a host and a port/],
    [["http://a:99999"], /no URL/],
    [["http://root:hunter2@a:2379"], /at a:2379 carries a password/],
    [["http://root:hunter2@a:x"], /no URL/],
  ];
  for (const [endpoints, message] of rows) {
    assert.throws(
      () => parseEndpoints(endpoints, false),
      (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
});
