// Requests to an API server: whom we say we are, also after tokens were replaced; and that a busy server is left alone.
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { readCredentials } from "../../../../src/store/kube/credentials.js";
import { KubeHttpApi } from "../../../../src/store/kube/http-api.js";
import { FakeKube } from "../../../support/fake-kube.js";
import { until } from "../../../support/until.js";

const signal = new AbortController().signal;
let kube: FakeKube;
let folder: string;

function kubeconfig(user: object): string {
  const path = join(folder, "kubeconfig");
  const cluster = { name: "k", cluster: { server: kube.url } };
  const context = { name: "c", context: { cluster: "k", user: "u" } };
  const text = { "current-context": "c", contexts: [context], clusters: [cluster], users: [{ name: "u", user }] };
  writeFileSync(path, JSON.stringify(text));
  return path;
}

/** As a projected volume replaces it. */
function writeToken(token: string): void {
  writeFileSync(join(folder, "next"), `${token}\n`);
  renameSync(join(folder, "next"), join(folder, "token"));
}

describe("requests to the API server", () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ripstop-kube-"));
    kube = await FakeKube.start();
    kube.put("n1", "10.244.1.0/24");
  });
  afterEach(async () => {
    await kube.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("wait for as long as a busy server asks (429, Retry-After)", async () => {
    const api = kube.client();
    kube.failWith = 429;
    kube.retryAfter = 1;
    await assert.rejects(api.getNode("n1", signal), { code: "STORE_UNAVAILABLE", message: /asks us to wait 1 s/ });
    kube.failWith = null;
    await Promise.all([
      api.getNode("n1", signal),
      api.listNodes(10, "", () => undefined, signal),
      api.patchNodeStatus("n1", {}, signal),
    ]);
    const [refused = 0, ...later] = kube.times;
    assert.equal(later.length, 3);
    for (const at of later) assert.ok(at - refused >= 990, `asked again after ${(at - refused).toFixed(0)} ms`);
    api.close();
  });

  it("end at once when they are given up while a busy server is waited for", async () => {
    const api = kube.client();
    kube.failWith = 429;
    kube.retryAfter = 3600;
    await assert.rejects(api.getNode("n1", signal));
    await assert.rejects(api.getNode("n1", AbortSignal.timeout(10)));
    assert.equal(kube.calls.length, 1);
    api.close();
  });

  it("end when nobody answers, a watch too, unless it has been taken", async () => {
    const api = kube.client(200);
    const heard: string[] = [];
    let open = false;
    const opened = () => {
      open = true;
    };
    const stop = new AbortController();
    const listener = { opened, heard: ({ type }: { type: string }) => heard.push(type) };
    // On a busy machine not the first time.
    const watch = (): Promise<void> =>
      api.watchNodes("100", listener, stop.signal).catch((error: unknown) => {
        if (!open) return watch();
        throw error;
      });
    const watching = watch();
    await until("it is taken", () => open);
    kube.silent = true;
    await assert.rejects(api.watchNodes("100", listener, signal), {
      code: "STORE_UNAVAILABLE",
      message: /within 0\.2 s/,
    });
    await assert.rejects(api.getNode("n1", signal), { code: "STORE_UNAVAILABLE", message: /within 0\.2 s/ });
    kube.put("n2", "10.244.2.0/24");
    await until("the older watch hears of it", () => heard.includes("ADDED"));
    stop.abort();
    await assert.rejects(watching);
    api.close();
  });

  it("carry the token of kubectl's tokenFile, and the new one when the file was replaced", async () => {
    writeToken("first");
    const path = kubeconfig({ tokenFile: "token", token: "never" });
    const api = await KubeHttpApi.open({ apiUrl: "", kubeconfigFile: path });
    kube.token = "first";
    assert.ok(await api.getNode("n1", signal));
    writeToken("second");
    kube.token = "second";
    assert.ok(await api.getNode("n1", signal));
    api.close();
  });

  it("are refused with a reason when the token is wrong and nothing was replaced", async () => {
    const api = await KubeHttpApi.open({ apiUrl: "", kubeconfigFile: kubeconfig({ token: "wrong" }) });
    kube.token = "right";
    await assert.rejects(api.getNode("n1", signal), { code: "STORE_REFUSED", message: /401/ });
    api.close();
  });
});

describe("credentials", () => {
  it("name their files, and say whether they last", async () => {
    folder = mkdtempSync(join(tmpdir(), "ripstop-kube-"));
    kube = await FakeKube.start();
    try {
      const script = join(folder, "login");
      const answer = { apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: "t" } };
      writeFileSync(script, `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`, { mode: 0o755 });
      const exec = { apiVersion: "client.authentication.k8s.io/v1", command: script };
      const path = kubeconfig({ exec });
      const fromProgram = await readCredentials({ apiUrl: "", kubeconfigFile: path });
      assert.equal(fromProgram.headers["Authorization"], "Bearer t");
      assert.equal(fromProgram.lasting, false);
      writeToken("t");
      const fromFile = await readCredentials({ apiUrl: "", kubeconfigFile: kubeconfig({ tokenFile: "token" }) });
      assert.deepEqual([fromFile.files, fromFile.lasting], [[path, join(folder, "token")], true]);
      await assert.rejects(readCredentials({ apiUrl: "", kubeconfigFile: join(folder, "none") }), {
        code: "STORE_CONFIG",
        message: /ENOENT/,
      });
    } finally {
      await kube.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
